"""Reading `bus.log`: in order of position, up to the horizon.

A position is drawn before its transaction commits, so a reader that takes what it sees may step over
one that commits later. Every announcer therefore holds a shared lock that names a position not above
its own, from before it draws until it ends; `bus.horizon` is the lowest of these, or the newest
position. All below is committed or never will be. Only open announcers hold readers back, not every
long transaction of the server (as a rule by `pg_snapshot_xmin` would), and positions survive a restore
into a new server, which transaction ids do not.

The horizon and the rows must be two statements in READ COMMITTED; `Database.read()` is one snapshot
and is refused by the function.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from edulake.common.bus.message import COLUMNS, Message, from_row
from edulake.common.db import Database
from edulake.common.errors import Problem
from edulake.common.events import Event
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_HORIZON = text("SELECT bus.horizon(:after)")
_OPEN = text("INSERT INTO bus.cursor (consumer) VALUES (:consumer) ON CONFLICT DO NOTHING")
_REGISTER = text(
    "INSERT INTO bus.cursor (consumer, names) VALUES (:consumer, :names) "
    "ON CONFLICT (consumer) DO UPDATE SET names = excluded.names"
)
_CURSOR = text("SELECT pos FROM bus.cursor WHERE consumer = :consumer")
_SAVE = text("UPDATE bus.cursor SET pos = :pos, updated_at = now() WHERE consumer = :consumer AND pos < :pos")
_AFTER = text(
    f"SELECT {COLUMNS} FROM bus.log l WHERE l.pos > :after AND l.pos <= :horizon "  # noqa: S608
    "AND split_part(l.name, '.', 1) = ANY(:topics) ORDER BY l.pos LIMIT :limit"
)
_UNSETTLED = """FROM bus.log l WHERE l.pos > :after AND l.pos <= :horizon AND l.name = ANY(:names)
    AND NOT EXISTS (SELECT FROM bus.inbox i WHERE i.consumer = :consumer AND i.event_id = l.event_id)"""
_FIRST_UNSETTLED = text(f"SELECT l.pos {_UNSETTLED} ORDER BY l.pos LIMIT 1")
# A key that waits for its next try is left out, so that it cannot fill the batch and starve the others.
_DUE = text(
    f"""SELECT {COLUMNS} {_UNSETTLED}
    AND NOT EXISTS (SELECT FROM bus.attempt a
                    WHERE a.consumer = :consumer AND a.key = l.key AND a.next_try_at > now())
    ORDER BY l.pos LIMIT :limit"""  # noqa: S608 - constants of this module
)
_POSITION_OF = text("SELECT pos FROM bus.log WHERE event_id = :event_id")


class PositionGone(Problem):
    """The event to go on from is not in the log, so what was missed cannot be told."""

    status, code, title_zh, title_en = 410, "position-gone", "事件位置已失效", "Event position gone"


@dataclass(frozen=True)
class Page:
    """Messages in order, and the position up to which they are complete; `is_full`: there may be more."""

    messages: list[Message]
    pos: int
    is_full: bool = False

    @property
    def events(self) -> list[Event]:
        """For who only listens: what cannot be read is passed over."""
        return [message for message in self.messages if isinstance(message, Event)]


async def horizon(session: AsyncSession, after: int = 0) -> int:
    """The position up to which the log is complete, `after` at least."""
    return int(await session.scalar(_HORIZON, {"after": after}) or 0)


async def register(session: AsyncSession, consumer: str, names: Sequence[str]) -> None:
    """Note that a group reads, and which events it handles: its lag is measured by that (`bus/lag.py`)."""
    await session.execute(_REGISTER, {"consumer": consumer, "names": list(names)})


async def cursor(session: AsyncSession, consumer: str) -> int:
    """Where a consumer stands; it is known from its first call on, and the purge waits for it."""
    await session.execute(_OPEN, {"consumer": consumer})
    return int(await session.scalar(_CURSOR, {"consumer": consumer}) or 0)


async def save_cursor(session: AsyncSession, consumer: str, pos: int) -> None:
    """Move a consumer forward; never back."""
    await session.execute(_SAVE, {"consumer": consumer, "pos": pos})


async def read_after(session: AsyncSession, after: int, topics: Sequence[str], limit: int) -> Page:
    """At most `limit` messages of the topics after a position; its topic is the first word of a name."""
    end = await horizon(session, after)
    if end <= after:
        return Page([], after)
    found = await session.execute(
        _AFTER, {"after": after, "horizon": end, "topics": list(topics), "limit": limit}
    )
    rows = found.all()
    is_full = len(rows) == limit
    return Page([from_row(row) for row in rows], rows[-1].pos if is_full else end, is_full)


async def advance(session: AsyncSession, consumer: str, names: Sequence[str]) -> tuple[int, int] | None:
    """Move the consumer's cursor to just before its first unsettled event.

    Returns the new cursor and the horizon, None when nothing is unsettled between them.
    """
    after = await cursor(session, consumer)
    end = await horizon(session, after)
    if end <= after:
        return None
    scope = {"after": after, "horizon": end, "names": list(names), "consumer": consumer}
    first = await session.scalar(_FIRST_UNSETTLED, scope)
    await save_cursor(session, consumer, end if first is None else first - 1)
    return None if first is None else (first - 1, end)


async def due(session: AsyncSession, consumer: str, names: Sequence[str], limit: int) -> list[Message]:
    """Move the consumer's cursor to its first unsettled event and return the next that are due."""
    span = await advance(session, consumer, names)
    if span is None:
        return []
    after, end = span
    scope = {"after": after, "horizon": end, "names": list(names), "consumer": consumer, "limit": limit}
    return [from_row(row) for row in await session.execute(_DUE, scope)]


async def position_of(database: Database, after: str | UUID | None) -> int:
    """The position meant by a position's text, an event id, or None for the present end."""
    async with database.transaction() as session:
        if after is None:
            return await horizon(session)
        if isinstance(after, str) and after.isdecimal() and len(after) < 19:
            return int(after)
        try:
            event_id = UUID(str(after))
        except ValueError:
            found = None
        else:
            found = await session.scalar(_POSITION_OF, {"event_id": event_id})
    if found is None:
        raise PositionGone(
            "找不到该事件, 可能已超过保留期",
            "the event is not in the log; it may be older than what is kept",
            mend_zh="不带 Last-Event-ID 重新订阅并重新读取数据",
            mend_en="subscribe again without Last-Event-ID and read the data anew",
        )
    return int(found)
