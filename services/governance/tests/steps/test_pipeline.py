"""The whole list of steps: no row is lost, the same in gives the same out, a wrong delivery is stopped."""

import polars as pl
import pytest
from edulake.governance.pipeline import STEPS, run
from edulake.governance.steps.faults import ContractFault
from edulake.governance.steps.outcome import ABSORBING
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SCHOOL_HEADERS = ["学校代码", "学校名称", "所属区", "办别", "估计学生数"]
CELL = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "",
            "合计",
            "学校名称",
            "上海市求真中学",
            "求真中学",
            "０１２００１",
            "75068",
            "浦东区",
            "南汇",
            "无",
            "PUBLIC",
            "12人",
        ]
    ),
    st.text(max_size=12),
)
STUDENT_HEADERS = ["姓名", "性别", "身份证号", "学籍号", "学校", "出生日期", "年级"]
STUDENT_CELL = st.one_of(
    CELL,
    st.sampled_from(
        [
            "310199201205170125",
            "G310199201205170125",
            "J310104201105170011",
            "2012年5月",
            "男",
            "上海市样例学校",
        ]
    ),
)
PROPERTY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def absorbed_rows(outcome):
    return outcome.findings.filter(pl.col("rule_id").is_in(ABSORBING))["_row"].to_list()


def all_rows(outcome):
    return sorted([*outcome.accepted["_row"], *outcome.quarantined["_row"], *absorbed_rows(outcome)])


class TestNoRowIsLost:
    @PROPERTY
    @given(rows=st.lists(st.tuples(*[CELL] * len(SCHOOL_HEADERS)), max_size=12))
    def test_schools_are_accepted_quarantined_or_absorbed(self, govern, rows):
        outcome = govern("school_base", SCHOOL_HEADERS, rows, title="初中学校名册")
        assert all_rows(outcome) == list(range(1, len(rows) + 1))

    @PROPERTY
    @given(rows=st.lists(st.tuples(*[STUDENT_CELL] * len(STUDENT_HEADERS)), max_size=12))
    @example(
        rows=[(None,) * 7, (None,) * 7, (*(None,) * 6, "310199201205170125")]
    )  # twins in a blocked batch
    def test_students_are_accepted_quarantined_or_absorbed(self, govern, schools, rows):
        outcome = govern("student_base", STUDENT_HEADERS, rows, references={"schools": schools})
        assert all_rows(outcome) == list(range(1, len(rows) + 1))

    @PROPERTY
    @given(rows=st.lists(st.tuples(*[STUDENT_CELL] * len(STUDENT_HEADERS)), max_size=12))
    def test_every_quarantined_row_has_a_reason_and_its_delivered_text(self, govern, schools, rows):
        outcome = govern("student_base", STUDENT_HEADERS, rows, references={"schools": schools})
        for row in outcome.quarantined.iter_rows(named=True):
            assert row["reasons"]
            assert tuple(row[header] for header in STUDENT_HEADERS) == rows[row["_row"] - 1]

    @PROPERTY
    @given(rows=st.lists(st.tuples(*[CELL] * len(SCHOOL_HEADERS)), max_size=12))
    def test_accepted_keys_are_unique_and_whole(self, govern, rows):
        keys = govern("school_base", SCHOOL_HEADERS, rows, title="初中学校名册").accepted["_row_key"]
        assert keys.null_count() == 0
        assert keys.n_unique() == keys.len()


class TestTheSameInGivesTheSameOut:
    @PROPERTY
    @given(rows=st.lists(st.tuples(*[STUDENT_CELL] * len(STUDENT_HEADERS)), min_size=1, max_size=8))
    def test_running_twice_changes_nothing(self, govern, schools, rows):
        first, second = (
            govern("student_base", STUDENT_HEADERS, rows, references={"schools": schools}) for _ in range(2)
        )
        assert first.accepted.equals(second.accepted)
        assert first.findings.equals(second.findings)
        assert first.rules_checked == second.rules_checked


class TestStopping:
    def test_a_wrong_header_blocks_the_batch_and_says_what_is_missing(self, govern):
        outcome = govern("school_base", ["甲", "乙"], [["1", "2"], ["3", "4"]])
        assert outcome.blocked is not None
        assert "学校名称" in outcome.blocked
        assert "school name" in outcome.blocked
        assert outcome.accepted.is_empty()
        assert outcome.quarantined["_row"].to_list() == [1, 2]
        assert outcome.quarantined["reasons"].list.first().struct.field("rule_id").unique().to_list() == [
            "batch.blocked"
        ]

    def test_an_empty_delivery_is_no_error(self, govern):
        outcome = govern("school_base", SCHOOL_HEADERS, [])
        assert outcome.blocked is None
        assert outcome.accepted.is_empty()
        assert {rule["checked_rows"] for rule in outcome.rules_checked} == {0}

    def test_a_rule_kind_nobody_knows_is_refused(self, make_context, make_frame):
        context = make_context("school_base")
        strange = context.contract.rules[0].model_copy(update={"kind": "no_such_kind"})
        contract = context.contract.model_copy(update={"rules": (strange,)})
        with pytest.raises(ContractFault, match="no_such_kind"):
            run(make_frame(SCHOOL_HEADERS, []), type(context)(**{**vars(context), "contract": contract}))


class TestProgress:
    def test_every_step_reports_in_order_and_is_timed(self, make_context, make_frame):
        seen = []
        outcome = run(
            make_frame(SCHOOL_HEADERS, [["012001", "上海市求真中学", "黄浦区", "PUBLIC", "3"]]),
            make_context("school_base", title="初中学校名册"),
            lambda *call: seen.append(call),
        )
        names = [step.name for step in STEPS]
        assert seen == [(name, number, 8) for number, name in enumerate(names, start=1)]
        assert list(outcome.seconds_by_step) == names

    def test_rules_that_everything_passed_are_reported_too(self, govern, standards):
        outcome = govern(
            "school_base",
            SCHOOL_HEADERS,
            [["012001", "上海市求真中学", "黄浦区", "PUBLIC", "3"]],
            title="初中学校名册",
        )
        passed = {rule["rule_id"]: rule for rule in outcome.rules_checked}
        assert passed["school_name.required"]["checked_rows"] == 1
        assert passed["school_name.required"]["failed_rows"] == 0
        assert set(passed) == {
            "row.shifted",
            "cell.personal",
            *(rule.id for rule in standards.datasets["school_base"].rules),
        }
