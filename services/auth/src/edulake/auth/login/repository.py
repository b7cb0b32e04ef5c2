"""Begun logins in the database; each is taken out once."""

from datetime import datetime

from edulake.auth.models import LoginAttempt
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession


async def add(session: AsyncSession, attempt: LoginAttempt) -> None:
    session.add(attempt)
    await session.flush()


async def take(session: AsyncSession, state_digest: str) -> LoginAttempt | None:
    """The login of a state, removed; a second call finds nothing."""
    query = delete(LoginAttempt).where(LoginAttempt.state_digest == state_digest).returning(LoginAttempt)
    found: LoginAttempt | None = await session.scalar(query)
    return found


async def forget_expired(session: AsyncSession, at: datetime) -> None:
    await session.execute(delete(LoginAttempt).where(LoginAttempt.expires_at <= at))
