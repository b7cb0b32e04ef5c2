"""A delivered value is told of nowhere unless it is a word of its column's code table."""

import json

import pytest

STUDENT = ["姓名", "身份证号", "学校", "所属区", "年级", "学籍状态", "性别"]


@pytest.fixture
def student(govern, schools, identity_number):
    def go(headers=STUDENT, **cells):
        good = dict(
            zip(STUDENT, ["张三", identity_number(), "样例学校", "徐汇区", "初一", "在读", "男"], strict=True)
        )
        row = [{**good, **cells}.get(header.split("（")[0], "") for header in headers]
        return govern("student_base", headers, [row], references={"schools": schools})

    return go


def told(outcome) -> str:
    """Everything that leaves the pipeline beside the rows themselves."""
    facts = [outcome.findings.to_dicts(), outcome.rules_checked, outcome.profile, outcome.column_levels]
    return json.dumps([*facts, outcome.blocked], ensure_ascii=False, default=str)


class TestValues:
    @pytest.mark.parametrize("header", STUDENT)
    def test_a_name_in_any_column_is_told_nowhere(self, student, header):
        outcome = student(**{header: "卡纳瑞"})
        assert "卡纳瑞" not in told(outcome)
        assert "卡纳瑞" not in str(outcome.accepted.drop("school_name", strict=False).to_dicts())

    def test_its_shape_is(self, student):
        (found,) = student(年级="卡纳瑞").findings.filter(rule_id="grade.known").to_dicts()
        assert found["value_masked"] == "汉字 1–4 位"

    def test_a_word_of_the_code_table_is_told_as_the_table_writes_it(self, govern):
        headers = ["学校名称", "所属区", "区代码"]
        outcome = govern("school_base", headers, [["上海市求真中学", "黄浦", "PD"]], title="初中名册")
        (found,) = outcome.findings.filter(rule_id="district_code.agrees").to_dicts()
        assert found["value_masked"] == "黄浦区"

    def test_the_words_of_a_sensitive_field_are_not(self, make_context):
        import polars as pl
        from edulake.governance.steps.context import shown

        context = make_context("student_base")
        field = context.contract.field("ethnicity")
        assert pl.select(shown(field, pl.lit("汉族"), context)).item() == "汉字 1–4 位"

    def test_a_suggestion_names_the_key_of_the_school_and_no_name(self, student):
        outcome = student(学校="样列学校")
        found = outcome.findings.filter(rule_id="link.review")
        assert found["reason_zh"].str.contains("S2").all()
        assert "样例学校" not in told(outcome)


class TestEvidence:
    def test_what_was_not_mapped_is_not_kept(self, student):
        outcome = student(所属区="卡纳瑞")
        assert outcome.accepted["_district_code_raw"].to_list() == [None]

    def test_a_word_of_the_table_is(self, student):
        assert student().accepted["_district_code_raw"].to_list() == ["徐汇区"]


class TestHeaders:
    def test_of_a_header_nobody_knows_place_and_shape_are_told(self, student):
        outcome = student([*STUDENT, "卡纳瑞"])
        assert "卡纳瑞" not in told(outcome)
        assert "第 8 列（汉字 1–4 位）" in outcome.profile["columns"]

    def test_what_stands_in_brackets_behind_a_known_one_is_not_told(self, student):
        outcome = student([*STUDENT[:-1], "性别（卡纳瑞）"])
        assert "卡纳瑞" not in told(outcome)
        assert "性别" in outcome.profile["columns"]

    def test_not_even_as_the_origin_of_a_value(self, govern, schools):
        headers = ["年份", "初中学校代码（卡纳瑞）", "高中名称", "计划数"]
        rows = [["2024", "示例初级中学", "示例高级中学", "3"]]
        outcome = govern("senior_quota", headers, rows, references={"schools": schools})
        assert outcome.accepted.height == 1
        assert "卡纳瑞" not in told(outcome) + str(outcome.accepted.to_dicts())
