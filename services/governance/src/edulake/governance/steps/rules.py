"""Rules: a kind of the contract becomes two expressions, which rows it looks at and which of them fail.

`not_*` kinds come first: a heading or a total is no record, so no other rule looks at it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl
from edulake.common.standards import Rule
from edulake.governance.steps.context import (
    BAD,
    NOISE,
    ROW,
    Context,
    Shown,
    StepResult,
    finding,
    raw,
    shown,
)
from edulake.governance.steps.faults import blaming


@dataclass(frozen=True)
class Verdict:
    """Two Boolean expressions; `failed` counts only where `checked`. Null is false in both."""

    checked: pl.Expr
    failed: pl.Expr


Check = Callable[[Rule, Context], Verdict]
#: Kinds whose rows are no records at all.
NOISE_KINDS = ("not_heading", "not_total", "not_subtotal")


def apply_rules(frame: pl.DataFrame, context: Context, checks: dict[str, Check]) -> StepResult:
    """Run the contract's rules of these kinds in its order; marks `_noise` and `_bad`."""
    frame = _with_marks(frame)
    rules = [rule for rule in context.contract.rules if rule.kind in checks]
    rules.sort(key=lambda rule: rule.kind not in NOISE_KINDS)
    findings, records = [], []
    for rule in rules:
        with blaming(f"{context.contract.name}: rule {rule.id} of kind {rule.kind}"):
            frame, checked, failed = _judge(frame, rule, checks[rule.kind](rule, context))
        records.append(record(rule, checked, failed.height))
        if failed.height:
            findings.append(_as_findings(failed, rule, context))
    return StepResult(frame, findings, {"rules": records})


def record(rule: Rule, checked: int, failed: int) -> dict[str, Any]:
    """What the quality report keeps of a rule, also of one that everything passed."""
    return {
        "rule_id": rule.id,
        "title": rule.title,
        "field": rule.field,
        "severity": rule.severity,
        "dimension": rule.dimension,
        "checked_rows": checked,
        "failed_rows": failed,
    }


def mark_bad(frame: pl.DataFrame, rows: Iterable[int] | pl.Series) -> pl.DataFrame:
    """Rows that go to quarantine."""
    return frame.with_columns(
        (pl.col(BAD) | pl.col(ROW).is_in(pl.Series(rows, dtype=pl.Int64).implode())).alias(BAD)
    )


def _with_marks(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(False).alias(name) for name in (NOISE, BAD) if name not in frame.columns]
    return frame.with_columns(missing)


def _judge(frame: pl.DataFrame, rule: Rule, verdict: Verdict) -> tuple[pl.DataFrame, int, pl.DataFrame]:
    looked_at = verdict.checked.fill_null(False) & ~pl.col(NOISE)
    failing = looked_at & verdict.failed.fill_null(False)
    frame = frame.with_columns(looked_at.alias("_looked"), failing.alias("_fails"))
    checked, failed = int(frame["_looked"].sum()), frame.filter(pl.col("_fails"))
    marks = []
    if rule.kind in NOISE_KINDS:
        marks.append((pl.col(NOISE) | pl.col("_fails")).alias(NOISE))
    if rule.severity == "error":
        marks.append((pl.col(BAD) | pl.col("_fails")).alias(BAD))
    return frame.with_columns(marks).drop("_looked", "_fails"), checked, failed


def _as_findings(failed: pl.DataFrame, rule: Rule, context: Context) -> pl.DataFrame:
    return finding(
        failed,
        rule_id=rule.id,
        field_name=rule.field,
        severity=rule.severity,
        dimension=rule.dimension,
        zh=rule.title,
        en=rule.title_en or rule.title,
        value=_shown(rule, failed, context),
    )


def _shown(rule: Rule, frame: pl.DataFrame, context: Context) -> Shown:
    column = raw(rule.field) if raw(rule.field) in frame.columns else rule.field
    return shown(context.contract.field(rule.field), pl.col(column), context)
