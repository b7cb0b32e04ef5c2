"""GET /api/auth/trail."""

from edulake.auth.trail import repository
from edulake.auth.trail.schemas import TrailOut
from edulake.common.db import ReadSession
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from fastapi import APIRouter

router = APIRouter(prefix="/api/auth/trail", tags=["trail"])


@router.get("", dependencies=[allow("trail", "read")], summary="身份操作留痕")
async def list_trail(
    session: ReadSession, resources: Res, cursor: Cursor = None, limit: Limit = 50
) -> Page[TrailOut]:
    key = resources.keys.ring("page").current.secret
    before = decode_cursor(cursor, key, int)[0] if cursor else None
    found = await repository.entries(session, before=before, limit=limit + 1)
    page = page_of(found, limit, lambda entry: [entry.id], key)
    return Page(items=[TrailOut.model_validate(entry) for entry in page.items], next=page.next)
