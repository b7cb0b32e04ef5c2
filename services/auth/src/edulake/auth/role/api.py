"""GET /api/auth/role-changes."""

from typing import Annotated

from edulake.auth.role import repository
from edulake.auth.role.schemas import RoleChangeOut
from edulake.common.db import ReadSession
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/auth/role-changes", tags=["roles"])
Holder = Annotated[str | None, Query(max_length=210, description="person:… / client:…")]


@router.get("", dependencies=[allow("role_change", "read")], summary="角色变更记录")
async def list_changes(
    session: ReadSession, resources: Res, holder: Holder = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[RoleChangeOut]:
    key = resources.keys.ring("page").current.secret
    before = decode_cursor(cursor, key, int)[0] if cursor else None
    found = await repository.changes(session, holder=holder, before=before, limit=limit + 1)
    page = page_of(found, limit, lambda change: [change.id], key)
    return Page(items=[RoleChangeOut.model_validate(change) for change in page.items], next=page.next)
