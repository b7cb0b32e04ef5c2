"""Batches in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from edulake.common import locks
from edulake.common.locks import Space
from edulake.common.policy import Scope
from edulake.ingest.models import LANDED_NO, PUSHED, UNCONFIRMED, Batch, Published, Source
from sqlalchemy import exists, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

#: Ends of a batch whose rows are not in effect.
WITHOUT_EFFECT = ("quarantined", "refused", "superseded")
#: Where a batch's rows are what its source delivered, or will be as far as is known.
IN_EFFECT = ("landed", "governed", "published")
#: Rows whose publication was refused are governed all the same.
_EFFECTIVE = (
    Batch.landed_no.is_not(None),
    ~Batch.is_withdrawn,
    or_(
        Batch.status.in_(IN_EFFECT),
        Batch.status.in_(("refused", "held")) & Batch.refused_version.is_not(None),
    ),
)

_NAMING = or_(Batch.landed_no.is_not(None), ~Batch.is_withdrawn)
_COUNTED = Batch.landed_no.is_not(None)
_VOUCHED = text(
    "SELECT EXISTS (SELECT FROM lake.manifest WHERE zone = 'raw' AND table_name = :dataset "
    "AND files @> jsonb_build_array(jsonb_build_object('path', CAST(:path AS text))))"
)


async def lock_object(session: AsyncSession, dataset: str, digest: str) -> None:
    """Be the only one to store, adopt or remove the objects of a digest until the transaction ends."""
    await locks.lock(session, Space.RAW_OBJECT, f"{dataset}/{digest}")


async def is_named(session: AsyncSession, dataset: str, digest: str, path: str) -> bool:
    """Whether a batch or a manifest of the lake names the object.

    A batch that was taken back before it landed names nothing: nobody ever used its bytes.
    """
    is_of_batch = exists().where(Batch.dataset == dataset, Batch.digest == digest, _NAMING)
    named = await session.scalar(select(is_of_batch))
    return bool(named or await session.scalar(_VOUCHED, {"dataset": dataset, "path": path}))


async def named_among(session: AsyncSession, objects: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the objects (dataset, digest) that a batch names."""
    query = select(Batch.dataset, Batch.digest).where(
        tuple_(Batch.dataset, Batch.digest).in_(objects), _NAMING
    )
    return {(row.dataset, row.digest) for row in await session.execute(query.distinct())}


async def lock_period(session: AsyncSession, source_id: str, dataset: str, period: str) -> None:
    """Be the only one to land what a source delivers for a period until the transaction ends."""
    await locks.lock(session, Space.DELIVERY, f"{source_id}/{dataset}/{period}")


async def lock_key(session: AsyncSession, source_id: str, key: str) -> None:
    """Be the only one to land under a source's key until the transaction ends."""
    await locks.lock(session, Space.DELIVERY, f"{source_id}//{key}")  # no dataset's name is empty


async def find_keyed(session: AsyncSession, source_id: str, key: str) -> Batch | None:
    """The batch that a source's key names, whatever became of it."""
    query = select(Batch).where(Batch.source_id == source_id, Batch.idempotency_key == key)
    return cast(Batch | None, await session.scalar(query))


async def find_repeated(
    session: AsyncSession, *, source_id: str, dataset: str, period: str, digest: str, terms: str
) -> Batch | None:
    """The batch the same delivery made before, if it is still in effect.

    It is not once it came to nothing, or anything that counts landed after it for the period: for a file
    any other batch, for a push (which stands beside other pushes) a file. Until then the same delivery
    says nothing new, and a sender that missed the answer must not make a second batch (ADR 0015).
    """
    later = aliased(Batch)
    place = (Batch.source_id == source_id, Batch.dataset == dataset, Batch.period == period)
    replaced = exists().where(
        later.source_id == Batch.source_id,
        later.dataset == Batch.dataset,
        later.period == Batch.period,
        later.landed_no > Batch.landed_no,
        ~later.is_withdrawn,
        or_(Batch.format != PUSHED, later.format != PUSHED),
    )
    query = select(Batch).where(
        *place,
        Batch.digest == digest,
        Batch.terms == terms,
        ~Batch.is_withdrawn,
        Batch.status.not_in(WITHOUT_EFFECT),
        ~replaced,
    )
    newest = query.order_by(Batch.landed_no.desc().nulls_last(), Batch.batch_id.desc())
    return cast(Batch | None, await session.scalar(newest.limit(1)))


async def next_landed_no(session: AsyncSession) -> int:
    """The next number of landing; drawn while the manifest of the batch's dataset is held."""
    return int(await session.scalar(select(LANDED_NO.next_value())) or 0)


async def in_effect(session: AsyncSession, source_id: str, dataset: str, period: str) -> list[Batch]:
    """What a file for the period would replace: the newest file that counts and the pushes after it.

    Oldest first. What was held back or came to nothing does not count: the one before it is still in effect.
    """
    place = (Batch.source_id == source_id, Batch.dataset == dataset, Batch.period == period)
    newest_file = select(func.max(Batch.landed_no)).where(*place, *_EFFECTIVE, Batch.format != PUSHED)
    since = func.coalesce(newest_file.scalar_subquery(), 0)
    query = select(Batch).where(*place, *_EFFECTIVE, Batch.landed_no >= since)
    return list(await session.scalars(query.order_by(Batch.landed_no)))


