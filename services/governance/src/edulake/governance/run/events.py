"""How a decided batch is told to the others."""

from collections.abc import Sequence
from typing import Any, cast

from edulake.common.events import (
    COMPLETENESS,
    Comparison,
    EventData,
    GovernedBatchFinished,
    GovernedDatasetReady,
    QualityBatchAssessed,
    QualityRuleFailed,
    RawBatchLanded,
    RuleResult,
)
from edulake.common.events.governed import Outcome, TakenOut
from edulake.governance.models import Run, VersionNote
from edulake.governance.run.contribution import is_whole
from edulake.governance.run.prepare import Decided
from edulake.governance.run.verdict import examples


def finished_event(run: Run, taken_out_by: TakenOut | None = None) -> GovernedBatchFinished:
    """The end of a closed run; ValueError when it has none."""
    if run.outcome is None:
        raise ValueError(f"run {run.batch_id} has no outcome")
    return GovernedBatchFinished(
        dataset=run.dataset,
        batch_id=run.batch_id,
        source_id=run.source_id,
        outcome=cast(Outcome, run.outcome),
        version=run.version,
        rows_in=run.rows_in,
        rows_governed=run.rows_governed,
        rows_quarantined=run.rows_quarantined,
        quarantined_by_rule=run.quarantined_by_rule,
        seconds_by_step=run.seconds_by_step,
        reason_zh=run.reason_zh,
        reason_en=run.reason_en,
        completeness=Comparison.model_validate(run.completeness) if run.completeness else None,
        agreed_by=run.agreed_by,
        taken_out_by=taken_out_by,
    )


def events_of(decided: Decided, note: VersionNote | None, examples_max: int) -> Sequence[EventData]:
    """Everything but the end of the batch, which comes last."""
    run, verdict = decided.run, decided.verdict
    landed = RawBatchLanded.model_validate(run.landed)
    whose: dict[str, Any] = {"batch_id": run.batch_id, "source_id": run.source_id, "dataset": run.dataset}
    whose |= {"contact": landed.contact, "organisation": landed.organisation}
    whose |= {"landed_no": run.landed_no, "revision": run.revision, "is_whole": is_whole(run)}
    whose["period"] = run.period
    failed = [
        QualityRuleFailed(
            **whose,
            rule_id=rule["rule_id"],
            rule_title=rule["title"],
            field=rule["field"],
            severity=rule["severity"],
            dimension=rule["dimension"],
            failed_rows=rule["failed_rows"],
            checked_rows=rule["checked_rows"],
            examples=examples(verdict.findings, rule["rule_id"], examples_max),
        )
        for rule in verdict.rules
        if rule["failed_rows"] and (rule["rule_id"] != COMPLETENESS or _asks(decided))
    ]
    results = [RuleResult.model_validate(rule) for rule in verdict.rules]
    told = {"completeness": decided.lacks, "agreed_by": decided.agreed_by}
    assessed = QualityBatchAssessed(**whose, outcome=verdict.outcome, rules=results, **told)
    return [*failed, assessed, *([ready_event(note)] if note else [])]


def _asks(decided: Decided) -> bool:
    """Whether what the batch lacks is its source's to mend: beyond the bound, and nobody agreed to it."""
    return decided.lacks is not None and bool(decided.lacks.exceeds) and decided.agreed_by is None


def ready_event(note: VersionNote) -> GovernedDatasetReady:
    """A governed version, as it is told to those who read it."""
    return GovernedDatasetReady(
        dataset=note.dataset,
        version=note.version,
        batch_id=note.batch_id,
        row_count=note.row_count,
        content_digest=note.content_digest,
        level=note.level,
        quality=note.quality,
        parts_version=note.parts_version,
        agreed_by=note.agreed_by,
    )
