"""Logout notices in the database: each is heeded once."""

from datetime import datetime

from edulake.auth.models import LogoutNotice
from edulake.common import locks
from edulake.common.locks import Space
from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession


async def lock(session: AsyncSession, provider_session: str) -> None:
    """A login and a logout of one provider session, one after the other; held until the transaction ends."""
    await locks.lock(session, Space.PROVIDER_SESSION, provider_session)


async def add(session: AsyncSession, digest: str, provider_session: str | None, expires_at: datetime) -> bool:
    """True when this notice is new."""
    row = {"digest": digest, "provider_session": provider_session, "expires_at": expires_at}
    added = insert(LogoutNotice).values(row).on_conflict_do_nothing().returning(LogoutNotice.digest)
    return (await session.execute(added)).first() is not None


async def is_ended(session: AsyncSession, provider_session: str) -> bool:
    """Whether the provider said a little while ago that this session of its is over."""
    query = select(exists().where(LogoutNotice.provider_session == provider_session))
    return bool(await session.scalar(query))


async def forget_expired(session: AsyncSession, at: datetime) -> None:
    await session.execute(delete(LogoutNotice).where(LogoutNotice.expires_at <= at))
