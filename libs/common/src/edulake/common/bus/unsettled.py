"""What was announced to a group and has not had its effect: for readers to whom late news is wrong news."""

from collections.abc import Sequence
from dataclasses import dataclass

from edulake.common.bus.message import MAX_KEY_CHARS
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# A time that a hand wrote, to come or none at all, must neither end the question nor make a change look young.
# A dead letter that is being replayed has not had its effect yet either.
_UNSETTLED = text(
    f"""SELECT name, left(key, {MAX_KEY_CHARS}) AS key, CASE WHEN created_at BETWEEN '0001-01-01'
        AND now() + interval '1 minute' THEN extract(epoch FROM now() - created_at) ELSE 'Infinity' END AS age_s,
        false AS is_dead FROM bus.log l
    WHERE l.pos > coalesce((SELECT pos FROM bus.cursor WHERE consumer = :group), 0)
      AND l.name = ANY(:names)
      AND NOT EXISTS (SELECT FROM bus.inbox i WHERE i.consumer = :group AND i.event_id = l.event_id)
    UNION ALL
    SELECT name, key, extract(epoch FROM now() - created_at), true FROM bus.dead_letter
    WHERE consumer = :group AND state <> 'replayed' AND name = ANY(:names)
    LIMIT :limit"""  # noqa: S608 - constants only
)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An event whose effect is missing. `age_s`: seconds since it was announced, by the database's clock.

    A dead one comes only when a person replays it.
    """

    name: str
    key: str
    age_s: float = 0.0
    is_dead: bool = False

    @property
    def is_about_somebody(self) -> bool:
        """False when its key cannot be one that was announced, so that nobody can tell what it is about."""
        return bool(self.key.strip()) and len(self.key) < MAX_KEY_CHARS


async def unsettled(
    session: AsyncSession, group: str, names: Sequence[str], *, limit: int
) -> list[Unsettled]:
    """Events of these names that the group has not settled or has given up. At most `limit`; as many as
    `limit` means: perhaps more."""
    found = await session.execute(_UNSETTLED, {"group": group, "names": list(names), "limit": limit})
    return [Unsettled(row.name, row.key, float(row.age_s), row.is_dead) for row in found]
