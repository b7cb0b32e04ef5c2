"""How far a reader of the log is behind, whatever carries the events to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

#: More than this is not counted: a reader that far behind is late, however late.
COUNTED_EVENTS = 10_000
#: The cursor of the relay, which is no group: it has no inbox.
RELAY_CURSOR = "relay"
_GROUP = text(
    """SELECT count(*) AS events, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS seconds FROM (
    SELECT l.created_at FROM bus.log l
    WHERE l.pos > coalesce((SELECT pos FROM bus.cursor WHERE consumer = :consumer), 0)
      AND l.name = ANY(:names)
      AND NOT EXISTS (SELECT FROM bus.inbox i WHERE i.consumer = :consumer AND i.event_id = l.event_id)
    ORDER BY l.pos LIMIT :limit) AS waiting"""
)
# The relay's role may read the log and the cursors, nothing else.
_CURSOR = text(
    """SELECT count(*) AS events, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS seconds FROM (
    SELECT l.created_at FROM bus.log l
    WHERE l.pos > coalesce((SELECT pos FROM bus.cursor WHERE consumer = :consumer), 0)
    ORDER BY l.pos LIMIT :limit) AS waiting"""
)
# A day is what Kafka keeps at least (`retention_days` is 1 or more); older events may have left it.
_PASSED = text(
    """SELECT event_id FROM bus.log WHERE pos <= (SELECT pos FROM bus.cursor WHERE consumer = :consumer)
    AND created_at > now() - interval '1 day' ORDER BY pos DESC LIMIT :limit"""
)


@dataclass(frozen=True)
class Lag:
    """Events still to come, counted to `COUNTED_EVENTS`, and the age of the oldest of them in seconds."""

    events: int
    seconds: float


async def group_lag(session: AsyncSession, group: str, names: Sequence[str]) -> Lag:
    """What a group handles and has not settled yet."""
    scope = {"consumer": group, "names": list(names), "limit": COUNTED_EVENTS}
    found = (await session.execute(_GROUP, scope)).one()
    return Lag(int(found.events), float(found.seconds))


async def cursor_lag(session: AsyncSession, consumer: str) -> Lag:
    """What stands in the log behind a cursor; all of it for one that has not begun."""
    found = (await session.execute(_CURSOR, {"consumer": consumer, "limit": COUNTED_EVENTS})).one()
    return Lag(int(found.events), float(found.seconds))


async def relay_lag(session: AsyncSession) -> Lag:
    """What the relay has still to carry."""
    return await cursor_lag(session, RELAY_CURSOR)


async def relayed_today(session: AsyncSession, limit: int) -> list[UUID]:
    """The newest events of the last day that the relay says it carried."""
    return list(await session.scalars(_PASSED, {"consumer": RELAY_CURSOR, "limit": limit}))
