"""What is really in the columns is held against what the contract declares."""

import json

import polars as pl
import pytest
from edulake.governance.pipeline import run

ROSTER = ["学校名称", "所属区", "备注"]


@pytest.fixture
def roster(govern):
    def go(cell, header="备注"):
        return govern(
            "school_base",
            ["学校名称", "所属区", header],
            [["上海市求真中学", "黄浦区", cell]],
            title="初中名册",
        )

    return go


class TestBlocking:
    @pytest.mark.parametrize("header", ["备注", "校长联系方式"])
    @pytest.mark.parametrize("cell", ["13800138000", "电话：138 0013 8000。", "１３８００１３８０００"])
    def test_a_mobile_number_where_none_is_declared_stops_the_batch(self, roster, header, cell):
        outcome = roster(cell, header)
        assert outcome.blocked is not None
        assert {"备注": "备注"}.get(header, "第 3 列") in outcome.blocked
        assert outcome.accepted.is_empty()
        assert outcome.quarantined["_row"].to_list() == [1]

    def test_an_identity_number_in_an_undeclared_column_stops_the_batch(
        self, roster, identity_number, rules_failed
    ):
        outcome = roster(identity_number(), "法人证件")
        assert outcome.column_levels["第 3 列（汉字 1–4 位）"] == 4
        assert "grade.above_declared" in rules_failed(outcome, "error")[None]

    def test_the_reason_never_shows_the_value(self, roster, identity_number):
        outcome = roster(identity_number())
        assert identity_number() not in (outcome.blocked or "")
        assert identity_number() not in str(outcome.findings.to_dicts())

    @pytest.mark.parametrize("cell", ["021-12345678", "区实验性示范性高中", "2025年停招", "PD0134", "075068"])
    def test_ordinary_text_passes(self, roster, cell):
        assert roster(cell).blocked is None

    def test_declared_personal_columns_are_no_surprise(self, govern, schools, identity_number):
        headers = ["姓名", "身份证号", "学籍号", "学校", "监护人手机", "家庭住址"]
        number = identity_number()
        row = ["张三", number, "G" + number, "样例学校", "13800138000", "浦东新区示例路12弄3号401室"]
        outcome = govern("student_base", headers, [row], references={"schools": schools})
        assert outcome.blocked is None
        assert outcome.column_levels["监护人手机"] == 4
        assert outcome.column_levels["学校"] == 1

    def test_one_stray_number_among_many_sound_cells_is_not_a_column_of_numbers(self, govern):
        rows = [
            [f"上海市求真{chr(0x4E00 + n)}中学", "黄浦区", "13800138000" if n == 0 else "无事"]
            for n in range(200)
        ]
        assert govern("school_base", ROSTER, rows, title="初中名册").blocked is None

    def test_one_number_with_a_right_check_digit_is_enough(self, govern, identity_number):
        rows = [
            [f"上海市求真{chr(0x4E00 + n)}中学", "黄浦区", f"见{identity_number()}号" if n == 7 else "无事"]
            for n in range(3000)
        ]
        assert "公民身份号码" in (govern("school_base", ROSTER, rows, title="初中名册").blocked or "")


class TestCells:
    """One personal cell in a column that is kept as it is delivered holds its row back."""

    @pytest.fixture
    def among_many(self, govern):
        def go(cell, header="学校地址"):
            rows = [
                [f"上海市求真{chr(0x4E00 + n)}中学", "黄浦区", cell if n == 7 else "示例路1号"]
                for n in range(2000)
            ]
            rows = [
                [*row[:2], "120" if header == "估计学生数" and n != 7 else row[2]]
                for n, row in enumerate(rows)
            ]
            return govern("school_base", ["学校名称", "所属区", header], rows, title="初中名册")

        return go

    @pytest.mark.parametrize("header", ["学校地址", "曾用名", "估计学生数"])
    @pytest.mark.parametrize(
        "cell", ["13800138000", "校长a13800138000", "310199880305123", "J31019920120519123A"]
    )
    def test_however_rare_it_is(self, among_many, rules_failed, cell, header):
        outcome = among_many(cell, header)
        assert outcome.blocked is None
        assert "cell.personal" in rules_failed(outcome, "error")[8]
        assert outcome.quarantined["_row"].to_list() == [8]
        assert cell not in str(outcome.findings.to_dicts())

    def test_and_is_checked_on_every_delivery(self, among_many):
        (record,) = [r for r in among_many("示例路2号").rules_checked if r["rule_id"] == "cell.personal"]
        assert (record["checked_rows"], record["failed_rows"]) == (2000, 0)

    def test_an_old_registration_number_is_no_person(self, govern):
        rows = [["上海市求真中学", "黄浦区", "310101880305123"]]
        outcome = govern("school_base", ["学校名称", "所属区", "统一社会信用代码"], rows, title="初中名册")
        assert "cell.personal" not in outcome.findings["rule_id"].to_list()


