"""A source's word on a delivery that waits: it repeats the figures it was shown, then the delivery lands.

Figures that changed meanwhile (another delivery landed) are shown anew, never guessed. Everything is
decided under the lock of the source, dataset and period, so that nothing lands in between.
"""

from datetime import timedelta
from uuid import UUID

from edulake.common import faults
from edulake.common.clock import now
from edulake.common.identity import Subject
from edulake.common.service import Resources
from edulake.common.telemetry import logger
from edulake.ingest.batch import repository, service
from edulake.ingest.batch.delivery import admit, deliveries_of, settings_of
from edulake.ingest.batch.headers import refuse_wrong
from edulake.ingest.batch.landing import land_confirmed
from edulake.ingest.batch.problems import FiguresChanged, NothingToConfirm
from edulake.ingest.batch.replacing import Figures, Replaces, compare
from edulake.ingest.models import UNCONFIRMED, Batch
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)


async def confirm(resources: Resources, batch_id: UUID, subject: Subject, shown: Figures) -> Batch:
    """Land a delivery that waits; a second confirmation changes nothing. FiguresChanged, NothingToConfirm."""
    async with resources.database.read() as session:
        found = await service.get(session, batch_id, subject, resources.standards, verb="confirm")
    to = await admit(resources, subject, found.source_id, found.dataset)
    mapping = to.source.mapping.get(found.dataset, {})
    refuse_wrong(
        found.columns, to.contract, mapping, resources.standards
    )  # the mapping may have changed since
    async with resources.database.transaction() as session:
        await repository.lock_period(session, found.source_id, found.dataset, found.period)
        batch = await service.get(
            session, batch_id, subject, resources.standards, verb="confirm", for_update=True
        )
        if batch.landed_no is not None:
            return batch
        if batch.status != UNCONFIRMED:
            raise NothingToConfirm(
                f"该批次{batch.reason_zh or '已撤回'}，不能再确认",
                f"the batch cannot be confirmed any more: {batch.reason_en or batch.status}",
                mend_zh="需要时重新报送同一文件",
                mend_en="deliver the same file again if it is needed",
            )
        replaces = await compare(session, batch, to.contract, mapping)
        _refuse_changed(batch, replaces, shown)
        await land_confirmed(session, deliveries_of(resources).lake, batch, to.source, replaces)
    await faults.point("ingest.after_confirm")
    log.info("batch confirmed", batch_id=batch.batch_id, source_id=batch.source_id, dataset=batch.dataset)
    return batch


def _refuse_changed(batch: Batch, replaces: Replaces | None, shown: Figures) -> None:
    """FiguresChanged with the present ones, unless they are those that the source was shown."""
    present = replaces or Replaces(
        batch_id=None, rows_before=None, rows_after=batch.rows_landed, delivered_at=None, odd=[]
    )
    if Figures(**present.model_dump()) == shown:
        return
    zh, en = present.in_words(is_done=False)
    raise FiguresChanged(
        f"现在是：{zh}",
        f"it is now: {en}",
        mend_zh="核对新的数字后再确认，或撤回",
        mend_en="look at the new figures, then confirm them or withdraw",
        where="body",
        replaces=Figures(**present.model_dump()).model_dump(mode="json"),
    )


async def refresh(session: AsyncSession, resources: Resources, batch: Batch) -> None:
    """Give a batch that waits the figures of this moment, for showing (nothing is written)."""
    contract = resources.standards.datasets.get(batch.dataset)
    if batch.status != UNCONFIRMED or contract is None:
        return
    source = await service.source_of(session, batch)
    replaces = await compare(session, batch, contract, source.mapping.get(batch.dataset, {}))
    session.expunge(batch)
    batch.replaces = replaces.model_dump(mode="json") if replaces else None


async def expire(resources: Resources) -> int:
    """End what its source did not confirm in time; the sweeper then removes its bytes."""
    days = settings_of(resources).unconfirmed_keep_days
    reason = (
        f"{days:g} 天内没有确认，已作废，数据未入湖；需要时重新报送",
        f"was not confirmed within {days:g} days and did not land; deliver it again if it is needed",
    )
    async with resources.database.transaction() as session:
        ended = await repository.expire_unconfirmed(session, now() - timedelta(days=days), reason, now())
    if ended:
        log.info("unconfirmed batches ended", batches=ended)
    return ended
