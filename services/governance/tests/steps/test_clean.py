"""Rules about single rows; noise is told from records; what came twice is kept once."""

import polars as pl
import pytest

ROSTER = ["学校代码", "学校名称", "简称", "所属区", "估计学生数"]
STUDENT = ["姓名", "性别", "身份证号", "学籍号", "学校", "出生日期"]


@pytest.fixture
def roster(govern):
    return lambda *rows, **more: govern("school_base", ROSTER, rows, title="初中名册", **more)


class TestNoise:
    @pytest.mark.parametrize("name", ["学校名称", "初中学校名称", "毕业学校", "学校 名称"])
    def test_a_heading_inside_the_data_is_quarantined_for_that_reason_alone(self, roster, rules_failed, name):
        assert rules_failed(roster(["初中学校代码", name, "", "杨浦区", ""])) == {1: {"row.heading"}}

    @pytest.mark.parametrize("name", ["合计", "总计", "合 计", "小计"])
    def test_a_total_is_quarantined_for_that_reason_alone(self, roster, rules_failed, name):
        assert rules_failed(roster(["", name, "", "宝山区", "999"])) == {1: {"row.total"}}

    def test_totals_are_never_absorbed_as_duplicates(self, roster):
        outcome = roster(["", "合计", "", "宝山区", "9"], ["", "合计", "", "宝山区", "9"])
        assert outcome.quarantined["_row"].to_list() == [1, 2]


class TestRules:
    @pytest.mark.parametrize(
        ("row", "rule"),
        [
            (["012001", "", "", "黄浦区", ""], "school_name.required"),
            (["012001", "abc", "", "黄浦区", ""], "school_name.form"),
            (["01A", "上海市求真中学", "", "黄浦区", ""], "school_code.form"),
            (["012001", "上海市求真中学", "", "", ""], "district_code.required"),
        ],
    )
    def test_a_broken_row_is_quarantined_with_the_rule(self, roster, rules_failed, row, rule):
        assert rule in rules_failed(roster(row), "error")[1]

    @pytest.mark.parametrize(
        ("row", "rule"),
        [
            (["75068", "上海市求真中学", "", "普陀区", ""], "school_code.mended"),
            (["012001", "上海市求真中学", "", "黄浦区", "三百"], "estimated_pupils.number"),
            (["012001", "上海市求真中学", "", "黄浦区", "90000"], "estimated_pupils.range"),
            (["012001", "上海市求真中学", "", "上海市", ""], "district_code.whole_city"),
        ],
    )
    def test_a_doubtful_row_is_accepted_with_a_finding(self, roster, rules_failed, row, rule):
        outcome = roster(row)
        assert outcome.accepted.height == 1
        assert rule in rules_failed(outcome, "warning")[1]

    @pytest.mark.parametrize("number", ["3.10199E+17", "3.10199201205171e+17", "３.１E+17"])
    def test_a_number_that_excel_rounded_says_what_to_do(self, govern, rules_failed, number):
        outcome = govern("student_base", STUDENT, [["张示例", "男", number, "", "", "2012-05-17"]])
        assert "identity_number.rounded" in rules_failed(outcome, "error")[1]
        (reasons,) = outcome.quarantined["reasons"].to_list()
        assert any("超过 15 位已丢失精度，请设为文本" in reason["zh"] for reason in reasons)

    @pytest.mark.parametrize("number", ["3E01", "E12345678", "1.5", ""])
    def test_what_only_looks_a_little_like_it_is_not_rounded(self, govern, rules_failed, number):
        outcome = govern("student_base", STUDENT, [["张示例", "男", number, "", "", "2012-05-17"]])
        assert "identity_number.rounded" not in rules_failed(outcome, "error").get(1, set())

    def test_district_and_letters_that_disagree_are_a_finding(self, govern, rules_failed):
        headers = ["学校名称", "所属区", "区代码"]
        outcome = govern("school_base", headers, [["上海市求真中学", "黄浦区", "PD"]], title="初中名册")
        assert "district_code.agrees" in rules_failed(outcome, "warning")[1]

    def test_counts_are_of_the_rows_the_rule_looked_at(self, roster):
        outcome = roster(
            ["75068", "上海市求真中学", "", "普陀区", ""], ["", "上海市务实中学", "", "普陀区", ""]
        )
        mended = next(r for r in outcome.rules_checked if r["rule_id"] == "school_code.mended")
        assert (mended["checked_rows"], mended["failed_rows"]) == (1, 1)


