"""Sessions in the database, found by the digest of their cookie."""

from datetime import datetime, timedelta
from uuid import UUID

from edulake.auth.models import Person, Session
from sqlalchemy import delete, false, or_, select, update
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


async def end_by_digest(session: AsyncSession, digest: str) -> Session | None:
    """End the session of a cookie; returns what it was."""
    query = delete(Session).where(Session.digest == digest).returning(Session)
    found: Session | None = await session.scalar(query)
    return found


async def end_at_provider(
    session: AsyncSession, *, person: str | None, provider_session: str | None
) -> list[str]:
    """End what a provider has ended; returns whose sessions these were.

    A person alone: all of theirs. A provider's session alone: those begun in it. Both: what fits both, and also
    the person's sessions of which the provider never said in which of its own they were begun.
    """
    query = delete(Session)
    if person is not None:
        query = query.where(Session.person == person)
    if provider_session is not None:
        begun_in_it = Session.provider_session == provider_session
        unknown = Session.provider_session.is_(None) if person is not None else false()
        query = query.where(or_(begun_in_it, unknown))
    return list(await session.scalars(query.returning(Session.person)))


async def end(session: AsyncSession, session_id: UUID, person: str) -> bool:
    """End one session of a person; False when it is not his."""
    query = delete(Session).where(Session.id == session_id, Session.person == person)
    return (await session.execute(query.returning(Session.id))).first() is not None


async def end_all_of(session: AsyncSession, person: str) -> None:
    await session.execute(delete(Session).where(Session.person == person))


async def forget_ended(session: AsyncSession, *, at: datetime, idle: timedelta) -> None:
    gone = or_(Session.expires_at <= at, Session.last_seen_at <= at - idle)
    await session.execute(delete(Session).where(gone))
