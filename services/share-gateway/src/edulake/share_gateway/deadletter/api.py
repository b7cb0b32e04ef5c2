"""`/api/gateway/dead-letters`: what could not be handled, of every group, and handling it again.

All groups keep their dead letters in one place, so one administration shows them, whoever's they are.
"""

from typing import Annotated

from edulake.common.bus import (
    DeadLetter,
    ShownDeadLetter,
    get_dead_letter,
    list_dead_letters,
    replay_dead_letter,
)
from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from edulake.common.telemetry import logger
from fastapi import APIRouter, Path, Query

log = logger(__name__)
router = APIRouter(prefix="/api/gateway/dead-letters", tags=["dead letters"])
Reader = Annotated[Subject, allow("dead_letter", "read")]
Replayer = Annotated[Subject, allow("dead_letter", "replay")]
Id = Annotated[int, Path(ge=1, le=2**62)]


@router.get("", summary="死信清单")
async def list_all(
    session: ReadSession,
    resources: Res,
    _: Reader,
    *,
    group: Annotated[str | None, Query(max_length=200, description="消费组 / consumer group")] = None,
    all_states: Annotated[bool, Query(description="含已重放的 / replayed ones too")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[DeadLetter]:
    """Newest first."""
    key = resources.keys.ring("page").current.mac("dead-letter-cursor").digest(b"")
    before = decode_cursor(cursor, key, int)[0] if cursor else 2**62
    found = await list_dead_letters(
        session, consumer=group, all_states=all_states, before=before, limit=limit + 1
    )
    return page_of(found, limit, lambda letter: [letter.id], key)


@router.get("/{id}", summary="一封死信及其事件")
async def show(id: Id, session: ReadSession, _: Reader) -> ShownDeadLetter:  # noqa: A002
    return await get_dead_letter(session, id)


@router.post("/{id}/replay", summary="重放死信", status_code=202)
async def replay(id: Id, session: Session, by: Replayer) -> ShownDeadLetter:  # noqa: A002
    """Its group handles the event again within a second, with all its tries; 404 unless it is dead now."""
    await replay_dead_letter(session, id)
    log.info("dead letter replayed", dead_letter=id, by=by.id)
    return await get_dead_letter(session, id)
