"""Dead letters: what could not be handled, why, and how it is handled again."""

from typing import Any

from edulake.common.errors import NotFound
from edulake.common.events import Event
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_LIST = text(
    """SELECT id, consumer, event_id, name, key, reason, tries, state, created_at, updated_at
    FROM bus.dead_letter
    WHERE (CAST(:consumer AS text) IS NULL OR consumer = :consumer)
      AND (:all_states OR state <> 'replayed') AND id < :before
    ORDER BY id DESC LIMIT :limit"""
)
_GET = text(
    "SELECT id, consumer, event_id, name, key, reason, tries, state, created_at, updated_at, event "
    "FROM bus.dead_letter WHERE id = :id"
)
_REPLAY = text(
    "UPDATE bus.dead_letter SET state = 'replaying', updated_at = now() WHERE id = :id AND state = 'dead' "
    "RETURNING consumer, event_id"
)
_UNSETTLE = text("DELETE FROM bus.inbox WHERE consumer = :consumer AND event_id = :event_id")
_REPLAYING = text(
    "SELECT id, event FROM bus.dead_letter WHERE consumer = :consumer AND state = 'replaying' "
    "AND name = ANY(:names) ORDER BY id LIMIT :limit"
)
_REPLAYED = text(
    "UPDATE bus.dead_letter SET state = 'replayed', updated_at = now() WHERE id = :id AND state = 'replaying'"
)


class DeadLetter(BaseModel):
    """One event one group could not handle. `reason` names a type and a place, never a value."""

    id: int
    consumer: str
    event_id: str
    name: str
    key: str
    reason: str
    tries: int
    state: str
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ShownDeadLetter(DeadLetter):
    """The same with the event as it was announced: references and counts, never rows."""

    event: Event


async def list_dead_letters(
    session: AsyncSession,
    *,
    consumer: str | None = None,
    all_states: bool = False,
    before: int = 2**62,
    limit: int = 50,
) -> list[DeadLetter]:
    """Newest first, those that were replayed only when asked for; `before` is the last id of the last page."""
    scope = {"consumer": consumer, "all_states": all_states, "before": before, "limit": limit}
    return [_letter(row._mapping) for row in await session.execute(_LIST, scope)]


def _letter(row: Any) -> DeadLetter:
    return DeadLetter.model_validate({**row, "event_id": str(row["event_id"])})


async def get_dead_letter(session: AsyncSession, dead_letter_id: int) -> ShownDeadLetter:
    """One dead letter with its event. NotFound when there never was one."""
    found = (await session.execute(_GET, {"id": dead_letter_id})).one_or_none()
    if found is None:
        raise NotFound("没有这条死信", "there is no such dead letter", where="id")
    return ShownDeadLetter.model_validate({**found._mapping, "event_id": str(found.event_id)})


async def replay_dead_letter(session: AsyncSession, dead_letter_id: int) -> None:
    """Have the group handle the event again, with all its tries. NotFound unless it is dead now."""
    found = (await session.execute(_REPLAY, {"id": dead_letter_id})).one_or_none()
    if found is None:
        raise NotFound(
            "没有这条待处理的死信",
            "there is no such dead letter waiting",
            mend_zh="它可能已在重放或已处理，先查看其状态",
            mend_en="it may be on its way or handled already: look at its state",
            where="id",
        )
    await session.execute(_UNSETTLE, {"consumer": found.consumer, "event_id": found.event_id})


async def replaying(session: AsyncSession, consumer: str, names: list[str], limit: int) -> dict[int, Event]:
    """The events a group was asked to handle again, by dead letter, oldest first."""
    found = await session.execute(_REPLAYING, {"consumer": consumer, "names": names, "limit": limit})
    return {row.id: Event.model_validate(row.event) for row in found}


async def mark_replayed(session: AsyncSession, dead_letter_id: int) -> None:
    """Close a dead letter whose event is settled, unless it died again meanwhile."""
    await session.execute(_REPLAYED, {"id": dead_letter_id})
