"""Sources in the database."""

from collections.abc import Sequence

from edulake.common.identity import Subject
from edulake.ingest.models import Source, SourceRevision
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession


def contact_names(subject: Subject) -> list[str]:
    """The ways a source may name this subject as its contact: by id (`person:x`, `client:x`) or bare (`x`).

    Never by a display name: two people may share one, and anybody can choose one.
    """
    return sorted({subject.id, subject.id.partition(":")[2]} - {""})


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


async def list_after(
    session: AsyncSession, *, contact: Sequence[str] | None, after: str | None, limit: int
) -> list[Source]:
    """By id; only those of a contact when its names are given."""
    query = select(Source).order_by(Source.id).limit(limit)
    if contact is not None:
        query = query.where(Source.contact.in_(contact))
    if after is not None:
        query = query.where(Source.id > after)
    return list(await session.scalars(query))
