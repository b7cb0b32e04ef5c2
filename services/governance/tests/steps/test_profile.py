"""The profile tells shapes and counts, keeps no personal value, and notices drift."""

import pytest

ROSTER = ["学校代码", "学校名称", "所属区", "估计学生数"]
ROWS = [
    ["012001", "上海市求真中学", "黄浦区", "12"],
    ["PD0001", "上海市务实中学", "浦东区", ""],
    ["", "上海市笃行中学", "浦东区", "30"],
]


@pytest.fixture
def roster(govern):
    return lambda rows=ROWS, headers=ROSTER, **more: govern(
        "school_base", headers, rows, title="初中名册", **more
    )


class TestFacts:
    def test_a_column_is_described_by_counts_shapes_and_type(self, roster):
        profile = roster().profile
        assert profile["rows"] == 3
        code = profile["columns"]["学校代码"]
        assert code["distinct"] == 2
        assert code["empty_share"] == pytest.approx(1 / 3, abs=1e-3)
        assert code["shapes"] == {"数字 5–9 位": 1, "数字、字母 5–9 位": 1}
        assert profile["columns"]["估计学生数"]["type"] == "number"
        assert profile["columns"]["所属区"]["top"] == {"浦东新区": 2, "黄浦区": 1}

    def test_long_numbers_never_stand_in_a_profile(self, govern, schools, identity_number):
        number = identity_number()
        outcome = govern(
            "student_base",
            ["姓名", "身份证号", "学校"],
            [["张三", number, "样例学校"]],
            references={"schools": schools},
        )
        assert number not in str(outcome.profile)

    def test_no_value_of_a_person_or_of_an_unknown_column_is_kept(self, govern, schools, identity_number):
        headers = ["姓名", "性别", "身份证号", "学校", "爱称"]
        row = ["欧阳小明", "男", identity_number(), "样例学校", "明明"]
        profile = govern("student_base", headers, [row], references={"schools": schools}).profile
        assert not [facts["top"] for facts in profile["columns"].values() if facts["top"]]
        assert not [word for word in ("欧阳", "样例学校", "爱称", "明明") if word in str(profile)]

    def test_only_words_of_the_code_table_are_kept(self, roster):
        profile = roster([["", "上海市求真中学", "黄浦", "12"], ["", "上海市务实中学", "张三", "12"]]).profile
        assert profile["columns"]["所属区"]["top"] == {"黄浦区": 1}
        assert "张三" not in str(profile)

    def test_an_empty_column_is_no_error(self, roster):
        assert (
            roster([["", "上海市求真中学", "黄浦区", None]]).profile["columns"]["估计学生数"]["type"]
            == "empty"
        )


class TestDrift:
    def test_nothing_is_said_about_the_same_delivery(self, roster, rules_failed):
        again = roster(previous_profile=roster().profile)
        assert not [r for r in rules_failed(again).get(None, set()) if r.startswith("drift")]

    def test_far_fewer_rows_are_noticed(self, roster, rules_failed):
        assert "drift.rows" in rules_failed(roster(ROWS[:1], previous_profile=roster().profile))[None]

    def test_columns_that_come_and_go_are_noticed(self, roster, rules_failed):
        other = roster(
            [[*row[:3], "公办"] for row in ROWS], [*ROSTER[:3], "办别"], previous_profile=roster().profile
        )
        assert {"drift.column_new", "drift.column_gone"} <= rules_failed(other)[None]

    def test_cells_that_became_empty_are_noticed(self, roster, rules_failed):
        emptied = roster([["", *row[1:]] for row in ROWS], previous_profile=roster().profile)
        assert "drift.empty" in rules_failed(emptied)[None]
