"""Words become codes in force; names and codes become references, exactly or not at all."""

from datetime import date

import polars as pl
import pytest
from edulake.common.standards import CodeRow, CodeTable
from edulake.governance.steps.align import meanings

ROSTER = ["学校代码", "学校名称", "所属区"]
QUOTA = ["年份", "初中学校", "初中学校代码", "高中代码", "高中名称", "计划数"]


class TestDistricts:
    @pytest.mark.parametrize(
        ("delivered", "code"),
        [
            ("浦东区", "310115"),
            ("浦东新区", "310115"),
            ("浦东", "310115"),
            ("PD", "310115"),
            ("pd", "310115"),
            ("310115", "310115"),
            ("上海市浦东新区", "310115"),
            ("南汇区", "310115"),
            ("310119", "310115"),
            ("卢湾", "310101"),
            ("闸北区", "310106"),
            ("崇明县", "310151"),
            ("上海市", "310000"),
        ],
    )
    def test_every_way_to_write_a_district_gives_the_code_in_force(self, govern, delivered, code):
        outcome = govern("school_base", ROSTER, [["012001", "上海市求真中学", delivered]], title="初中名册")
        assert outcome.accepted["district_code"].to_list() == [code]
        assert outcome.accepted["_district_code_raw"].to_list() == [delivered]
        assert outcome.accepted["_district_code_mapping"][0].startswith("gbt2260@")

    def test_a_historic_district_is_mapped_forward_and_says_from_what(self, govern, rules_failed):
        outcome = govern("school_base", ROSTER, [["012001", "上海市求真中学", "南汇区"]], title="初中名册")
        assert outcome.accepted["_district_code_mapping"][0].endswith(";310119>310115")
        assert "district_code.forwarded" in rules_failed(outcome)[1]

    def test_before_the_change_the_historic_code_is_the_right_one(self, govern):
        outcome = govern(
            "school_base",
            ROSTER,
            [["012001", "上海市求真中学", "南汇区"]],
            title="初中名册",
            received_on=date(2008, 9, 1),
        )
        assert outcome.accepted["district_code"].to_list() == ["310119"]

    @pytest.mark.parametrize("delivered", ["朝阳区", "110105", "火星区"])
    def test_a_district_elsewhere_is_quarantined_with_its_text(self, govern, rules_failed, delivered):
        outcome = govern("school_base", ROSTER, [["012001", "上海市求真中学", delivered]], title="初中名册")
        assert "district_code.known" in rules_failed(outcome, "error")[1]
        assert outcome.quarantined["所属区"].to_list() == [delivered]


class TestMeanings:
    def test_a_word_for_two_codes_in_force_means_none(self):
        rows = tuple(
            CodeRow(code, name, ("同",), None, None, None, None) for code, name in (("1", "甲"), ("2", "乙"))
        )
        assert meanings(CodeTable("t", "v", rows), None, date(2024, 1, 1)) == {
            "甲": "1",
            "乙": "2",
            "1": "1",
            "2": "2",
        }

    def test_a_code_in_force_is_preferred_to_a_retired_one_of_the_same_name(self):
        old = CodeRow("1", "甲", (), None, None, date(2010, 1, 1), "2")
        new = CodeRow("2", "甲", (), None, date(2010, 1, 1), None, None)
        assert meanings(CodeTable("t", "v", (old, new)), None, date(2024, 1, 1))["甲"] == "2"
        assert meanings(CodeTable("t", "v", (old, new)), None, date(2009, 1, 1))["甲"] == "1"


