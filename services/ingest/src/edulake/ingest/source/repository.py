"""Sources in the database."""

from collections.abc import Sequence

from edulake.common.policy import Scope
from edulake.ingest.models import Source, SourceRevision
from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

#: Registered by hand, so far more than anybody has; what is beyond is not seen.
CONTACT_SOURCES_MAX = 10_000


async def find(session: AsyncSession, source_id: str) -> Source | None:
    found: Source | None = await session.get(Source, source_id)
    return found


async def lock(session: AsyncSession, source_id: str) -> Source | None:
    found: Source | None = await session.get(Source, source_id, with_for_update=True)
    return found


async def add(session: AsyncSession, facts: dict[str, object]) -> bool:
    """Register a source; False when the id is taken."""
    statement = insert(Source).values(**facts).on_conflict_do_nothing().returning(Source.id)
    return await session.scalar(statement) is not None


async def add_revision(session: AsyncSession, revision: SourceRevision) -> None:
    session.add(revision)
    await session.flush()


async def revisions(session: AsyncSession, source_id: str, limit: int) -> list[SourceRevision]:
    """The registrations of a source, newest first."""
    query = select(SourceRevision).where(SourceRevision.source_id == source_id)
    return list(await session.scalars(query.order_by(SourceRevision.revision.desc()).limit(limit)))


async def list_after(session: AsyncSession, *, scope: Scope, after: str | None, limit: int) -> list[Source]:
    """By id, within the scope: sources of their own, and those that deliver a dataset of it."""
    query = select(Source).order_by(Source.id).limit(limit)
    if not scope.everything:
        delivers = Source.datasets.overlap(sorted(scope.datasets))
        query = query.where(or_(delivers, Source.id.in_(scope.sources)))
    if after is not None:
        query = query.where(Source.id > after)
    return list(await session.scalars(query))


async def ids_of_contact(session: AsyncSession, contact: str) -> list[str]:
    """The sources whose contact this is now, at most `CONTACT_SOURCES_MAX`."""
    query = select(Source.id).where(Source.contact == contact).order_by(Source.id)
    return list(await session.scalars(query.limit(CONTACT_SOURCES_MAX)))


async def contacts_of(session: AsyncSession, ids: Sequence[str]) -> dict[str, str]:
    """The present contact of each of these sources that there is."""
    query = select(Source.id, Source.contact).where(Source.id.in_(ids))
    return {row.id: row.contact for row in await session.execute(query)}
