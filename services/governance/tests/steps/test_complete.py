"""Empty cells are filled from a named source or stay empty."""

import json

import polars as pl
import pytest
from edulake.governance.steps.derivations import stage_in, stage_of_name

ROSTER = ["学校名称", "所属区", "区代码", "类型", "学段"]
STUDENT = ["姓名", "性别", "身份证号", "学籍号", "学校", "出生日期"]


@pytest.fixture
def roster(govern):
    return lambda *cells, title="学校名册": govern("school_base", ROSTER, [list(cells)], title=title)


@pytest.fixture
def student(govern, schools):
    def go(*cells):
        outcome = govern("student_base", STUDENT, [list(cells)], references={"schools": schools})
        assert outcome.accepted.height == 1, outcome.findings
        return outcome.accepted.row(0, named=True)

    return go


class TestStage:
    @pytest.mark.parametrize(
        ("name", "kind", "stage", "title", "expected", "evidence"),
        [
            ("上海市求真中学", "", "小学", "高中学校代码表", "2", None),
            ("上海市求真中学", "GENERAL", "", "学校名册", "4", "derived:school_kind"),
            ("上海市求真中学", "", "", "初中学校名册", "3", "derived:source title"),
            ("上海市求真高级中学", "", "", "学校名册", "4", "derived:school_name"),
            ("上海市求真初级中学", "", "", "学校名册", "3", "derived:school_name"),
            ("上海市求真小学（东校区）", "", "", "学校名册", "2", "derived:school_name"),
        ],
    )
    def test_the_first_evidence_counts_and_is_named(
        self, roster, name, kind, stage, title, expected, evidence
    ):
        row = roster(name, "黄浦区", "", kind, stage, title=title).accepted.row(0, named=True)
        assert row["stage"] == expected
        assert json.loads(row["_filled"] or "{}").get("stage") == evidence

    def test_a_complete_middle_school_in_a_junior_roster_is_junior_there_and_disputed(
        self, roster, rules_failed
    ):
        outcome = roster("上海市求真高级中学", "黄浦区", "", "", "", title="初中学校名册")
        assert outcome.accepted["stage"].to_list() == ["3"]
        assert "stage.disputed" in rules_failed(outcome, "warning")[1]

    def test_without_evidence_the_row_waits_in_quarantine(self, roster, rules_failed):
        assert "stage.required" in rules_failed(roster("上海市求真中学", "黄浦区", "", "", ""), "error")[1]

    @pytest.mark.parametrize(
        ("title", "stage"),
        [
            ("初中名册", "3"),
            ("高中代码表", "4"),
            ("初高中名册", None),
            ("中小学名册", None),
            ("小学和初中", None),
            ("名册", None),
        ],
    )
    def test_a_title_of_several_stages_says_nothing(self, title, stage):
        assert stage_in(title) == stage

    @pytest.mark.parametrize("name", ["上海市晋元高级中学附属学校", "上海市求真学校", "上海市求真中学"])
    def test_a_word_inside_a_name_is_not_its_end(self, name):
        assert pl.select(stage_of_name(pl.lit(name))).item() is None


class TestSchool:
    def test_the_district_comes_from_the_letters_when_it_is_empty(self, roster):
        row = roster("上海市求真中学", "", "PD", "", "初中").accepted.row(0, named=True)
        assert row["district_code"] == "310115"
        assert json.loads(row["_filled"])["district_code"] == "derived:district_letters"

    def test_a_former_name_becomes_another_name(self, roster):
        row = roster("上海市求真中学（原务实学校）", "黄浦区", "", "", "初中").accepted.row(0, named=True)
        assert (row["school_name"], row["other_names"]) == ("上海市求真中学", "务实学校")

    def test_the_key_is_the_same_in_both_rosters_and_differs_by_stage_and_district(self, roster):
        def key(*cells):
            return roster(*cells).accepted["school_key"][0]

        full = key("上海市宝山区求真中学", "宝山区", "", "", "初中")
        assert key("求真中学", "BS", "", "", "初中") == full
        assert key("求真中学", "宝山区", "", "", "高中") != full
        assert key("求真中学", "杨浦区", "", "", "初中") != full
        assert full.startswith("S")
        assert len(full) == 17


class TestStudent:
    def test_birth_and_sex_come_from_the_identity_number(self, student, identity_number):
        row = student("张三", "", identity_number("20090517", serial=13), "", "样例学校", "")
        assert (row["sex"], row["birth_date"]) == ("1", "2009-05")
        filled = json.loads(row["_filled"])
        assert (filled["sex"], filled["birth_date"]) == ("derived:identity_number", "derived:identity_number")

    def test_birth_comes_from_a_temporary_student_number(self, student):
        row = student("张三", "女", "", "J310104200905170011", "样例学校", "")
        assert row["birth_date"] == "2009-05"
        assert json.loads(row["_filled"])["birth_date"] == "derived:student_number"

    def test_a_month_is_completed_to_the_day_by_the_number(self, student, identity_number):
        row = student("张三", "女", identity_number("20090517"), "", "样例学校", "2009年5月")
        assert json.loads(row["_filled"])["birth_date"] == "derived:identity_number"

    def test_the_school_brings_its_code_and_district(self, student, identity_number):
        row = student("张三", "女", identity_number(), "", "样例学校", "")
        assert (row["school_key"], row["school_code"], row["district_code"]) == ("S2", "990002", "310104")
        assert json.loads(row["_filled"])["district_code"] == "schools.district_code"

    def test_identity_and_student_number_give_one_key(self, student, identity_number):
        number = identity_number()
        by_identity = student("张三", "女", number, "", "样例学校", "")
        by_student_number = student("张三", "女", "", "G" + number, "样例学校", "")
        assert by_identity["student_key"] == by_student_number["student_key"]
        assert number not in by_identity["student_key"]

    @pytest.mark.parametrize(
        ("birth", "minor", "under_consent"),
        [
            ("20060901", False, False),
            ("20060902", True, False),
            ("20100901", True, False),
            ("20100902", True, True),
        ],
    )
    def test_ages_are_counted_on_the_day_of_receipt(
        self, student, identity_number, birth, minor, under_consent
    ):
        row = student("张三", "女", identity_number(birth), "", "样例学校", "")
        assert (row["is_minor"], row["is_under_consent_age"]) == (minor, under_consent)

    def test_nothing_is_filled_where_nothing_is_known(self, govern, schools):
        outcome = govern(
            "student_base",
            [*STUDENT, "证件类型"],
            [["Ann", "", "E1234567", "", "样例学校", "", "护照"]],
            references={"schools": schools},
        )
        row = outcome.accepted.row(0, named=True)
        assert (row["sex"], row["birth_date"]) == (None, None)
        assert row["is_under_consent_age"] is True  # unknown age: the stricter rule
