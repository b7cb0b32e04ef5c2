"""`/api/gateway/{usage,summary}`: how much was called, and the figures at a glance."""

from typing import Annotated

from edulake.common.db import ReadSession
from edulake.common.errors import Forbidden
from edulake.common.identity import Subject, authenticated, require
from edulake.common.service import Res
from edulake.share_gateway.audit import repository as audit
from edulake.share_gateway.summary import repository
from edulake.share_gateway.summary.schemas import Summary, UsageRow, UsageToday
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/gateway", tags=["gateway"])
_WATCHERS = ("system_admin", "security_admin", "audit_admin", "steward", "owner")


@router.get("/usage", summary="接口调用量")
async def usage(
    session: ReadSession,
    who: Annotated[Subject, authenticated()],
    client_id: Annotated[str | None, Query(max_length=200)] = None,
    days: Annotated[int, Query(ge=1, le=366)] = 30,
) -> list[UsageRow]:
    """Calls per API and day; a client sees its own only."""
    if not who.has(*_WATCHERS) and who.id != f"client:{client_id}":
        raise Forbidden(
            "只能查看自己的调用量", "a client sees its own use only", mend_en="give your client_id"
        )
    return [UsageRow.model_validate(dict(row)) for row in await audit.usage(session, client_id, days)]


@router.get("/usage/today", summary="若干应用今日的调用量（内部服务）")
async def usage_today(
    session: ReadSession,
    _: Annotated[Subject, require("service")],
    client_id: Annotated[list[str], Query(min_length=1, max_length=200)],
) -> list[UsageToday]:
    """Calls per client and API since midnight in Beijing; the catalogue asks for the grants it may show."""
    return [UsageToday.model_validate(dict(row)) for row in await audit.usage_today(session, client_id)]


@router.get("/summary", summary="网关概况")
async def summary(
    session: ReadSession, resources: Res, _: Annotated[Subject, require(*_WATCHERS)]
) -> Summary:
    """The figures of today (Beijing time)."""
    figures = await repository.figures(session)
    return Summary(apis=len(resources.standards.apis), **figures)
