"""Headers become fields; a cell that cannot be read keeps its text beside a null."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from edulake.common.standards.headers import plain
from edulake.governance.steps.convert import convert, recognise
from edulake.governance.steps.text import fold, squeeze

ROSTER = ["学校代码", "学校名称", "所属区"]


class TestHeaders:
    @pytest.mark.parametrize(
        "header",
        [
            "学校名称",
            "校名",
            " 学校 名称 ",
            "学校名称*",
            "学校名称（必填）",
            "School_Name",
            "ｓｃｈｏｏｌ＿ｎａｍｅ",
        ],
    )
    def test_a_header_is_recognised_in_its_usual_spellings(self, make_context, header):
        headers, unknown = recognise([header], make_context("school_base"))
        assert headers == {"school_name": [header]}
        assert unknown == []

    def test_headers_fold_as_cells_do(self, standards):
        aliases = [a for c in standards.datasets.values() for f in c.fields for a in (*f.aliases, f.title)]
        typed = [*aliases, *(f"\u200b{a} \u3000（x）*\x07\x85" for a in aliases), "ﬁ ①", "e\u200b\u0301"]
        cells = pl.DataFrame({"x": typed}).select(squeeze(fold(pl.col("x"))))["x"]
        bare = [cell.lower().replace("*", "") for cell in cells]
        assert [plain(header) for header in typed] == [c.split("(")[0] or c for c in bare]

    def test_the_mapping_of_the_source_wins_over_the_alias(self, make_context):
        context = make_context("school_base", source={"mapping": {"简称": "school_name"}})
        headers, _ = recognise(["简称", "学校名称"], context)
        assert headers == {"school_name": ["简称", "学校名称"]}

    def test_a_mapping_to_no_field_of_the_contract_is_an_unknown_column(self, make_context):
        context = make_context("school_base", source={"mapping": {"校名": "nonsense"}})
        assert recognise(["校名"], context) == ({}, ["校名"])

    def test_an_unknown_column_is_reported_and_not_used(self, govern):
        outcome = govern(
            "school_base",
            [*ROSTER, "吉祥物"],
            [["012001", "上海市求真中学", "黄浦区", "猫"]],
            title="初中名册",
        )
        found = outcome.findings.filter(pl.col("rule_id") == "column.unknown")
        assert found["field"].to_list() == ["第 4 列（汉字 1–4 位）"]
        assert "吉祥物" not in outcome.accepted.columns
        assert outcome.accepted.height == 1


class TestCells:
    def test_a_failed_cast_keeps_its_text(self, make_context, make_frame):
        frame = make_frame([*ROSTER, "估计学生数"], [["012001", "上海市求真中学", "黄浦区", "约三百"]])
        row = convert(frame, make_context("school_base")).frame.row(0, named=True)
        assert row["estimated_pupils"] is None
        assert row["_estimated_pupils_raw"] == "约三百"

    def test_every_delivered_column_stays_untouched_beside_the_fields(self, make_context, make_frame):
        frame = make_frame(ROSTER, [["７５０６８", " 上海市求真中学\n", "浦东区"]])
        row = convert(frame, make_context("school_base")).frame.row(0, named=True)
        assert (row["raw:学校代码"], row["raw:学校名称"]) == ("７５０６８", " 上海市求真中学\n")
        assert (row["school_code"], row["school_name"]) == ("075068", "上海市求真中学")

    def test_a_default_fills_only_empty_cells_and_says_so(self, govern):
        outcome = govern(
            "school_base",
            ROSTER,
            [["012001", "上海市求真中学", ""], ["012002", "上海市务实中学", "徐汇区"]],
            title="初中名册",
            source={"defaults": {"district_code": "黄浦区"}},
        )
        assert outcome.accepted["district_code"].to_list() == ["310101", "310104"]
        assert '"district_code":"default:test-source"' in outcome.accepted["_filled"][0]
        assert "default" not in outcome.accepted["_filled"][1]

    def test_a_month_is_the_first_of_it_and_known_as_such(self, make_context, make_frame):
        frame = make_frame(["姓名", "出生日期"], [["张三", "2012年5月"], ["李四", "2012-5-17"]])
        out = convert(frame, make_context("student_base")).frame
        assert out["birth_date"].to_list() == [date(2012, 5, 1), date(2012, 5, 17)]
        assert out["_birth_date_filled"].to_list() == ["first_of_month", None]


class TestShiftedNamesAndCodes:
    HEADERS = ("年份", "初中学校", "初中学校代码", "高中代码", "高中名称", "计划数")

    @pytest.fixture
    def read(self, make_context, make_frame):
        def go(row, mapping=None):
            context = make_context("senior_quota", source={"mapping": mapping or {}})
            return convert(make_frame(self.HEADERS, [row]), context).frame.row(0, named=True)

        return go

    def test_a_name_in_the_code_column_is_taken_as_the_name(self, read):
        row = read(["2024", "0", "上海市示例初级中学", "", "上海市示例高级中学", "3"])
        assert (row["junior_school_name"], row["junior_school_code"]) == ("上海市示例初级中学", None)
        assert row["_junior_school_name_filled"] == "column:初中学校代码"

    def test_a_code_under_a_header_mapped_to_the_name_goes_to_the_code(self, read):
        mapping = {"初中学校代码": "junior_school_name"}
        row = read(["2024", "上海市示例初级中学", "990001", "", "上海市示例高级中学", "3"], mapping)
        assert (row["junior_school_name"], row["junior_school_code"]) == ("上海市示例初级中学", "990001")

    def test_code_and_name_in_one_cell_are_parted(self, read):
        row = read(["2024", "上海市示例初级中学", "990001", "", "990101\n示例高中", "3"])
        assert (row["senior_school_code"], row["senior_school_name"]) == ("990101", "示例高中")

    def test_what_fits_nothing_stays_to_be_seen_by_the_rules(self, read):
        row = read(["2024", "0", "1", "", "上海市示例高级中学", "3"])
        assert row["junior_school_name"] == "0"
        assert row["junior_school_code"] == "1"


class TestLabelledRows:
    HEADERS = ("年份", "初中学校", "初中学校代码", "高中代码", "高中名称", "计划数")

    def record(self, code="990101", seats="3", junior="上海市示例初级中学"):
        cells = [
            ("招生学\n校代码", code),
            ("学校名称", "上海市示例高级中学"),
            ("所属区", "浦东新区"),
            ("计划\n数", seats),
        ]
        return [["2024", junior, "990001", "", label, value] for label, value in cells]

    def test_four_rows_become_one_fact(self, govern, schools):
        outcome = govern("senior_quota", self.HEADERS, self.record(), references={"schools": schools})
        assert outcome.accepted.select("_row", "senior_school_code", "planned_seats").rows() == [
            (1, "990101", 3)
        ]
        absorbed = outcome.findings.filter(pl.col("rule_id") == "row.reshaped")
        assert absorbed["_row"].to_list() == [2, 3, 4]
        assert '"planned_seats":"reshaped"' in outcome.accepted["_filled"][0]

    @pytest.mark.parametrize("missing", [0, 1, 2, 3])
    def test_an_incomplete_record_is_left_as_it_is_and_quarantined(self, govern, schools, missing):
        rows = self.record()
        del rows[missing]
        outcome = govern("senior_quota", self.HEADERS, rows, references={"schools": schools})
        assert outcome.accepted.is_empty()
        assert outcome.quarantined.height == 3

    def test_rows_of_two_junior_schools_are_never_joined(self, govern, schools):
        rows = [*self.record()[:2], *self.record(junior="上海市样例学校")[2:]]
        outcome = govern("senior_quota", self.HEADERS, rows, references={"schools": schools})
        assert outcome.accepted.is_empty()
        assert outcome.quarantined.height == 4

    def test_swapped_labels_are_not_joined(self, govern, schools):
        rows = self.record()
        rows[0], rows[1] = rows[1], rows[0]
        outcome = govern("senior_quota", self.HEADERS, rows, references={"schools": schools})
        assert outcome.accepted.is_empty()


class TestWordsForNothing:
    @pytest.mark.parametrize("word", ["无", "NONE", "否"])
    def test_are_a_code_where_the_table_has_them(self, govern, word):
        outcome = govern(
            "school_base", [*ROSTER, "寄宿"], [["012001", "上海市求真中学", "黄浦区", word]], title="初中名册"
        )
        assert outcome.accepted["boarding"].to_list() == ["NONE"]

    def test_stay_nothing_elsewhere(self, govern, rules_failed):
        outcome = govern(
            "school_base", [*ROSTER, "类型"], [["无", "上海市求真中学", "黄浦区", "无"]], title="初中名册"
        )
        assert outcome.accepted.select("school_code", "school_kind").rows() == [(None, None)]
        assert "school_kind.known" not in rules_failed(outcome).get(1, set())

    def test_are_false_where_the_field_is_a_truth_value(self, make_context, make_frame):
        context = make_context("student_base")
        fields = [
            f.model_copy(update={"aliases": ("未成年",)}) if f.name == "is_minor" else f
            for f in context.contract.fields
        ]
        asked = replace(context, contract=context.contract.model_copy(update={"fields": tuple(fields)}))
        frame = make_frame(["身份证号", "未成年"], [["1", "无"], ["2", "有"], ["3", "-"]])
        assert convert(frame, asked).frame["is_minor"].to_list() == [False, True, None]