class TestAddresses:
    @pytest.mark.parametrize("cell", ["上南路1234弄56号", "示例路12弄3号401室"])
    def test_of_schools_are_no_homes(self, roster, cell):
        outcome = roster(cell, "学校地址")
        assert (outcome.blocked, outcome.column_levels["学校地址"]) == (None, 1)

    def test_where_nobody_declared_them_stop_the_batch(self, roster):
        assert "住址" in (roster("上南路1234弄56号", "家访记录").blocked or "")

    def test_a_phone_in_the_address_of_a_school_still_stops_the_batch(self, roster):
        assert roster("上南路1234号 13800138000", "学校地址").blocked is not None


class TestCellsBeyondTheHeader:
    HEADERS = ("姓名", "身份证号", "学校", "年级", "现住址", "监护人", "监护人电话")

    @pytest.fixture
    def delivery(self, make_context, make_frame, schools, identity_number):
        """Ten pupils; in the address of the fourth is a comma that nobody quoted."""

        def go(*extra):
            rows = [
                [
                    f"张{n}",
                    identity_number(serial=100 + n),
                    "样例学校",
                    "初一",
                    "示例路1号",
                    "王某",
                    "13800138000",
                ]
                for n in range(10)
            ]
            rows[3][4:] = ["示例路1号", "3号楼502室", "王某"]
            found = json.dumps({"expected": 7, "found": 8, "extra": list(extra)}, ensure_ascii=False)
            frame = make_frame(self.HEADERS, rows).with_columns(
                pl.int_range(2, 12, dtype=pl.Int64).alias("_row")
            )
            shape = pl.when(pl.col("_row") == 5).then(pl.lit(found)).alias("_shape")
            return run(
                frame.with_columns(shape), make_context("student_base", references={"schools": schools})
            )

        return go

    def test_put_their_row_into_quarantine_and_leave_the_others(self, delivery, rules_failed):
        outcome = delivery("13800138000")
        assert outcome.blocked is None
        assert outcome.accepted.height == 9
        assert outcome.quarantined["_row"].to_list() == [5]
        assert rules_failed(outcome)[5] == {"row.shifted", "grade.above_declared"}

    def test_are_graded_by_their_row_and_never_shown(self, delivery):
        outcome = delivery("13800138000")
        found = outcome.findings.filter(pl.col("rule_id") == "grade.above_declared").row(0, named=True)
        assert (found["_row"], found["value_masked"]) == (5, None)
        assert "文件第 5 行" in found["reason_zh"]
        assert "手机号码" in found["reason_zh"]
        assert "13800138000" not in str(outcome.findings.to_dicts())

    def test_are_no_column_of_the_source(self, delivery):
        outcome = delivery("13800138000")
        assert "_shape" not in outcome.profile["columns"]
        assert "_shape" not in outcome.column_levels
        assert "column.unknown" not in outcome.findings["rule_id"].to_list()

    def test_that_say_nothing_are_no_shift(self, delivery, rules_failed):
        assert "row.shifted" not in rules_failed(delivery("", " ")).get(5, set())

    def test_are_checked_on_every_delivery_so_that_mending_can_be_proven(self, govern):
        outcome = govern(
            "school_base", ["学校名称", "所属区"], [["上海市求真中学", "黄浦区"]], title="初中名册"
        )
        (record,) = [rule for rule in outcome.rules_checked if rule["rule_id"] == "row.shifted"]
        assert (record["checked_rows"], record["failed_rows"]) == (1, 0)
