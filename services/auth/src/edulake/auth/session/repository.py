"""Sessions in the database, found by the digest of their cookie."""

from datetime import datetime, timedelta
from uuid import UUID

from edulake.auth.models import Person, Session
from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession


async def add(session: AsyncSession, row: Session) -> None:
    session.add(row)
    await session.flush()


async def find_alive(
    session: AsyncSession, digest: str, *, at: datetime, idle: timedelta
) -> tuple[Session, Person] | None:
    """The session and its person, unless ended, idle too long, too old, or the person is not active."""
    query = (
        select(Session, Person)
        .join(Person, Person.id == Session.person)
        .where(Session.digest == digest, Session.expires_at > at, Session.last_seen_at > at - idle)
        .where(Person.status == "active")
    )
    row = (await session.execute(query)).first()
    return (row[0], row[1]) if row else None


async def touch(session: AsyncSession, session_id: UUID, at: datetime) -> None:
    await session.execute(update(Session).where(Session.id == session_id).values(last_seen_at=at))


async def list_alive(session: AsyncSession, person: str, *, at: datetime, idle: timedelta) -> list[Session]:
    query = select(Session).where(
        Session.person == person, Session.expires_at > at, Session.last_seen_at > at - idle
    )
    return list(await session.scalars(query.order_by(Session.created_at.desc())))


async def end_by_digest(session: AsyncSession, digest: str) -> str | None:
    """End the session of a cookie; returns whose it was."""
    query = delete(Session).where(Session.digest == digest).returning(Session.person)
    person: str | None = await session.scalar(query)
    return person


async def end(session: AsyncSession, session_id: UUID, person: str) -> bool:
    """End one session of a person; False when it is not his."""
    query = delete(Session).where(Session.id == session_id, Session.person == person)
    return (await session.execute(query.returning(Session.id))).first() is not None


async def end_all_of(session: AsyncSession, person: str) -> None:
    await session.execute(delete(Session).where(Session.person == person))


async def forget_ended(session: AsyncSession, *, at: datetime, idle: timedelta) -> None:
    gone = or_(Session.expires_at <= at, Session.last_seen_at <= at - idle)
    await session.execute(delete(Session).where(gone))
