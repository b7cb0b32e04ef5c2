"""Rows of one thing come together; contradictions wait; likeness is only suggested."""

from dataclasses import replace

import polars as pl
import pytest
from edulake.governance.pipeline import run

ROSTER = ["学校代码", "学校名称", "所属区", "办别", "估计学生数"]
QUOTA = ["年份", "初中学校", "高中学校", "计划数"]


@pytest.fixture
def roster(govern):
    return lambda *rows, **more: govern("school_base", ROSTER, rows, title="初中名册", **more)


class TestOneRowPerKey:
    def test_two_spellings_without_contradiction_become_one_row(self, roster, rules_failed):
        outcome = roster(
            ["012001", "上海市求真中学", "黄浦区", "公办", ""], ["", "求真中学", "黄浦", "PUBLIC", "300"]
        )
        row = outcome.accepted.row(0, named=True)
        assert outcome.accepted.height == 1
        assert (row["school_code"], row["school_name"], row["estimated_pupils"]) == (
            "012001",
            "上海市求真中学",
            300,
        )
        assert "row.merged" in rules_failed(outcome)[2]

    def test_a_value_and_the_evidence_for_it_are_of_one_row(self, govern):
        """The first row's district was filled in, the second's was not delivered either but its code was."""
        headers = [*ROSTER, "区代码"]
        outcome = govern(
            "school_base",
            headers,
            [["012001", "上海市求真中学", "黄浦区", "", "", ""], ["", "求真中学", "", "", "300", "HP"]],
            title="初中名册",
        )
        row = outcome.accepted.row(0, named=True)
        assert (outcome.accepted.height, row["district_code"], row["_district_code_raw"]) == (
            1,
            "310101",
            "黄浦区",
        )
        assert "district_code" not in (row["_filled"] or "")

    def test_two_codes_for_one_school_keep_the_first_and_quarantine_the_other(self, roster, rules_failed):
        outcome = roster(
            ["011002", "大同初级中学", "黄浦区", "", ""],
            ["017777", "大同初级中学（原黄浦学校）", "黄浦区", "", ""],
        )
        assert outcome.accepted["school_code"].to_list() == ["011002"]
        assert "school_code.conflict" in rules_failed(outcome, "error")[2]

    def test_a_contradiction_keeps_the_first_and_quarantines_the_rest(self, roster, rules_failed):
        outcome = roster(
            ["012001", "上海市求真中学", "黄浦区", "公办", "300"],
            ["012001", "求真中学", "黄浦区", "民办", "300"],
        )
        assert outcome.accepted["_row"].to_list() == [1]
        assert "school_key.repeated" in rules_failed(outcome, "error")[2]

    def test_a_broken_first_row_does_not_push_out_a_sound_second(self, roster):
        outcome = roster(
            ["1", "上海市求真中学", "黄浦区", "公办", "300"], ["012001", "求真中学", "黄浦区", "公办", "200"]
        )
        assert outcome.accepted["_row"].to_list() == [2]

    def test_one_code_for_two_schools_is_a_finding_on_both(self, roster, rules_failed):
        outcome = roster(
            ["012001", "上海市求真中学", "黄浦区", "", ""], ["012001", "上海市务实中学", "黄浦区", "", ""]
        )
        assert outcome.accepted.height == 2
        assert all("school_code.shared" in rules for rules in rules_failed(outcome, "warning").values())

    def test_a_quota_with_two_numbers_of_seats_keeps_the_first(self, govern, schools, rules_failed):
        rows = [
            ["2024", "示例初级中学", "示例高级中学", "3"],
            ["2024", "上海市示例初级中学", "示例高中", "4"],
        ]
        outcome = govern("senior_quota", QUOTA, rows, references={"schools": schools})
        assert outcome.accepted["planned_seats"].to_list() == [3]
        assert "quota.repeated" in rules_failed(outcome, "error")[2]


class TestKeylessRows:
    def test_a_row_without_a_key_is_quarantined_also_when_no_rule_asks_for_it(
        self, make_context, make_frame, schools, rules_failed
    ):
        context = make_context("senior_quota", references={"schools": schools})
        contract = context.contract.model_copy(update={"rules": ()})
        frame = make_frame(
            QUOTA, [["", "示例初级中学", "示例高级中学", "3"], ["2024", "没有的学校", "示例高级中学", "3"]]
        )
        outcome = run(frame, replace(context, contract=contract))
        assert outcome.accepted.is_empty()
        assert rules_failed(outcome, "error") == {
            1: {"business_key.incomplete"},
            2: {"business_key.incomplete"},
        }


class TestSuggestions:
    def test_a_similar_name_is_suggested_and_never_linked(self, govern, schools, rules_failed):
        outcome = govern(
            "senior_quota",
            QUOTA,
            [["2024", "上海市示例初级中学部", "示例高级中学", "3"]],
            references={"schools": schools},
        )
        assert outcome.accepted.is_empty()
        assert {"junior_school.linked", "link.review"} <= rules_failed(outcome)[1]
        found = outcome.findings.filter(pl.col("rule_id") == "link.review")
        assert "S1" in found["reason_zh"][0]

    def test_an_unlike_name_is_not_suggested(self, govern, schools, rules_failed):
        outcome = govern(
            "senior_quota",
            QUOTA,
            [["2024", "上海市完全无关实验学校", "示例高级中学", "3"]],
            references={"schools": schools},
        )
        assert "link.review" not in rules_failed(outcome)[1]

    def test_a_new_school_like_a_known_one_of_its_district_is_accepted_and_suggested(
        self, roster, schools, rules_failed
    ):
        outcome = roster(
            ["012001", "上海市示例初级中学部", "浦东新区", "", ""], references={"schools": schools}
        )
        assert outcome.accepted.height == 1
        assert "link.review" in rules_failed(outcome, "warning")[1]

    def test_the_very_same_name_in_another_district_is_suggested(self, roster, schools, rules_failed):
        outcome = roster(["012001", "上海市示例初级中学", "杨浦区", "", ""], references={"schools": schools})
        assert outcome.accepted["school_key"][0] != "S1"
        assert "link.review" in rules_failed(outcome, "warning")[1]

    def test_the_suggestion_rule_counts_as_checked_also_when_it_is_silent(self, roster, schools):
        outcome = roster(["012001", "上海市完全无关学校", "杨浦区", "", ""], references={"schools": schools})
        review = next(r for r in outcome.rules_checked if r["rule_id"] == "link.review")
        assert (review["checked_rows"], review["failed_rows"]) == (1, 0)
