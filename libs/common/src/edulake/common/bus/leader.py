"""One active process among several, by a transaction's advisory lock.

The transaction stays open and idle: it has neither a snapshot nor a transaction id, so it holds back
neither vacuum nor readers, and the server frees the lock the moment the connection ends. The lock only
saves doubled work; that effects are not doubled is the inbox's doing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from edulake.common import locks
from edulake.common.db import Database
from edulake.common.locks import Space
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_STAY = text("SET LOCAL idle_in_transaction_session_timeout = 0")


@dataclass(frozen=True)
class Leadership:
    """The lock, held as long as its connection lives."""

    session: AsyncSession

    async def confirm(self) -> None:
        """Raise when the connection, and with it the lock, is lost."""
        await self.session.execute(text("SELECT 1"))


@asynccontextmanager
async def leadership(database: Database, name: str) -> AsyncIterator[Leadership | None]:
    """The leadership under a name, or None when another process has it."""
    async with database.transaction() as session:
        await session.execute(_STAY)
        won = await locks.try_lock(session, Space.LEADER, name)
        yield Leadership(session) if won else None


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until `stop`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
