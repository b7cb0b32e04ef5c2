"""`/api/gateway/quotas`: quotas that an administrator sets instead of the grants' figures."""

from typing import Annotated

from edulake.common.db import ReadSession, Session
from edulake.common.errors import NotFound
from edulake.common.identity import Subject
from edulake.common.policy import allow
from edulake.share_gateway.limits import repository
from edulake.share_gateway.limits.schemas import Quota, QuotaOverride
from fastapi import APIRouter, Path, Response

router = APIRouter(prefix="/api/gateway/quotas", tags=["quotas"])
Reader = Annotated[Subject, allow("quota", "read")]
Setter = Annotated[Subject, allow("quota", "set")]
Name = Annotated[str, Path(max_length=200)]


@router.get("", summary="额度调整")
async def list_quotas(session: ReadSession, _: Reader) -> list[QuotaOverride]:
    """The quotas in force that were set by hand."""
    return [QuotaOverride.model_validate(dict(row)) for row in await repository.all_active(session)]


@router.put("/{client_id}/{api}", summary="设置额度")
async def put_quota(client_id: Name, api: Name, quota: Quota, session: Session, by: Setter) -> QuotaOverride:
    """In force on every process within a second."""
    return QuotaOverride.model_validate(dict(await repository.put(session, client_id, api, quota, by.id)))


@router.delete("/{client_id}/{api}", summary="恢复授权中的额度", status_code=204)
async def end_quota(client_id: Name, api: Name, session: Session, by: Setter) -> Response:
    """The grants' figures count again."""
    if not await repository.end(session, client_id, api, by.id):
        raise NotFound("没有这条额度调整", "no such quota")
    return Response(status_code=204)
