"""What becomes of a batch, as governance and the publisher tell it, in whatever order they are heard.

A publication may be heard before the governing it follows from, and one publication may hold several
governed versions: so what is published is remembered by dataset, and a batch looks there when its
own governing is heard; a refused publication is remembered with the batch. Counts and reasons are always
taken; what is published stays published.
"""

from uuid import UUID

from edulake.common.bus import Handlers
from edulake.common.clock import now
from edulake.common.events import (
    Event,
    GovernedBatchFinished,
    PublishedDatasetRefused,
    PublishedDatasetUpdated,
)
from edulake.common.service import Resources
from edulake.common.telemetry import logger
from edulake.ingest.batch import repository
from edulake.ingest.batch.service import WITHDRAWN, announce_withdrawal
from edulake.ingest.models import Batch
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)
STATUS_OF = {
    "governed": "governed",
    "below_threshold": "quarantined",
    "refused": "refused",
    "superseded": "superseded",
    "held": "held",
}

#: States in which none of a batch's rows is to be published; later publications say nothing about it.
DECIDED_AGAINST = ("quarantined", "refused", "superseded", "held")


async def batch_finished(
    session: AsyncSession, finished: GovernedBatchFinished, _envelope: Event, _resources: Resources
) -> None:
    """Copy what governance found; a batch that is in a published version already is published."""
    batch_id = _uuid(finished.batch_id)
    batch = await repository.find(session, batch_id, for_update=True) if batch_id else None
    if batch is None:
        log.warning("finished batch is unknown", batch_id=finished.batch_id)
        return
    batch.rows_governed = finished.rows_governed
    batch.rows_quarantined = finished.rows_quarantined
    batch.quarantined_by_rule = dict(finished.quarantined_by_rule)
    batch.seconds_by_step = {**batch.seconds_by_step, **finished.seconds_by_step}
    batch.governed_version = finished.version if finished.version is not None else batch.governed_version
    batch.updated_at = now()
    await _decide(session, batch, finished)


async def _decide(session: AsyncSession, batch: Batch, finished: GovernedBatchFinished) -> None:
    if finished.outcome != "governed" and batch.is_withdrawn:  # in time, or its rows were taken out again
        batch.status, (batch.reason_zh, batch.reason_en) = "withdrawn", WITHDRAWN
        return
    batch.reason_zh, batch.reason_en = finished.reason_zh, finished.reason_en
    batch.status = STATUS_OF[finished.outcome]
    if finished.outcome == "governed":
        if (
            batch.is_withdrawn
        ):  # governance has not heard of it, and may never: it was told before the landing
            await announce_withdrawal(session, batch, "service:ingest")
        await _look_further(session, batch)
    else:
        batch.refused_version = None


async def _look_further(session: AsyncSession, batch: Batch) -> None:
    """What the publisher has said already of a governed batch; a publication outdoes a refusal."""
    version = batch.governed_version
    published = await repository.newest_published(session, batch.dataset)
    if published and version is not None and version <= published.governed_version:
        batch.status = "published"
        batch.published_version = batch.published_version or published.version
    elif version is not None and version == batch.refused_version:
        batch.status = "held" if batch.refusal_holds else "refused"
        batch.reason_zh, batch.reason_en = batch.refusal_zh, batch.refusal_en


async def dataset_updated(
    session: AsyncSession, updated: PublishedDatasetUpdated, _envelope: Event, _resources: Resources
) -> None:
    """Mark what the publication holds; a rollback shows an older version and makes no batch unpublished."""
    if updated.rolled_back:
        return
    await repository.keep_published(session, updated.dataset, updated.governed_version, updated.version)
    marked = await repository.publish_up_to(
        session, updated.dataset, updated.governed_version, updated.version, _uuid(updated.batch_id), now()
    )
    await repository.settle_withdrawn(session, updated.dataset, updated.governed_version, WITHDRAWN, now())
    log.info("batches published", dataset=updated.dataset, version=updated.version, batches=marked)


async def dataset_refused(
    session: AsyncSession, refused: PublishedDatasetRefused, _envelope: Event, _resources: Resources
) -> None:
    """Tell the source why its governed rows are not published (P1); a later publication takes it back."""
    batch_id = _uuid(refused.batch_id)
    batch = await repository.find(session, batch_id, for_update=True) if batch_id else None
    if batch is None:
        log.warning("refused batch is unknown", batch_id=refused.batch_id)
        return
    is_of_publisher = batch.status == "governed" or (
        batch.status in ("refused", "held") and batch.refused_version is not None
    )
    if (
        batch.status in DECIDED_AGAINST and not is_of_publisher
    ):  # its rows left: what was refused is without them
        log.warning("version without the batch is not published", batch_id=refused.batch_id)
        return
    batch.refused_version = refused.governed_version
    batch.refusal_holds = refused.outcome == "held"
    batch.refusal_zh, batch.refusal_en = _words_of(refused)
    batch.updated_at = now()
    if is_of_publisher:
        await _look_further(session, batch)
    elif batch.status == "withdrawn":  # its rows left the governed table, but callers are still served them
        batch.reason_zh = f"{WITHDRAWN[0]}，但已发布的数据尚未更新：{refused.reason_zh}"
        batch.reason_en = f"{WITHDRAWN[1]}, but what is published still holds its rows: {refused.reason_en}"


def _words_of(refused: PublishedDatasetRefused) -> tuple[str, str]:
    if refused.outcome == "held":
        return (
            f"数据已治理，暂缓发布：{refused.reason_zh}；等待数据责任人或数据治理工程师放行",
            f"governed, its publication is held: {refused.reason_en}; an owner or a steward can release it",
        )
    return (
        f"数据已治理但未能发布：{refused.reason_zh}；请联系数据治理工程师处理后重新发布",
        f"governed but not published: {refused.reason_en}; a steward can have it published once it is mended",
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


HANDLERS: Handlers = {
    GovernedBatchFinished: batch_finished,
    PublishedDatasetUpdated: dataset_updated,
    PublishedDatasetRefused: dataset_refused,
}
