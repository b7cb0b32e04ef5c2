"""What the pipeline's outcome means for a batch: pure, so that every border is testable.

governed: the accepted rows are contributed. below_threshold: too few rows passed, the governed version
stays. refused: the batch as a whole must not go on (nothing in it, or a column more sensitive than
declared). held: it lacks too much of what it replaces, and waits for a person. Rows that do not go on are
held back with their reasons, all of them: nothing vanishes (P1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import polars as pl
from edulake.common.events import Comparison
from edulake.common.events.governed import Outcome
from edulake.common.standards import Contract
from edulake.governance.dataset import completeness
from edulake.governance.quality.score import overall, score_by_dimension

ROW = "_row"
#: Reasons that are about the batch and not about a row.
THRESHOLD, BLOCKED = "batch.threshold", "batch.blocked"
REASONS = pl.List(pl.Struct({"rule_id": pl.String, "field": pl.String, "zh": pl.String, "en": pl.String}))


class PipelineOutcome(Protocol):
    """What `pipeline.run` gives back."""

    @property
    def accepted(self) -> pl.DataFrame: ...
    @property
    def quarantined(self) -> pl.DataFrame: ...
    @property
    def findings(self) -> pl.DataFrame: ...
    @property
    def rules_checked(self) -> list[dict[str, Any]]: ...
    @property
    def profile(self) -> dict[str, Any]: ...
    @property
    def column_levels(self) -> dict[str, int]: ...
    @property
    def blocked(self) -> str | None: ...
    @property
    def seconds_by_step(self) -> dict[str, float]: ...


@dataclass(frozen=True)
class Verdict:
    """A decided batch. `accepted` is empty unless it is governed; `held_back`: `_row`, `reasons` (REASONS), raw text."""

    outcome: Outcome
    reason_zh: str
    reason_en: str
    rows_in: int
    accepted: pl.DataFrame
    held_back: pl.DataFrame
    quarantined_by_rule: dict[str, int]
    findings: pl.DataFrame
    rules: list[dict[str, Any]]
    scores: dict[str, float]
    score: float
    profile: dict[str, Any]
    column_levels: dict[str, int]
    seconds_by_step: dict[str, float]

    @property
    def rows_governed(self) -> int:
        return self.accepted.height


def decide(
    delivered: pl.DataFrame, contract: Contract, result: PipelineOutcome, *, findings_per_rule_max: int
) -> Verdict:
    """Judge a batch. `delivered`: the text rows as landed, with `_row`."""
    outcome, mark, reason_zh, reason_en = _judge(delivered.height, contract.threshold, result)
    goes_on = outcome == "governed"
    reason = {"rule_id": mark, "field": "", "zh": reason_zh, "en": reason_en}
    held_back = result.quarantined if goes_on else _all_held_back(delivered, result.quarantined, reason)
    scores = score_by_dimension(result.rules_checked)
    return Verdict(
        outcome=outcome,
        reason_zh=reason_zh,
        reason_en=reason_en,
        rows_in=delivered.height,
        accepted=result.accepted if goes_on else result.accepted.clear(),
        held_back=held_back,
        quarantined_by_rule=_count_reasons(held_back),
        findings=cap_findings(result.findings, findings_per_rule_max),
        rules=result.rules_checked,
        scores=scores,
        score=overall(scores),
        profile=result.profile,
        column_levels=result.column_levels,
        seconds_by_step=result.seconds_by_step,
    )


def with_completeness(verdict: Verdict, found: Comparison, contract: Contract) -> Verdict:
    """The verdict that also says what the batch lacks of what it replaces: rule, findings and scores.

    A score may fall by it but never rises: that there was something to compare with is no merit.
    """
    rules = [*verdict.rules, completeness.record(found)]
    scores = min(verdict.scores, score_by_dimension(rules), key=overall)
    findings = pl.concat([completeness.findings(found, contract), verdict.findings], how="vertical_relaxed")
    return replace(verdict, rules=rules, scores=scores, score=overall(scores), findings=findings)


def held(verdict: Verdict, found: Comparison, contract: Contract) -> Verdict:
    """The verdict of a batch that waits for a person: nothing of it goes on yet, nothing of it is bad for that."""
    said = completeness.words(found, contract)
    zh, en = "；".join(zh for _, zh, _ in said), "; ".join(en for _, _, en in said)
    return replace(
        verdict,
        outcome="held",
        accepted=verdict.accepted.clear(),
        reason_zh=f"{zh}。等待数据责任人或数据治理工程师确认；此前的数据保持不变",
        reason_en=f"{en}. Waits for an owner or a steward; what there was before stays as it is",
    )


def cap_findings(findings: pl.DataFrame, per_rule_max: int) -> pl.DataFrame:
    """The first findings of each rule in row order; the full counts stand in the report's rules."""
    ordered = findings.sort("rule_id", ROW, "field", nulls_last=True, maintain_order=True)
    return ordered.filter(pl.int_range(pl.len()).over("rule_id") < per_rule_max)


def examples(findings: pl.DataFrame, rule_id: str, count: int) -> list[str]:
    """Masked values of a rule's first findings, each once."""
    values = findings.filter(pl.col("rule_id") == rule_id)["value_masked"].drop_nulls()
    return list(values.unique(maintain_order=True).head(count))


def _judge(rows_in: int, threshold: float, result: PipelineOutcome) -> tuple[Outcome, str, str, str]:
    if result.blocked:
        zh, en = _both(result.blocked)
        return "refused", BLOCKED, zh, en
    if rows_in == 0:
        return "refused", BLOCKED, "交付中没有数据行", "the delivery holds no rows"
    passed = rows_in - result.quarantined.height
    share = passed / rows_in
    if share < threshold or result.accepted.is_empty():
        return (
            "below_threshold",
            THRESHOLD,
            f"共 {rows_in} 行，合格 {passed} 行（{share:.1%}），低于门槛 {threshold:.0%}，治理版本保持不变",
            f"{passed} of {rows_in} rows passed ({share:.1%}), below the threshold of {threshold:.0%}; "
            "the governed version stays",
        )
    return "governed", "", "", ""


def _both(reason: str) -> tuple[str, str]:
    """The two languages of a reason written `zh / en`."""
    zh, _, en = reason.partition(" / ")
    return zh, en or zh


def _all_held_back(
    delivered: pl.DataFrame, quarantined: pl.DataFrame, reason: Mapping[str, str]
) -> pl.DataFrame:
    """Every delivered row: those that failed with their own reasons, the others with the batch's."""
    others = delivered.join(quarantined.select(pl.col(ROW).cast(delivered[ROW].dtype)), on=ROW, how="anti")
    marked = others.with_columns(pl.lit([dict(reason)], dtype=REASONS).alias("reasons"))
    return pl.concat([quarantined, marked], how="diagonal_relaxed").sort(ROW)


def _count_reasons(held_back: pl.DataFrame) -> dict[str, int]:
    """Held-back rows by rule; a row that broke several rules counts for each."""
    if held_back.is_empty():
        return {}
    each = held_back.select(ROW, "reasons").explode("reasons", empty_as_null=True).drop_nulls()
    rules = each.select(ROW, pl.col("reasons").struct.field("rule_id")).unique()["rule_id"].value_counts()
    return dict(sorted(rules.iter_rows()))
