"""What a source may do with a batch it delivered."""

from uuid import UUID

from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.events import RawBatchWithdrawn
from edulake.common.identity import Subject
from edulake.common.standards import Standards
from edulake.ingest.batch import repository
from edulake.ingest.batch.problems import BatchNotFound, TooLate
from edulake.ingest.models import UNCONFIRMED, Batch, Source
from edulake.ingest.source import service as sources
from sqlalchemy.ext.asyncio import AsyncSession

WITHDRAWN = ("来源已撤回", "withdrawn by its source")


async def get(
    session: AsyncSession,
    batch_id: UUID,
    subject: Subject,
    standards: Standards,
    *,
    verb: str = "read",
    for_update: bool = False,
) -> Batch:
    """The batch, if the subject may do this with it; BatchNotFound also for who may not read it."""
    absent = BatchNotFound(f"没有批次 {batch_id}", f"no batch {batch_id}", where="path.batch_id")
    batch = await repository.find(session, batch_id, for_update=for_update)
    if batch is None:
        raise absent
    deciding = sources.deciding_in(session, standards)
    facts, refused = deciding.facts(batch.dataset), sources.not_the_contact()
    await deciding.check(
        subject, "batch", verb, facts, source=batch.source_id, absent=absent, refused=refused
    )
    return batch


async def source_of(session: AsyncSession, batch: Batch) -> Source:
    """The source of a batch, as it is registered now."""
    return await sources.get(session, batch.source_id)


async def withdraw(session: AsyncSession, batch_id: UUID, subject: Subject, standards: Standards) -> Batch:
    """Take a batch back before it is governed, or while it is held; a second withdrawal changes nothing."""
    batch = await get(session, batch_id, subject, standards, verb="withdraw", for_update=True)
    if batch.status == "withdrawn":
        return batch
    is_held = batch.status == "held" and batch.governed_version is None
    if batch.status not in ("landed", UNCONFIRMED) and not is_held:
        raise TooLate(
            f"批次已是 {batch.status}，不能撤回",
            f"the batch is {batch.status} already",
            mend_zh="报送改正后的文件，新批次会替代它",
            mend_en="deliver a mended file; its batch replaces this one",
        )
    batch.status, batch.is_withdrawn, batch.updated_at = "withdrawn", True, now()
    batch.reason_zh, batch.reason_en = WITHDRAWN
    if batch.landed_no is not None:  # of one that waited nobody was told
        await announce_withdrawal(session, batch, subject.id)
    return batch


async def announce_withdrawal(session: AsyncSession, batch: Batch, by: str) -> None:
    """Tell that a batch is taken back; telling it again changes nothing."""
    whose = {"dataset": batch.dataset, "source_id": batch.source_id}
    await announce(session, RawBatchWithdrawn(**whose, batch_id=str(batch.batch_id), by=by))
