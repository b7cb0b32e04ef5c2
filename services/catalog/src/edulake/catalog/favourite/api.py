"""`/api/catalog/favourites`: 是否关注. Everybody has their own; nobody sees another's."""

from datetime import datetime
from typing import Annotated

from edulake.catalog.favourite import repository
from edulake.catalog.favourite.schemas import FavouriteOut
from edulake.catalog.resource.service import get as get_resource
from edulake.common.clock import now
from edulake.common.db import ReadSession, Session
from edulake.common.errors import Conflict
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from fastapi import APIRouter

router = APIRouter(prefix="/api/catalog/favourites", tags=["favourites"])
Reader = Annotated[Subject, allow("favourite", "read")]
Follower = Annotated[Subject, allow("favourite", "change")]
#: So that nobody fills a table; far above what a person reads.
MAX_FAVOURITES = 500


@router.get("", summary="我关注的资源")
async def list_favourites(
    caller: Reader, session: ReadSession, resources: Res, cursor: Cursor = None, limit: Limit = 50
) -> Page[FavouriteOut]:
    key = resources.settings.internal_key
    after = None
    if cursor:
        moment, last = decode_cursor(cursor, key, datetime.fromisoformat, str)
        after = (moment, last)
    rows = await repository.list_after(session, caller.id, after, limit + 1)
    page = page_of(rows, limit, lambda row: [row[0].created_at.isoformat(), row[0].resource_id], key)
    return Page(items=[FavouriteOut.of(*row) for row in page.items], next=page.next)


@router.put("/{resource_id}", status_code=204, summary="关注")
async def follow(resource_id: str, caller: Follower, session: Session) -> None:
    """Doing so twice is as good as once. 404 for an unknown resource, 409 above 500 of them."""
    await get_resource(session, resource_id)
    if await repository.follows(session, caller.id, resource_id):
        return
    if await repository.count(session, caller.id) >= MAX_FAVOURITES:
        raise Conflict(
            f"最多关注 {MAX_FAVOURITES} 项",
            f"at most {MAX_FAVOURITES} favourites",
            mend_zh="先取消一些",
            mend_en="remove some first",
        )
    await repository.add(session, caller.id, resource_id, now())


@router.delete("/{resource_id}", status_code=204, summary="取消关注")
async def unfollow(resource_id: str, caller: Follower, session: Session) -> None:
    await repository.remove(session, caller.id, resource_id)
