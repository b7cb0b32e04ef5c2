"""What comes out of the pipeline: every delivered row is accepted, in quarantine, or absorbed with a finding."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl
from edulake.governance.steps.context import BAD, FINDING_SCHEMA, ROW, StepResult, no_findings

#: Rules whose findings say that a row was absorbed by another one.
ABSORBING = ("row.duplicate", "row.merged", "row.reshaped")
QUARANTINE_REASON = pl.Struct({"rule_id": pl.String, "field": pl.String, "zh": pl.String, "en": pl.String})


@dataclass(frozen=True)
class Outcome:
    """Rows in = accepted + quarantined + rows with an absorbing finding.

    `accepted`: protected governed columns with `_row`, `_row_key`, `_period`, `_region`, `_filled`, and the
    raw and mapping columns of the region. `quarantined`: `_row`, `reasons` (list of {rule_id, field, zh, en})
    and the delivered text columns. `blocked`: why nothing at all was accepted, zh / en.
    """

    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    findings: pl.DataFrame
    rules_checked: list[dict[str, Any]] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)
    column_levels: dict[str, int] = field(default_factory=dict)
    blocked: str | None = None
    seconds_by_step: dict[str, float] = field(default_factory=dict)


def assemble(delivered: pl.DataFrame, results: list[StepResult], seconds: dict[str, float]) -> Outcome:
    """The outcome of steps that all ran, or of those up to the one that blocked."""
    found = [
        f.select(pl.col(c).cast(t) for c, t in FINDING_SCHEMA.items()) for r in results for f in r.findings
    ]
    findings = pl.concat([no_findings(), *found]).sort(ROW, "rule_id", nulls_last=True, maintain_order=True)
    blocked = next((str(r.notes["blocked"]) for r in results if "blocked" in r.notes), None)
    if blocked:  # nothing was accepted, so nothing took another row in: every row is held back, once
        findings = findings.filter(~pl.col("rule_id").is_in(ABSORBING))
    last = results[-1].frame
    return Outcome(
        accepted=_nothing() if blocked else last.filter(~pl.col(BAD)).drop(BAD),
        quarantined=_whole(delivered, blocked) if blocked else _quarantine(delivered, last, findings),
        findings=findings,
        rules_checked=[rule for r in results for rule in r.notes.get("rules", ())],
        profile=next((r.notes["profile"] for r in results if "profile" in r.notes), {}),
        column_levels=next((r.notes["column_levels"] for r in results if "column_levels" in r.notes), {}),
        blocked=blocked,
        seconds_by_step=seconds,
    )


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema={ROW: pl.Int64, "_row_key": pl.String})


def _whole(delivered: pl.DataFrame, blocked: str) -> pl.DataFrame:
    zh, _, en = blocked.partition(" / ")
    reason = pl.struct(
        pl.lit("batch.blocked").alias("rule_id"),
        pl.lit("").alias("field"),
        pl.lit(zh).alias("zh"),
        pl.lit(en).alias("en"),
    )
    return delivered.with_columns(pl.concat_list(reason).alias("reasons"))


def _quarantine(delivered: pl.DataFrame, last: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    bad = last.filter(pl.col(BAD)).select(ROW)
    errors = findings.filter((pl.col("severity") == "error") & pl.col(ROW).is_not_null())
    reason = pl.struct("rule_id", "field", pl.col("reason_zh").alias("zh"), pl.col("reason_en").alias("en"))
    reasons = errors.group_by(ROW).agg(reason.alias("reasons"))
    rows = delivered.with_columns(pl.col(ROW).cast(pl.Int64)).join(
        bad, on=ROW, how="semi", maintain_order="left"
    )
    joined = rows.join(reasons, on=ROW, how="left", maintain_order="left")
    return joined.select(ROW, "reasons", *(c for c in delivered.columns if c != ROW))
