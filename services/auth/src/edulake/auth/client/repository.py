"""Clients and their secrets in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from edulake.auth.models import Client, ClientSecret
from edulake.common import locks
from edulake.common.locks import Space
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession


async def find(session: AsyncSession, client_id: str) -> Client | None:
    found: Client | None = await session.get(Client, client_id)
    return found


async def find_settled(session: AsyncSession, client_id: str) -> tuple[Client, datetime] | None:
    """The client and the database's time before which everything read here held.

    Waits for a change under way and holds the client against the next one, so that its status, secrets and
    roles are of one moment, and a revocation that comes with the next change is later than this time.
    """
    query = select(Client, func.clock_timestamp()).where(Client.client_id == client_id)
    row = (await session.execute(query.with_for_update(read=True, of=Client))).one_or_none()
    return (row[0], row[1]) if row else None


async def lock(session: AsyncSession, client_id: str) -> Client | None:
    """The client, held against other changes until the transaction ends.

    The owner's lock comes first, here and where a person is shut out: two orders would be a deadlock.
    """
    owner = await session.scalar(select(Client.owner).where(Client.client_id == client_id))
    if owner is not None:
        await lock_owner(session, owner)
    query = select(Client).where(Client.client_id == client_id).with_for_update()
    found: Client | None = await session.scalar(query)
    return found


async def list_after(
    session: AsyncSession, *, owner: str | None, after: str | None, limit: int
) -> list[Client]:
    """Clients by id; of one owner when `owner` is given."""
    query = select(Client).order_by(Client.client_id).limit(limit)
    if owner is not None:
        query = query.where(Client.owner == owner)
    if after is not None:
        query = query.where(Client.client_id > after)
    return list(await session.scalars(query))


async def names_of(session: AsyncSession, client_ids: Sequence[str]) -> dict[str, str]:
    """Display names by id, of those that are known."""
    query = select(Client.client_id, Client.name).where(Client.client_id.in_(client_ids))
    return {row.client_id: row.name for row in await session.execute(query)}


async def lock_owner(session: AsyncSession, owner: str) -> None:
    """Registrations of an owner and his being shut out happen one after the other."""
    await locks.lock(session, Space.CLIENTS, owner)


async def count_of_owner(session: AsyncSession, owner: str) -> int:
    return int(await session.scalar(select(func.count()).where(Client.owner == owner)) or 0)


async def lock_active_of_owner(session: AsyncSession, owner: str) -> list[Client]:
    """The active clients of a person, held against other changes until the transaction ends."""
    query = select(Client).where(Client.owner == owner, Client.status == "active")
    return list(await session.scalars(query.order_by(Client.client_id).with_for_update()))


async def add(session: AsyncSession, client: Client) -> None:
    """Raises IntegrityError when the id is taken."""
    session.add(client)
    await session.flush()


async def set_status(session: AsyncSession, client_id: str, status: str) -> None:
    await session.execute(update(Client).where(Client.client_id == client_id).values(status=status))


async def set_keys(session: AsyncSession, client_id: str, keys: list[dict[str, Any]]) -> None:
    await session.execute(update(Client).where(Client.client_id == client_id).values(keys=keys))


async def secrets_of(
    session: AsyncSession, client_ids: Sequence[str], at: datetime
) -> dict[str, list[ClientSecret]]:
    """The secrets that still work, oldest first, by client."""
    alive = or_(ClientSecret.expires_at.is_(None), ClientSecret.expires_at > at)
    query = select(ClientSecret).where(ClientSecret.client_id.in_(client_ids), alive)
    found: dict[str, list[ClientSecret]] = {client_id: [] for client_id in client_ids}
    for secret in await session.scalars(query.order_by(ClientSecret.created_at, ClientSecret.id)):
        found[secret.client_id].append(secret)
    return found


async def add_secret(session: AsyncSession, secret: ClientSecret) -> None:
    session.add(secret)
    await session.flush()


async def expire_secrets(
    session: AsyncSession, client_id: str, at: datetime, *, keep: UUID | None = None
) -> None:
    """Let every secret but `keep` end at a moment, unless it ends sooner."""
    later = or_(ClientSecret.expires_at.is_(None), ClientSecret.expires_at > at)
    query = update(ClientSecret).where(ClientSecret.client_id == client_id, later)
    if keep is not None:
        query = query.where(ClientSecret.id != keep)
    await session.execute(query.values(expires_at=at))


async def remove_secret(session: AsyncSession, client_id: str, secret_id: UUID) -> bool:
    query = delete(ClientSecret).where(ClientSecret.client_id == client_id, ClientSecret.id == secret_id)
    return (await session.execute(query.returning(ClientSecret.id))).first() is not None


async def remove_credentials(session: AsyncSession, client_id: str) -> None:
    """Secrets and public keys, all of them, now."""
    await session.execute(delete(ClientSecret).where(ClientSecret.client_id == client_id))
    await set_keys(session, client_id, [])


async def mark_used(session: AsyncSession, secret_id: UUID, at: datetime) -> None:
    await session.execute(update(ClientSecret).where(ClientSecret.id == secret_id).values(last_used_at=at))
