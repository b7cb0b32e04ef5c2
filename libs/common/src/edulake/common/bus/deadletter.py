"""Dead letters: what could not be handled, why, and how it is handled again."""

from typing import Any

import orjson
from edulake.common.bus.message import COLUMNS, MAX_MESSAGE_BYTES, UNREADABLE, Message, from_json, from_row
from edulake.common.errors import NotFound
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
# As text and with a bound: what a hand may have put there must not end the question.
_EVENT = f"CASE WHEN octet_length(d.event::text) <= {MAX_MESSAGE_BYTES} THEN d.event::text END AS event"
_GET = text(
    "SELECT id, consumer, event_id, name, key, reason, tries, state, created_at, updated_at, "  # noqa: S608
    f"{_EVENT} FROM bus.dead_letter d WHERE id = :id"
)
_REPLAY = text(
    "UPDATE bus.dead_letter SET state = 'replaying', updated_at = now() WHERE id = :id AND state = 'dead' "
    "RETURNING consumer, event_id"
)
_COUNT = text(
    "SELECT consumer, count(*) AS letters FROM bus.dead_letter WHERE state <> 'replayed' GROUP BY consumer"
)
_UNSETTLE = text("DELETE FROM bus.inbox WHERE consumer = :consumer AND event_id = :event_id")
# What was mended in the log is read from there; the log may have been purged.
_REPLAYING = text(
    f"""SELECT d.id, {_EVENT}, {COLUMNS} FROM bus.dead_letter d LEFT JOIN bus.log l USING (event_id)
    WHERE d.consumer = :consumer AND d.state = 'replaying' AND (d.name = ANY(:names) OR d.name = '{UNREADABLE}')
    ORDER BY d.id LIMIT :limit"""  # noqa: S608 - constants of this module
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
    """The same with the event as it was announced: references and counts, never rows.

    Of a message that could not be read it holds no facts, only what the envelope said; null when it holds nothing
    that can be shown.
    """

    event: dict[str, Any] | None


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


async def count_dead_letters(session: AsyncSession) -> dict[str, int]:
    """How many of each group were not replayed, or not with success."""
    return {row.consumer: row.letters for row in await session.execute(_COUNT)}


def _letter(row: Any) -> DeadLetter:
    return DeadLetter.model_validate({**row, "event_id": str(row["event_id"])})


async def get_dead_letter(session: AsyncSession, dead_letter_id: int) -> ShownDeadLetter:
    """One dead letter with its event. NotFound when there never was one."""
    found = (await session.execute(_GET, {"id": dead_letter_id})).one_or_none()
    if found is None:
        raise NotFound("没有这条死信", "there is no such dead letter", where="id")
    shown = {"event_id": str(found.event_id), "event": _object(found.event)}
    return ShownDeadLetter.model_validate({**found._mapping, **shown})


def _object(content: str | None) -> dict[str, Any] | None:
    try:
        found = orjson.loads(content or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


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


async def replaying(session: AsyncSession, consumer: str, names: list[str], limit: int) -> dict[int, Message]:
    """What a group was asked to handle again, by dead letter, oldest first: as it stands in the log now."""
    found = await session.execute(_REPLAYING, {"consumer": consumer, "names": names, "limit": limit})
    return {
        row.id: from_json((row.event or "").encode(), f"dead letter {row.id}")
        if row.pos is None
        else from_row(row)
        for row in found
    }


async def mark_replayed(session: AsyncSession, dead_letter_id: int) -> None:
    """Close a dead letter whose event is settled, unless it died again meanwhile."""
    await session.execute(_REPLAYED, {"id": dead_letter_id})
