"""What an outcome of the pipeline means: every border of governed, below threshold and refused."""

from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from edulake.governance.quality.score import overall, score_by_dimension
from edulake.governance.run.verdict import REASONS, cap_findings, decide, examples
from edulake.governance.steps.context import FINDING_SCHEMA
from hypothesis import given
from hypothesis import strategies as st


def reason(rule: str) -> dict[str, str]:
    return {"rule_id": rule, "field": "f", "zh": "原因", "en": "reason"}


def delivered(count: int) -> pl.DataFrame:
    return pl.DataFrame({"_row": range(1, count + 1), "名称": [f"n{i}" for i in range(count)]})


def outcome(count: int, bad: dict[int, list[str]], **facts: Any) -> Any:
    """An outcome in which the rows `bad` (row → rules) failed and all others were accepted."""
    frame = delivered(count)
    held = frame.filter(pl.col("_row").is_in(list(bad)))
    reasons = [[reason(rule) for rule in bad[row]] for row in held["_row"]]
    return SimpleNamespace(
        accepted=frame.filter(~pl.col("_row").is_in(list(bad))).with_columns(pl.lit("k").alias("_row_key")),
        quarantined=held.with_columns(pl.Series("reasons", reasons, dtype=REASONS)),
        findings=pl.DataFrame(schema=FINDING_SCHEMA),
        rules_checked=[],
        profile={},
        column_levels={},
        seconds_by_step={},
        **{"blocked": None, **facts},
    )


def judge(count: int, bad: dict[int, list[str]], threshold: float = 0.5, **facts: Any) -> Any:
    contract: Any = SimpleNamespace(threshold=threshold)
    return decide(delivered(count), contract, outcome(count, bad, **facts), findings_per_rule_max=10)


class TestTheThreshold:
    @pytest.mark.parametrize(
        ("bad", "expected"),
        [(0, "governed"), (5, "governed"), (6, "below_threshold"), (10, "below_threshold")],
    )
    def test_is_the_least_share_that_must_pass(self, bad: int, expected: str) -> None:
        assert judge(10, {row: ["r.x"] for row in range(1, bad + 1)}).outcome == expected

    def test_of_zero_still_needs_one_row(self) -> None:
        assert judge(1, {1: ["r.x"]}, threshold=0).outcome == "below_threshold"


class TestNothingVanishes:
    @given(st.integers(1, 20), st.sets(st.integers(1, 20)), st.floats(0, 1), st.booleans())
    def test_every_row_is_governed_or_held_back_with_a_reason(
        self, count: int, bad: set[int], threshold: float, blocked: bool
    ) -> None:
        failed = {row: ["r.x"] for row in bad if row <= count}
        verdict = judge(count, failed, threshold, blocked="拦截 / blocked" if blocked else None)
        assert verdict.rows_governed + verdict.held_back.height == verdict.rows_in == count
        assert verdict.held_back["reasons"].list.len().min() in (None, *range(1, 3))
        assert (verdict.outcome == "governed") or verdict.rows_governed == 0

    def test_a_row_that_broke_two_rules_counts_for_both_once(self) -> None:
        verdict = judge(4, {1: ["a.x", "b.x", "a.x"], 2: ["a.x"]})
        assert verdict.quarantined_by_rule == {"a.x": 2, "b.x": 1}

    def test_rows_that_passed_are_held_back_in_the_batchs_name(self) -> None:
        verdict = judge(4, {1: ["a.x"], 2: ["a.x"], 3: ["a.x"]})
        assert verdict.quarantined_by_rule == {"a.x": 3, "batch.threshold": 1}
        last = verdict.held_back.filter(pl.col("_row") == 4)["reasons"][0][0]
        assert last["zh"] == verdict.reason_zh
        assert "名称" in verdict.held_back.columns


class TestRefusing:
    def test_a_blocked_batch_says_why_in_both_languages(self) -> None:
        verdict = judge(2, {}, blocked="太敏感 / too sensitive")
        assert (verdict.outcome, verdict.reason_zh, verdict.reason_en) == (
            "refused",
            "太敏感",
            "too sensitive",
        )

    def test_an_empty_delivery_is_refused(self) -> None:
        assert judge(0, {}).outcome == "refused"


class TestFindings:
    FINDINGS = pl.DataFrame(
        {
            "_row": [3, 1, 2, 1, None],
            "rule_id": ["a", "a", "a", "b", "b"],
            "field": ["f"] * 5,
            "value_masked": ["z", "x", "x", None, "w"],
        }
    )

    def test_are_capped_for_each_rule_in_row_order(self) -> None:
        kept = cap_findings(self.FINDINGS, 2)
        assert kept.select("rule_id", "_row").rows() == [("a", 1), ("a", 2), ("b", 1), ("b", None)]

    def test_give_each_example_once(self) -> None:
        assert examples(cap_findings(self.FINDINGS, 9), "a", 5) == ["x", "z"]
        assert examples(self.FINDINGS, "a", 0) == []


class TestScore:
    def test_is_the_share_of_checks_that_passed_by_dimension(self) -> None:
        rules = [
            {"dimension": "完整性", "checked_rows": 10, "failed_rows": 1},
            {"dimension": "完整性", "checked_rows": 10, "failed_rows": 0},
            {"dimension": "规范性", "checked_rows": 4, "failed_rows": 4},
            {"dimension": "唯一性", "checked_rows": 0, "failed_rows": 0},
        ]
        scores = score_by_dimension(rules)
        assert scores == {"完整性": 95.0, "规范性": 0.0}
        assert overall(scores) == 47.5

    def test_is_nothing_when_nothing_was_checked(self) -> None:
        assert overall(score_by_dimension([])) == 0.0
