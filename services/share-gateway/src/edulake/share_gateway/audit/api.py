"""`/api/gateway/audit`: who read what, and whether the chain holds. For audit administrators only."""

from typing import Annotated

from edulake.common.db import ReadSession
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from edulake.share_gateway.audit import repository, service
from edulake.share_gateway.audit.schemas import AuditRow, Verification
from edulake.share_gateway.plane import Plane
from edulake.share_gateway.problems import UnknownApi
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/gateway/audit", tags=["audit"], dependencies=[allow("audit", "read")])
Name = Annotated[str | None, Query(max_length=200)]


@router.get("", summary="访问审计记录")
async def list_audit(
    session: ReadSession,
    resources: Res,
    *,
    client: Name = None,
    api: Name = None,
    question: Annotated[
        str | None,
        Query(max_length=2000, description="与 api 同用：查询串，如 student_key=…；谁读过这条记录"),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[AuditRow]:
    """Newest first. `question` with `api` finds every read of one record."""
    key = resources.keys.ring("page").current.mac("audit-cursor").digest(b"")
    before = decode_cursor(cursor, key, int)[0] if cursor else 2**62
    plane: Plane = resources.extra["plane"]
    records = _records_of(plane, api, question) if question else None
    links = await repository.newest(
        session, client=client, api=api, records=records, before=before, limit=limit + 1
    )
    return page_of([AuditRow.of(link) for link in links], limit, lambda row: [row.seq], key)


@router.get("/verify", summary="校验审计链")
async def verify_audit(resources: Res) -> Verification:
    """Walk the whole chain; names the first row that does not hold."""
    return Verification.of(await service.verify(resources.database, resources.keys.ring("audit")))


def _records_of(plane: Plane, api: str | None, question: str) -> list[str]:
    compiled = plane.engine.route(api or "")
    if compiled is None:
        raise UnknownApi("没有这个接口", "question needs the name of an API", where="query.api")
    return plane.record_tokens(compiled, plane.engine.validate(compiled, question.encode()))
