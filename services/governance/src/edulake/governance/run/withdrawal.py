"""Taking a withdrawn batch out again, as if it had never come.

A source may take a delivery back until it hears that it was governed, so a withdrawal can come after the
commit. Its rows then leave the contributions and the governed table as a new version, and the deliveries
it had replaced are governed once more.
"""

from edulake.common.bus import announce
from edulake.common.lake import Lake
from edulake.common.service import Resources
from edulake.common.telemetry import logger
from edulake.governance.dataset import repository as datasets
from edulake.governance.models import Run
from edulake.governance.run import contribution
from edulake.governance.run import repository as runs
from edulake.governance.run.commit import BASIS_TRIES, announce_end
from edulake.governance.run.contribution import BasisMoved, Nothing, Tables
from edulake.governance.run.events import ready_event
from edulake.governance.run.lease import LeaseLost, Progress, hold_while
from edulake.governance.settings import GovernanceSettings
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)
WITHDRAWN = {"reason_zh": "来源已撤回该批次", "reason_en": "the source withdrew the batch"}
TAKEN_OUT = {
    "reason_zh": "来源已撤回该批次，其数据已移出治理区",
    "reason_en": "the source withdrew the batch; its rows were taken out",
}


async def take_out(
    resources: Resources, lake: Lake, run: Run, settings: GovernanceSettings, progress: Progress
) -> None:
    """Remove what a withdrawn run contributed; LeaseLost when another worker may have the run."""
    for _ in range(BASIS_TRIES):
        work = contribution.without_batch(resources, lake, run)
        left = await hold_while(resources.database, run, settings, progress, work)
        try:
            async with resources.database.transaction() as session:
                await _commit(session, lake, run, left)
        except BasisMoved:
            log.info("removal repeated", batch_id=run.batch_id)
        else:
            return
    raise BasisMoved


async def _commit(session: AsyncSession, lake: Lake, run: Run, left: Tables | Nothing) -> None:
    await datasets.lock(session, run.dataset)  # before the run's row, as everywhere
    if await runs.hold(session, run) is None:
        raise LeaseLost
    if isinstance(left, Nothing):
        await contribution.confirm(session, lake, run, left)
        await runs.end(session, run.batch_id, {**runs.NO_RESULT, "state": "cancelled", **WITHDRAWN})
        return
    note = await contribution.write(session, lake, run, left, agreed_by=await _agreed_before(session, run))
    end = {**runs.NO_RESULT, "state": "cancelled", "outcome": "superseded", **TAKEN_OUT}
    await runs.end(session, run.batch_id, end)
    reopened = await contribution.bring_back_replaced(session, run)
    log.info("withdrawn batch taken out", batch_id=run.batch_id, version=note.version, reopened=reopened)
    await announce(session, ready_event(note))
    await announce_end(session, run.batch_id, "withdrawal")


async def _agreed_before(session: AsyncSession, run: Run) -> str | None:
    """Who restored the version that the rows are taken out of: that one is not published, so this one stands for it."""
    (note,) = await datasets.notes(session, run.dataset, None, 1)
    return note.agreed_by if note.restored_from is not None else None
