"""How far each reader of the log is behind, whatever carries the events to it.

One question tells it of every reader and of anybody who asks: a service of itself, its metrics, `edulake`. It
looks at the cursors alone and so also sees a reader whose process is down, or fails before it can say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

#: More than this is not counted: a reader that far behind is late, however late.
COUNTED_EVENTS = 10_000
#: The cursor of the relay, which is no group: it has no inbox.
RELAY_CURSOR = "relay"
# A time that a hand wrote must not end the question: one to come, or none at all, counts as now.
_STANDINGS = text(
    """SELECT c.consumer, w.events, w.next, extract(epoch FROM now() - w.oldest) AS seconds,
        CASE WHEN w.events = 0 THEN 0 ELSE extract(epoch FROM now() - greatest(c.updated_at, w.oldest)) END
            AS still_s,
        (SELECT coalesce(max(tries), 0) FROM bus.attempt a WHERE a.consumer = c.consumer) AS tries,
        (SELECT count(*) FROM bus.dead_letter d WHERE d.consumer = c.consumer AND d.state = 'dead') AS dead
    FROM bus.cursor c CROSS JOIN LATERAL (
        SELECT count(*) AS events, min(pos) AS next, coalesce(min(at), now()) AS oldest FROM (
            SELECT l.pos, CASE WHEN isfinite(l.created_at) THEN least(l.created_at, now()) ELSE now() END AS at
            FROM bus.log l
            WHERE l.pos > c.pos AND (c.names IS NULL OR l.name = ANY(c.names)
                AND NOT EXISTS (SELECT FROM bus.inbox i WHERE i.consumer = c.consumer AND i.event_id = l.event_id))
            ORDER BY l.pos LIMIT :limit) AS waiting) AS w
    WHERE CAST(:consumers AS text[]) IS NULL OR c.consumer = ANY(:consumers)
    ORDER BY c.consumer"""
)
# A day is what Kafka keeps at least (`retention_days` is 1 or more); older events may have left it.
_PASSED = text(
    """SELECT event_id FROM bus.log WHERE pos <= (SELECT pos FROM bus.cursor WHERE consumer = :consumer)
    AND created_at > now() - interval '1 day' AND split_part(name, '.', 1) = ANY(:topics)
    ORDER BY pos DESC LIMIT :limit"""
)


@dataclass(frozen=True)
class Standing:
    """Where one reader stands.

    `events` it has still to settle (counted to `COUNTED_EVENTS`), the first of them at position `next`; the
    oldest was announced `seconds` ago. For `still_s` seconds nothing has moved although it waited. `tries`: how
    often the event that fails most was begun; `dead`: its dead letters that wait for a person.
    """

    consumer: str
    events: int
    seconds: float
    still_s: float
    next: int | None = None
    tries: int = 0
    dead: int = 0

    def is_stuck(self, limit_s: float) -> bool:
        """True when it stands still although events wait: a backlog that moves is not stuck, however long."""
        return self.events > 0 and self.still_s >= limit_s

    @property
    def told(self) -> tuple[str, str]:
        """How far behind and since when, in Chinese and in English; empty when nothing waits."""
        if not self.events:
            return "", ""
        count = f"{self.events}{'+' if self.events >= COUNTED_EVENTS else ''}"
        return (
            f"{self.consumer} 有 {count} 条事件未处理，最早的已等待 {self.seconds:.0f} 秒，"
            f"已停滞 {self.still_s:.0f} 秒" + (f"，已尝试 {self.tries} 次" if self.tries else ""),
            f"{self.consumer} is {count} events behind, the oldest for {self.seconds:.0f} s, "
            f"and has not moved for {self.still_s:.0f} s"
            + (f"; it was tried {self.tries} times" if self.tries else ""),
        )


async def standings(session: AsyncSession, consumers: Sequence[str] | None = None) -> list[Standing]:
    """Where these readers stand, or all; one that never began to read is not among them."""
    scope = {"consumers": None if consumers is None else list(consumers), "limit": COUNTED_EVENTS}
    return [
        Standing(
            row.consumer, row.events, float(row.seconds), float(row.still_s), row.next, row.tries, row.dead
        )
        for row in await session.execute(_STANDINGS, scope)
    ]


def stuck(found: Sequence[Standing], consumer: str, limit_s: float) -> Standing | None:
    """The standing of a reader that stands still by itself.

    What the relay has not carried, and what came to nobody while the relay stands still, is the carrier's
    doing: the group cannot read it, and no process of it would do better.
    """
    by_name = {one.consumer: one for one in found}
    mine, relay = by_name.get(consumer), by_name.get(RELAY_CURSOR)
    if mine is None or not mine.is_stuck(limit_s):
        return None
    if (
        relay is not None
        and relay.events
        and (relay.is_stuck(limit_s) or (relay.next or 0) <= (mine.next or 0))
    ):
        return None
    return mine


async def relayed_today(session: AsyncSession, topics: Sequence[str], limit: int) -> list[UUID]:
    """The newest events of the last day that the relay says it carried."""
    scope = {"consumer": RELAY_CURSOR, "topics": list(topics), "limit": limit}
    return list(await session.scalars(_PASSED, scope))
