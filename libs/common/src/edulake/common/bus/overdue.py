"""What a group should have handled by now and has not: for readers to whom late news is wrong news."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# A dead letter counts whatever its age; one that is being replayed has not had its effect yet either.
_OVERDUE = text(
    """SELECT name, key, false AS is_dead FROM bus.log l
    WHERE l.pos > coalesce((SELECT pos FROM bus.cursor WHERE consumer = :group), 0)
      AND l.name = ANY(:names) AND l.created_at < now() - make_interval(secs => :late_s)
      AND NOT EXISTS (SELECT FROM bus.inbox i WHERE i.consumer = :group AND i.event_id = l.event_id)
    UNION
    SELECT name, key, true FROM bus.dead_letter
    WHERE consumer = :group AND state <> 'replayed' AND name = ANY(:names)
    LIMIT :limit"""
)


@dataclass(frozen=True, slots=True)
class Overdue:
    """The name and the key of events whose effect is missing; a dead one comes only when a person replays it."""

    name: str
    key: str
    is_dead: bool = False


async def overdue(
    session: AsyncSession, group: str, names: Sequence[str], *, late_s: float, limit: int
) -> list[Overdue]:
    """Events of these names that the group has not settled `late_s` seconds after they were announced, by
    the database's clock, or has given up. At most `limit`; as many as `limit` means: perhaps more."""
    scope = {"group": group, "names": list(names), "late_s": late_s, "limit": limit}
    return [Overdue(row.name, row.key, row.is_dead) for row in await session.execute(_OVERDUE, scope)]
