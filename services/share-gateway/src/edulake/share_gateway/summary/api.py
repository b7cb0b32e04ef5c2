"""`/api/gateway/{usage,summary}`: how much was called, and the figures at a glance."""

from typing import Annotated

from edulake.common.db import ReadSession
from edulake.common.errors import Forbidden
from edulake.common.identity import Subject
from edulake.common.policy import Decides, Facts, allow, asking_of, may, row
from edulake.common.service import Res, Resources
from edulake.share_gateway.audit import repository as audit
from edulake.share_gateway.summary import repository
from edulake.share_gateway.summary.schemas import Summary, UsageRow, UsageToday
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/gateway", tags=["gateway"])


@router.get("/usage", summary="接口调用量：自己应用的、负责的接口的；安全与审计管理员看全部")
async def usage(
    session: ReadSession,
    who: Annotated[Subject, allow("usage", "read")],
    deciding: Decides,
    resources: Res,
    client_id: Annotated[str | None, Query(max_length=200)] = None,
    days: Annotated[int, Query(ge=1, le=366)] = 30,
) -> list[UsageRow]:
    """Calls per API and day; of what is not in the caller's care, nothing."""
    apis: list[str] | None = None
    if not await _sees_all_of(who, client_id, resources):
        cared = deciding.in_care(who, row("usage", "read"))
        apis = [name for name, api in resources.standards.apis.items() if api.dataset in cared]
        if not apis:
            raise Forbidden(
                "只能查看自己应用的、或由您负责的接口的调用量",
                "the use of your own clients, or of APIs in your care",
                mend_zh="给出自己应用的 client_id",
                mend_en="give the client_id of your own client",
            )
    return [UsageRow.model_validate(dict(one)) for one in await audit.usage(session, client_id, apis, days)]


async def _sees_all_of(who: Subject, client_id: str | None, resources: Resources) -> bool:
    """Whether every call of the client (None: of all clients) is for the caller to see."""
    if may(who, "usage", "read", Facts()):
        return True
    if client_id is None:
        return False
    own = f"client:{client_id}"
    if may(who, "usage", "read", Facts(own=frozenset({own}))):
        return True
    if who.kind != "person":
        return False
    client = await asking_of(resources).subject(own)
    return client is not None and may(who, "usage", "read", Facts(accountable=client.accountable))


@router.get(
    "/usage/today",
    dependencies=[allow("usage", "read_today")],
    summary="若干应用今日的调用量（内部服务）",
)
async def usage_today(
    session: ReadSession, client_id: Annotated[list[str], Query(min_length=1, max_length=200)]
) -> list[UsageToday]:
    """Calls per client and API since midnight in Beijing; the catalogue asks for the grants it may show."""
    return [UsageToday.model_validate(dict(one)) for one in await audit.usage_today(session, client_id)]


@router.get("/summary", dependencies=[allow("figures", "read")], summary="网关概况")
async def summary(session: ReadSession, resources: Res) -> Summary:
    """The figures of today (Beijing time)."""
    figures = await repository.figures(session)
    return Summary(apis=len(resources.standards.apis), **figures)
