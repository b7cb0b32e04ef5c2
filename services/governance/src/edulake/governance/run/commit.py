"""The one transaction of a decided batch: versions, quarantine, findings, report, run and events together."""

from typing import Any

from edulake.common import faults
from edulake.common.bus import announce
from edulake.common.events import BY_BLOCK, Comparison
from edulake.common.events.governed import TakenOut
from edulake.common.lake import Lake
from edulake.common.service import Resources
from edulake.common.telemetry import logger
from edulake.governance.batch import repository as batches
from edulake.governance.dataset import repository as datasets
from edulake.governance.models import Run, VersionNote
from edulake.governance.quality import repository as reports
from edulake.governance.run import contribution
from edulake.governance.run import repository as runs
from edulake.governance.run.contribution import BasisMoved, Nothing
from edulake.governance.run.events import events_of, finished_event
from edulake.governance.run.lease import LeaseLost, Progress, hold_while
from edulake.governance.run.prepare import KEPT, Decided, prepare
from edulake.governance.settings import GovernanceSettings
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)
BASIS_TRIES = 5


async def settle(
    resources: Resources, lake: Lake, decided: Decided, settings: GovernanceSettings, progress: Progress
) -> None:
    """Merge, store and tell. LeaseLost when another worker may have the run: then nothing is written."""
    run = decided.run
    for _ in range(BASIS_TRIES):
        work = prepare(resources, lake, decided)
        ready = await hold_while(resources.database, run, settings, progress, work)
        await faults.point("governance.before_lake")
        try:
            # From here on the transaction itself holds the run's row: a pulse would only wait for it.
            async with resources.database.transaction() as session:
                await _commit(session, lake, ready, settings.examples_per_rule_max)
                await faults.point("governance.before_commit")
            await faults.point("governance.after_commit")
            return
        except BasisMoved:
            log.info("merge repeated", batch_id=run.batch_id)
    raise BasisMoved


async def refuse(resources: Resources, run: Run, reason_zh: str, reason_en: str) -> None:
    """End a run that cannot be governed, so that its source learns why (P1)."""
    async with resources.database.transaction() as session:
        held = await runs.hold(session, run)
        if held is None:
            raise LeaseLost
        if held.version is not None:  # governed before: that stays, and is said
            reason_zh, reason_en = f"{reason_zh}；{KEPT[0]}", f"{reason_en}; {KEPT[1]}"
        reason = {"reason_zh": reason_zh, "reason_en": reason_en}
        facts = {**runs.NO_RESULT, **_in_effect(held), "state": "failed", "outcome": "refused", **reason}
        await runs.end(session, run.batch_id, facts)
        await announce_end(session, run.batch_id)


async def _commit(session: AsyncSession, lake: Lake, decided: Decided, examples_max: int) -> None:
    # The dataset before the run's row, as a restore takes them: two orders would be a deadlock.
    await datasets.lock(session, decided.run.dataset)
    run = await runs.hold(session, decided.run)
    if run is None:
        raise LeaseLost
    if run.is_withdrawn:  # claimed again, it takes out what an earlier revision may have contributed
        await runs.release(session, run, is_a_try=False)
        return
    note = await _write_lake(session, lake, decided)
    await faults.point("governance.after_lake")
    await _write_records(session, lake, decided)
    await _end(session, decided, run, note)
    outcome = decided.verdict.outcome
    if outcome in ("governed", "held") and contribution.is_whole(run):
        for older in await runs.supersede_held(session, run):
            await announce_end(session, older)
    if note and outcome != "governed":
        reopened = await contribution.bring_back_replaced(session, run)
        log.warning("blocked batch taken out", batch_id=run.batch_id, version=note.version, reopened=reopened)
    for event in events_of(decided, note, examples_max):
        await announce(session, event)
    await announce_end(session, run.batch_id, "block" if outcome == "refused" else None)


async def announce_end(session: AsyncSession, batch_id: str, taken_out_by: TakenOut | None = None) -> None:
    """Tell how a run that was just closed came out."""
    ended = await runs.get(session, batch_id)
    if ended:
        await announce(session, finished_event(ended, taken_out_by))


async def _write_lake(session: AsyncSession, lake: Lake, decided: Decided) -> VersionNote | None:
    """The version with the batch's rows, or without those an earlier revision of a blocked one had put in."""
    if decided.tables is None:
        return None
    if isinstance(decided.tables, Nothing):  # a restore may have brought the batch's rows back since
        await contribution.confirm(session, lake, decided.run, decided.tables)
        return None
    verdict = decided.verdict
    if verdict.outcome != "governed":  # what must not be served leaves, whatever is lost by it
        return await contribution.write(session, lake, decided.run, decided.tables, agreed_by=BY_BLOCK)
    grade = (decided.inputs.context.contract.level, verdict.score)
    return await contribution.write(session, lake, decided.run, decided.tables, grade, decided.agreed_by)


async def _write_records(session: AsyncSession, lake: Lake, decided: Decided) -> None:
    run, verdict = decided.run, decided.verdict
    if decided.held_back:
        await lake.record_objects(
            session,
            run.dataset,
            [decided.held_back],
            batch_id=decided.key,
            content_digest=decided.held_back.sm3,
            row_count=verdict.held_back.height,
            zone="quarantine",
        )
    await batches.replace_quarantine(session, run, decided.held_back, verdict.held_back.height)
    await batches.replace_findings(session, run, verdict)
    await datasets.replace_inherited(session, run, decided.inputs.inherited)
    session.add(reports.report_of(run, verdict, _as_json(decided.lacks), decided.agreed_by))
    await session.flush()


def _in_effect(run: Run) -> dict[str, Any]:
    """The version a run's rows came in with; it stays while no later processing replaces or removes them."""
    return {"version": run.version, "content_digest": run.content_digest}


def _as_json(lacks: Comparison | None) -> dict[str, Any] | None:
    return lacks.model_dump(mode="json") if lacks else None


async def _end(session: AsyncSession, decided: Decided, run: Run, note: VersionNote | None) -> None:
    verdict = decided.verdict
    served: dict[str, Any] = {"version": None, "content_digest": None}
    if verdict.outcome == "governed" and note:
        served = {"version": note.version, "content_digest": note.content_digest}
    elif verdict.outcome in ("below_threshold", "held"):
        served = _in_effect(run)
    facts = {
        **served,
        "state": "held" if verdict.outcome == "held" else "finished",
        "outcome": verdict.outcome,
        "rows_in": verdict.rows_in,
        "rows_governed": verdict.rows_governed,
        "rows_quarantined": verdict.held_back.height,
        "quarantined_by_rule": verdict.quarantined_by_rule,
        "seconds_by_step": verdict.seconds_by_step,
        "reason_zh": verdict.reason_zh,
        "reason_en": verdict.reason_en,
        "completeness": _as_json(decided.lacks),
    }
    await runs.end(session, decided.run.batch_id, facts)
