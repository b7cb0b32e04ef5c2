"""Versions of governed datasets, what they were made with, and confirmed names."""

from collections.abc import Mapping, Sequence

from edulake.common import locks
from edulake.common.lake import Manifest
from edulake.common.locks import Space
from edulake.governance.models import Inherited, NameAlias, Run, VersionNote
from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession


async def lock(session: AsyncSession, dataset: str) -> None:
    """Be the only one to change the versions of a dataset until the transaction ends."""
    await locks.lock(session, Space.GOVERNED_DATASET, dataset)


async def try_lock(session: AsyncSession, dataset: str) -> bool:
    """The same without waiting; False when somebody else changes the dataset."""
    return await locks.try_lock(session, Space.GOVERNED_DATASET, dataset)


async def note_version(
    session: AsyncSession,
    governed: Manifest,
    *,
    parts_version: int,
    batch_id: str,
    revision: int,
    level: int,
    quality: float,
    made_by: str,
    agreed_by: str | None = None,
) -> VersionNote:
    """Write down what a new governed version is; a version written before keeps its note."""
    values = {
        "dataset": governed.table,
        "version": governed.version,
        "parts_version": parts_version,
        "batch_id": batch_id,
        "revision": revision,
        "restored_from": governed.restored_from,
        "row_count": governed.row_count,
        "content_digest": governed.content_digest,
        "level": level,
        "quality": quality,
        "made_by": made_by,
        "agreed_by": agreed_by,
    }
    await session.execute(upsert(VersionNote).values(**values).on_conflict_do_nothing())
    note = await get_note(session, governed.table, governed.version)
    if note is None:
        raise RuntimeError(f"{governed.table} v{governed.version} has no note")
    return note


async def get_note(session: AsyncSession, dataset: str, version: int) -> VersionNote | None:
    return await session.get(VersionNote, (dataset, version))


async def parts_versions(session: AsyncSession, dataset: str, versions: Sequence[int]) -> list[int]:
    """The versions of the contributions that these governed versions were merged from."""
    query = select(VersionNote.parts_version).where(
        VersionNote.dataset == dataset, VersionNote.version.in_(versions)
    )
    return list(await session.scalars(query))


async def newest_notes(session: AsyncSession) -> list[VersionNote]:
    """The newest version of every dataset."""
    newest = select(VersionNote).ext(distinct_on(VersionNote.dataset))
    return list(await session.scalars(newest.order_by(VersionNote.dataset, VersionNote.version.desc())))


async def notes(session: AsyncSession, dataset: str, before: int | None, limit: int) -> list[VersionNote]:
    """Newest first; `before`: version of the last page's last."""
    query = select(VersionNote).where(VersionNote.dataset == dataset)
    if before is not None:
        query = query.where(VersionNote.version < before)
    return list(await session.scalars(query.order_by(VersionNote.version.desc()).limit(limit)))


async def rows_before(session: AsyncSession, dataset: str) -> dict[int, int | None]:
    """By version the rows of the version before; None for the first."""
    before = func.lag(VersionNote.row_count).over(order_by=VersionNote.version)
    found = await session.execute(select(VersionNote.version, before).where(VersionNote.dataset == dataset))
    return {row[0]: row[1] for row in found}


async def replace_inherited(session: AsyncSession, run: Run, versions: Mapping[str, int | None]) -> None:
    """Note which versions of other datasets a revision of a batch was governed with."""
    mine = (Inherited.batch_id == run.batch_id, Inherited.revision == run.revision)
    await session.execute(delete(Inherited).where(*mine))
    rows = [
        {"batch_id": run.batch_id, "revision": run.revision, "reference": name, "version": version}
        for name, version in sorted(versions.items())
    ]
    if rows:
        await session.execute(insert(Inherited), rows)


async def inherited_of(session: AsyncSession, batch_id: str) -> list[Inherited]:
    """What the newest revision of a batch that was governed took from other datasets, by their names."""
    newest = select(func.max(Inherited.revision)).where(Inherited.batch_id == batch_id)
    mine = (Inherited.batch_id == batch_id, Inherited.revision == newest.scalar_subquery())
    return list(await session.scalars(select(Inherited).where(*mine).order_by(Inherited.reference)))


async def aliases(session: AsyncSession, datasets: Sequence[str]) -> list[NameAlias]:
    """The confirmed names of reference datasets."""
    query = select(NameAlias).where(NameAlias.dataset.in_(datasets))
    return list(await session.scalars(query.order_by(NameAlias.dataset, NameAlias.alias)))


async def put_alias(session: AsyncSession, dataset: str, alias: str, key: str, made_by: str) -> None:
    """Confirm that a name means a row; the last word counts."""
    values = {"dataset": dataset, "alias": alias, "key": key, "made_by": made_by}
    statement = upsert(NameAlias).values(**values, created_at=func.now())
    changed = {"key": key, "made_by": made_by, "created_at": func.now()}
    await session.execute(
        statement.on_conflict_do_update(index_elements=[NameAlias.dataset, NameAlias.alias], set_=changed)
    )