async def find_same_elsewhere(
    session: AsyncSession, source_id: str, dataset: str, period: str, digest: str
) -> Batch | None:
    """The same file in effect under another period or another source, the newest of them."""
    later = aliased(Batch)
    replaced = exists().where(
        later.source_id == Batch.source_id,
        later.dataset == Batch.dataset,
        later.period == Batch.period,
        later.landed_no > Batch.landed_no,
        later.format != PUSHED,
        ~later.is_withdrawn,
        later.status.in_(IN_EFFECT),
    )
    query = select(Batch).where(
        Batch.dataset == dataset,
        Batch.digest == digest,
        Batch.format != PUSHED,
        or_(Batch.source_id != source_id, Batch.period != period),
        *_EFFECTIVE,
        ~replaced,
    )
    return cast(Batch | None, await session.scalar(query.order_by(Batch.landed_no.desc()).limit(1)))


async def expire_unconfirmed(
    session: AsyncSession, before: datetime, reason: tuple[str, str], at: datetime
) -> int:
    """End what nobody confirmed since `before`; how many it were."""
    statement = (
        update(Batch)
        .where(Batch.status == UNCONFIRMED, Batch.created_at < before)
        .values(
            status="withdrawn", is_withdrawn=True, reason_zh=reason[0], reason_en=reason[1], updated_at=at
        )
    )
    result = await session.execute(statement)
    return int(cast(Any, result).rowcount)


async def add(session: AsyncSession, batch: Batch) -> None:
    session.add(batch)
    await session.flush()


async def find(session: AsyncSession, batch_id: UUID, *, for_update: bool = False) -> Batch | None:
    found: Batch | None = await session.get(Batch, batch_id, with_for_update=for_update)
    return found


async def list_before(
    session: AsyncSession,
    *,
    scope: Scope,
    filters: dict[str, str],
    before: UUID | None,
    limit: int,
) -> list[Batch]:
    """Latest delivered first (ids are in the order of time), within the scope.

    `before`: the id of the last page's last.
    """
    query = select(Batch).where(scope.within(Batch.dataset, Batch.source_id))
    query = query.order_by(Batch.batch_id.desc()).limit(limit)
    query = query.where(*(getattr(Batch, name) == value for name, value in filters.items()))
    if before is not None:
        query = query.where(Batch.batch_id < before)
    return list(await session.scalars(query))


async def newest_published(session: AsyncSession, dataset: str) -> Published | None:
    """What is published of a dataset; held, so that two events of one dataset take turns."""
    found: Published | None = await session.get(Published, dataset, with_for_update=True)
    return found


async def keep_published(session: AsyncSession, dataset: str, governed_version: int, version: int) -> None:
    """Remember the newest governed version that was published."""
    statement = insert(Published).values(dataset=dataset, governed_version=governed_version, version=version)
    newer = statement.excluded.governed_version > Published.governed_version
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Published.dataset],
            set_={
                "governed_version": statement.excluded.governed_version,
                "version": statement.excluded.version,
            },
            where=newer,
        )
    )


async def publish_up_to(
    session: AsyncSession,
    dataset: str,
    governed_version: int,
    version: int,
    batch_id: UUID | None,
    at: datetime,
) -> int:
    """Mark what a publication holds: every governed batch up to its version, and the one it names.

    A batch whose own publication was refused is among them: a later one holds its rows.
    """
    unpublished = Batch.status.in_(("refused", "held")) & Batch.refused_version.is_not(None)
    governed = or_(Batch.status == "governed", unpublished) & (Batch.governed_version <= governed_version)
    statement = (
        update(Batch)
        .where(Batch.dataset == dataset, or_(governed, Batch.batch_id == batch_id))
        .where(or_(Batch.status.in_(("landed", "governed")), unpublished))
        .values(status="published", published_version=version, reason_zh="", reason_en="", updated_at=at)
    )
    result = await session.execute(statement)
    return int(cast(Any, result).rowcount)


async def settle_withdrawn(
    session: AsyncSession, dataset: str, governed_version: int, reason: tuple[str, str], at: datetime
) -> None:
    """Withdrawn batches whose rows were still served are so no longer: give them their plain reason back."""
    statement = (
        update(Batch)
        .where(Batch.dataset == dataset, Batch.status == "withdrawn")
        .where(Batch.refused_version <= governed_version)
        .values(refused_version=None, reason_zh=reason[0], reason_en=reason[1], updated_at=at)
    )
    await session.execute(statement)


async def summary(session: AsyncSession) -> dict[str, Any]:
    """Counts over everything that landed, and the newest batch of each dataset."""
    by_status = await session.execute(select(Batch.status, func.count()).group_by(Batch.status))
    datasets = await _by_dataset(session)
    return {
        "sources": await session.scalar(select(func.count()).select_from(Source)) or 0,
        "batches": {row[0]: row[1] for row in by_status},
        "batches_by_dataset": {one["dataset"]: one["batches"] for one in datasets},
        "rows_landed": sum(one["rows_landed"] for one in datasets),
        "last_landed_at": max((one["last_landed_at"] for one in datasets), default=None),
        "datasets": datasets,
    }


async def _by_dataset(session: AsyncSession) -> list[dict[str, Any]]:
    counts = (
        select(Batch.dataset, func.count().label("batches"), func.sum(Batch.rows_landed).label("rows_landed"))
        .where(_COUNTED)
        .group_by(Batch.dataset)
    )
    newest = (
        select(
            Batch.dataset,
            Batch.batch_id.label("last_batch_id"),
            Batch.status.label("last_status"),
            Batch.rows_landed.label("last_rows"),
            Batch.created_at.label("last_landed_at"),
        )
        .where(_COUNTED)
        .ext(distinct_on(Batch.dataset))
        .order_by(Batch.dataset, Batch.landed_no.desc())
    )
    counted = {row.dataset: row for row in await session.execute(counts)}
    return [
        {
            **row._mapping,
            "last_batch_id": str(row.last_batch_id),
            "batches": counted[row.dataset].batches,
            "rows_landed": int(counted[row.dataset].rows_landed),
        }
        for row in await session.execute(newest)
        if row.dataset in counted
    ]