class TestPeople:
    @pytest.fixture
    def student(self, govern, schools):
        def go(*cells):
            return govern("student_base", STUDENT, [list(cells)], references={"schools": schools})

        return go

    def test_a_sound_student_passes_with_only_the_marks_that_are_true(
        self, student, identity_number, rules_failed
    ):
        number = identity_number(serial=11)
        outcome = student("张三", "男", number, "G" + number, "上海市样例学校", "2012-05-17")
        assert rules_failed(outcome) == {
            1: {"identity_number.synthetic", "grade.required"}
        }  # no 年级 delivered

    def test_the_documented_synthetic_area_is_no_unknown_area_but_another_one_is(
        self, student, identity_number, rules_failed
    ):
        assert (
            "identity_number.area"
            not in rules_failed(student("张三", "女", identity_number(), "", "样例学校", ""))[1]
        )
        strange = identity_number(area="319999")
        outcome = student("张三", "女", strange, "", "样例学校", "")
        assert "identity_number.area" in rules_failed(outcome, "warning")[1]

    def test_a_wrong_check_digit_is_quarantined_and_never_shown(self, student, identity_number, rules_failed):
        number = identity_number()
        wrong = number[:-1] + ("1" if number[-1] != "1" else "2")
        outcome = student("张三", "女", wrong, "", "样例学校", "")
        assert "identity_number.check" in rules_failed(outcome, "error")[1]
        assert (
            not outcome.findings["value_masked"].fill_null("").str.contains(wrong[6:14], literal=True).any()
        )

    def test_a_number_from_the_future_is_wrong(self, student, identity_number, rules_failed):
        assert (
            "identity_number.check"
            in rules_failed(student("张三", "女", identity_number("20300101"), "", "样例学校", ""))[1]
        )

    @pytest.mark.parametrize(
        ("sex", "birth", "rule", "severity"),
        [
            ("男", "2012-05-17", "sex.agrees", "warning"),
            ("女", "2012-05-18", "birth_date.agrees", "error"),
            ("女", "2012年6月", "birth_date.agrees", "error"),
            ("女", "去年", "birth_date.date", "error"),
        ],
    )
    def test_what_disagrees_with_the_number_is_found(
        self, student, identity_number, rules_failed, sex, birth, rule, severity
    ):
        outcome = student("张三", sex, identity_number(), "", "样例学校", birth)
        assert rule in rules_failed(outcome, severity)[1]

    def test_a_student_number_of_somebody_else_is_quarantined(self, student, identity_number, rules_failed):
        outcome = student(
            "张三", "女", identity_number(serial=12), "G" + identity_number(serial=14), "样例学校", ""
        )
        assert "student_number.agrees" in rules_failed(outcome, "error")[1]

    def test_a_passport_is_not_held_to_the_identity_card_rule(self, govern, schools, rules_failed):
        outcome = govern(
            "student_base",
            ["姓名", "证件类型", "证件号", "学校", "出生日期"],
            [["Ann", "护照", "E1234567", "样例学校", "2012-05-17"]],
            references={"schools": schools},
        )
        assert outcome.accepted.height == 1
        assert "identity_number.check" not in rules_failed(outcome).get(1, set())

    @pytest.fixture
    def documents(self, govern, schools):
        """Two pupils of one school, each with a document of this kind and these numbers."""

        def go(kind, *numbers):
            rows = [
                [f"学生{chr(0x4E00 + n)}", kind, number, "样例学校", "2012-05-17"]
                for n, number in enumerate(numbers)
            ]
            headers = ["姓名", "证件类型", "证件号", "学校", "出生日期"]
            return govern("student_base", headers, rows, references={"schools": schools})

        return go

    @pytest.mark.parametrize("words", ["无证件", "不详", "没有"])
    def test_words_for_no_document_make_nobody_the_same_person(self, documents, rules_failed, words):
        outcome = documents("其他", words, words)
        assert outcome.accepted.is_empty()
        assert all("student.identified" in rules for rules in rules_failed(outcome, "error").values())

    @pytest.mark.parametrize("number", ["无护照", "000000", "1111-1111", "护照12"])
    def test_what_is_no_number_of_a_document_is_quarantined(self, documents, rules_failed, number):
        outcome = documents("护照", number, "E1234567")
        assert outcome.accepted["_row"].to_list() == [2]
        assert "identity_number.form" in rules_failed(outcome, "error")[1]

    @pytest.mark.parametrize("number", ["H1234567890", "军字第2001988号", "EB0012345", "07257632"])
    def test_numbers_of_other_documents_pass(self, documents, number):
        assert documents("其他", number, "E1234567").accepted.height == 2

    @pytest.mark.parametrize("birth", ["19900101", "20231001"])
    def test_an_impossible_age_is_quarantined(self, student, identity_number, rules_failed, birth):
        outcome = student("张三", "女", identity_number(birth), "", "样例学校", "")
        assert "birth_date.age" in rules_failed(outcome, "error")[1]


class TestRepeats:
    ROW = ("012001", "上海市求真中学", "", "黄浦区", "12")

    def test_an_equal_row_is_kept_once_and_the_other_is_a_finding(self, roster):
        outcome = roster(self.ROW, self.ROW, self.ROW)
        assert outcome.accepted["_row"].to_list() == [1]
        found = outcome.findings.filter(pl.col("rule_id") == "row.duplicate")
        assert found["_row"].to_list() == [2, 3]
        assert "第 1 行" in found["reason_zh"][0]

    def test_broken_rows_are_not_absorbed(self, roster):
        row = ("01", "上海市求真中学", "", "黄浦区", "12")
        assert roster(row, row).quarantined["_row"].to_list() == [1, 2]


class TestText:
    def test_a_short_name_cut_by_a_program_is_not_used(self, roster, rules_failed):
        outcome = roster(["012001", "上海市宝山区求真中学", "上海市宝山区", "宝山区", ""])
        assert outcome.accepted["short_name"].to_list() == [None]
        assert "short_name.cut" in rules_failed(outcome)[1]

    def test_a_real_short_name_stays(self, roster):
        assert roster(["012001", "上海市求真初级中学", "求真初中", "宝山区", ""]).accepted[
            "short_name"
        ].to_list() == ["求真初中"]

    def test_a_private_use_character_is_reported_and_kept(self, roster, rules_failed):
        outcome = roster(["012001", "上海市求\ue123中学", "", "宝山区", ""])
        assert "text.private_use" in rules_failed(outcome)[1]
        assert "\ue123" in outcome.accepted["school_name"][0]
