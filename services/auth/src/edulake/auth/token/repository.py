"""Signing keys, used assertions and revocations in the database."""

from datetime import datetime

from edulake.auth.models import Revocation, SigningKey, UsedAssertion
from edulake.common import locks
from edulake.common.locks import Space
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession


async def lock_rotation(session: AsyncSession) -> None:
    """One rotation at a time; held until the transaction ends."""
    await locks.lock(session, Space.SIGNING_KEYS)


async def key_in_state(session: AsyncSession, state: str) -> SigningKey | None:
    found: SigningKey | None = await session.scalar(select(SigningKey).where(SigningKey.state == state))
    return found


async def published_keys(session: AsyncSession, at: datetime) -> list[SigningKey]:
    """Every key that a verifier may still meet, current first."""
    query = select(SigningKey).where(or_(SigningKey.until.is_(None), SigningKey.until > at))
    return list(await session.scalars(query.order_by(SigningKey.state, SigningKey.created_at)))


async def add_key(session: AsyncSession, key: SigningKey) -> None:
    session.add(key)
    await session.flush()


async def move_key(session: AsyncSession, kid: str, state: str, until: datetime | None = None) -> None:
    await session.execute(update(SigningKey).where(SigningKey.kid == kid).values(state=state, until=until))


async def forget_old_keys(session: AsyncSession, at: datetime) -> None:
    await session.execute(delete(SigningKey).where(SigningKey.until <= at))


async def use_assertion(session: AsyncSession, client_id: str, jti: str, expires_at: datetime) -> bool:
    """Mark an assertion as used; False when it was used before."""
    statement = upsert(UsedAssertion).values(client_id=client_id, jti=jti, expires_at=expires_at)
    marked = await session.execute(statement.on_conflict_do_nothing().returning(UsedAssertion.jti))
    return marked.first() is not None


async def forget_assertions(session: AsyncSession, at: datetime) -> None:
    await session.execute(delete(UsedAssertion).where(UsedAssertion.expires_at <= at))


async def database_now(session: AsyncSession) -> datetime:
    """The one clock of all replicas; moves on within a transaction."""
    at: datetime = (await session.scalars(select(func.clock_timestamp()))).one()
    return at


async def add_revocation(session: AsyncSession, row: Revocation) -> None:
    session.add(row)
    await session.flush()


async def last_revoked(session: AsyncSession, client_id: str, at: datetime) -> datetime | None:
    """Up to when all tokens of a client are void; None when none were voided that may still be remembered."""
    query = select(func.max(Revocation.before)).where(
        Revocation.client_id == client_id, Revocation.jti.is_(None), Revocation.expires_at > at
    )
    found: datetime | None = await session.scalar(query)
    return found
