"""What governance does when something happened elsewhere: queue, cancel, wake. All of it is fast."""

from edulake.common.bus import Handlers, announce
from edulake.common.events import (
    Event,
    GovernedDatasetReady,
    PublishedDatasetUpdated,
    RawBatchLanded,
    RawBatchWithdrawn,
)
from edulake.common.service import Resources
from edulake.common.telemetry import logger
from edulake.governance.dataset.service import follow_rollback
from edulake.governance.run import repository
from edulake.governance.run.events import finished_event
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)


async def batch_landed(
    session: AsyncSession, landed: RawBatchLanded, envelope: Event, _resources: Resources
) -> None:
    """Queue the batch. One that is known and decided is told again: whoever announces twice missed it."""
    if await repository.add(session, landed, envelope.trace_id, envelope.occurred_at):
        log.info("run queued", batch_id=landed.batch_id, dataset=landed.dataset)
        return
    run = await repository.get(session, landed.batch_id)
    if run and run.outcome and run.state in ("finished", "failed"):
        await announce(session, finished_event(run))


async def batch_withdrawn(
    session: AsyncSession, withdrawn: RawBatchWithdrawn, _envelope: Event, _resources: Resources
) -> None:
    """Cancel what is not decided; what was governed before this was heard is taken out again."""
    state = await repository.withdraw(session, withdrawn.batch_id)
    state = state or await repository.take_out(session, withdrawn.batch_id)
    log.info("run withdrawn", batch_id=withdrawn.batch_id, state=state or "closed before")


async def dataset_ready(
    session: AsyncSession, ready: GovernedDatasetReady, _envelope: Event, _resources: Resources
) -> None:
    """Wake the runs that waited for this dataset."""
    for batch_id in await repository.wake_waiting(session, ready.dataset):
        log.info("run woken", batch_id=batch_id, reference=ready.dataset)


async def publication_updated(
    session: AsyncSession, updated: PublishedDatasetUpdated, _envelope: Event, resources: Resources
) -> None:
    """What callers are served was rolled back: the governed dataset goes back with it."""
    contract = resources.standards.datasets.get(updated.dataset)
    if updated.rolled_back and contract is not None:
        await follow_rollback(session, resources.extra["lake"], contract, updated)


HANDLERS: Handlers = {
    RawBatchLanded: batch_landed,
    RawBatchWithdrawn: batch_withdrawn,
    GovernedDatasetReady: dataset_ready,
    PublishedDatasetUpdated: publication_updated,
}