class TestReferences:
    @pytest.fixture
    def linked(self, govern, schools):
        def go(junior_name, junior_code="", senior="上海市示例高级中学", **more):
            row = ["2024", junior_name, junior_code, "", senior, "3"]
            outcome = govern("senior_quota", QUOTA, [row], references={"schools": schools}, **more)
            return outcome.accepted["junior_school_key"].to_list(), outcome

        return go

    @pytest.mark.parametrize(
        ("name", "code", "key", "how"),
        [
            ("", "990001", "S1", "code"),
            ("上海市示例初级中学", "", "S1", "name"),
            ("示例初级中学", "", "S1", "core_name"),
            ("旧名学校", "", "S2", "other_name"),
            ("奉贤区同名中学", "", "S3", "core_name"),
            ("上海市宝山区同名中学", "", "S4", "name"),
        ],
    )
    def test_a_school_is_found_by_code_name_core_or_other_name(self, linked, name, code, key, how):
        keys, outcome = linked(name, code)
        assert keys == [key]
        assert f'"junior_school_key":"schools:{how}"' in outcome.accepted["_filled"][0]

    @pytest.mark.parametrize("name", ["示例初级中学东校", "上海市示例高级中学"])
    def test_what_fits_none_or_another_stage_is_not_linked(self, linked, rules_failed, name):
        keys, outcome = linked(name)
        assert keys == []
        assert "junior_school.linked" in rules_failed(outcome, "error")[1]

    def test_what_fits_two_schools_is_not_linked_and_not_said_to_be_unknown(self, linked, rules_failed):
        keys, outcome = linked("同名中学")
        assert keys == []
        failed = rules_failed(outcome)[1]
        assert "junior_school.ambiguous" in failed
        assert not failed & {"junior_school.linked", "link.review"}

    def test_a_confirmed_alias_is_found(self, linked):
        aliases = pl.DataFrame({"alias": ["示例初中东部"], "key": ["S1"]})
        assert linked("示例初中东部", aliases=aliases)[0] == ["S1"]

    def test_code_and_name_of_two_schools_go_to_quarantine(self, linked, rules_failed):
        keys, outcome = linked("上海市样例学校", "990001")
        assert keys == []
        assert "junior_school.code_agrees" in rules_failed(outcome, "error")[1]

    def test_without_a_register_everything_waits_in_quarantine(self, govern, rules_failed):
        outcome = govern(
            "senior_quota", QUOTA, [["2024", "上海市示例初级中学", "", "", "上海市示例高级中学", "3"]]
        )
        assert {"junior_school.linked", "senior_school.linked"} <= rules_failed(outcome, "error")[1]


PUPIL = ["姓名", "身份证号", "学校", "学校代码", "年级"]


class TestASchoolOfSeveralStages:
    """A complete middle school is two rows of the register, junior and senior, of one name and one code."""

    @pytest.fixture
    def pupil(self, govern, schools, identity_number):
        complete = schools.filter(pl.col("school_key") == "S1").with_columns(
            pl.lit("990009").alias("school_code"), pl.lit("上海市完全中学").alias("school_name")
        )
        both = [
            complete.with_columns(pl.lit(key).alias("school_key"), pl.lit(stage).alias("stage"))
            for key, stage in (("S31", "3"), ("S41", "4"))
        ]
        register = pl.concat([schools, *both])

        def go(name, code, grade):
            row = ["张三", identity_number(), name, code, grade]
            return govern("student_base", PUPIL, [row], references={"schools": register})

        return go

    @pytest.mark.parametrize(("name", "code"), [("上海市完全中学", ""), ("完全中学", ""), ("", "990009")])
    @pytest.mark.parametrize(("grade", "key"), [("初三", "S31"), ("高一", "S41")])
    def test_is_told_apart_by_the_grade_of_the_pupil(self, pupil, name, code, grade, key):
        assert pupil(name, code, grade).accepted["school_key"].to_list() == [key]

    @pytest.mark.parametrize("grade", ["", "三年级"], ids=["no grade", "a grade of neither"])
    def test_stays_open_with_its_own_reason_where_the_grade_does_not_tell(self, pupil, rules_failed, grade):
        outcome = pupil("上海市完全中学", "990009", grade)
        failed = rules_failed(outcome, "error")[1]
        assert "school.ambiguous" in failed
        assert "school.linked" not in failed

    def test_the_grade_does_not_keep_a_pupil_from_the_only_school_of_the_name(self, pupil):
        assert pupil("上海市示例初级中学", "990001", "高一").accepted["school_key"].to_list() == ["S1"]
