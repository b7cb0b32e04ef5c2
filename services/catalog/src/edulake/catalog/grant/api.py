"""Reading and ending grants."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from edulake.catalog.grant import repository, service
from edulake.catalog.grant.access import Scope, scope_of
from edulake.catalog.grant.schemas import GrantOut, RevokeIn
from edulake.catalog.grant.usage import with_use_of_today
from edulake.common.db import ReadSession, Session
from edulake.common.errors import Forbidden
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/catalog/grants", tags=["grants"])
Reader = Annotated[Subject, allow("grant", "read")]
Ender = Annotated[Subject, allow("grant", "end")]
Chosen = Annotated[str | None, Query(max_length=100)]


@router.get("", summary="授权列表：自己与本机构的、负责的资源上的；安全与审计管理员看全部")
async def list_grants(
    caller: Reader,
    session: ReadSession,
    resources: Res,
    client_id: Annotated[str | None, Query(max_length=63)] = None,
    resource_id: Chosen = None,
    status: Literal["active", "revoked", "expired"] | None = None,
    usage: Annotated[bool, Query(description="附上今日用量")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[GrantOut]:
    seen = scope_of(caller)
    _refuse_other_clients(seen, client_id)
    key = resources.settings.internal_key
    after = None
    if cursor:
        moment, last = decode_cursor(cursor, key, datetime.fromisoformat, UUID)
        after = (moment, last)
    wanted = {"client_id": client_id, "resource_id": resource_id, "status": status}
    rows = await repository.list_after(
        session,
        seen=seen,
        ends=scope_of(caller, "end"),
        chosen={name: value for name, value in wanted.items() if value},
        after=after,
        limit=limit + 1,
    )
    page = page_of(rows, limit, lambda row: [row.grant.changed_at.isoformat(), str(row.grant.grant_id)], key)
    items = [GrantOut.of(held) for held in page.items]
    return Page(items=await with_use_of_today(items, resources) if usage else items, next=page.next)


def _refuse_other_clients(seen: Scope, client_id: str | None) -> None:
    """A program that asks for another's grants is told so; a person's list is narrowed silently."""
    sees_own_only = seen.client_id is not None and not (seen.everything or seen.care or seen.decider)
    if sees_own_only and client_id not in (None, seen.client_id):
        raise Forbidden("只能查看自己应用的授权", "only grants of your own client", where="query.client_id")


@router.get("/{grant_id}", summary="一项授权")
async def get_grant(grant_id: UUID, caller: Reader, session: ReadSession, resources: Res) -> GrantOut:
    found = GrantOut.of(await service.get(session, grant_id, caller))
    return (await with_use_of_today([found], resources))[0]


@router.post("/{grant_id}/revoke", summary="撤销授权，5 秒内在全部网关生效")
async def revoke(grant_id: UUID, wanted: RevokeIn, caller: Ender, session: Session) -> GrantOut:
    """By the resource's owner, the security administrator, or the person who asked for it."""
    await service.revoke(session, grant_id, wanted.reason, caller)
    return GrantOut.of(await service.get(session, grant_id, caller))
