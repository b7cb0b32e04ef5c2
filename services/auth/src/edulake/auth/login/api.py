"""/login and /login/callback: what a browser meets."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlencode

from edulake.auth.login import service
from edulake.auth.login.errors import REFUSALS, BadResponse, LoginRefused, TooManyStarts
from edulake.auth.login.pages import PAGE_REFUSALS, SECURITY_HEADERS, choose_kind_page, login_refusal_page
from edulake.auth.login.providers.port import Kind
from edulake.auth.login.service import BROWSER_COOKIE, Callback, LoggedIn, local_path
from edulake.auth.parts import Parts, PartsDep
from edulake.auth.session.service import COOKIE
from edulake.common.policy import allow
from edulake.common.service import Res, Resources
from edulake.common.telemetry import logger, trace_id
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from prometheus_client import Counter

log = logger(__name__)
TRACE = re.compile("[0-9a-f]{32}")
LOGINS = Counter("edulake_auth_logins_total", "Logins by how they ended", ["outcome"])


class PageRoute(APIRoute):
    """Routes whose refusals are pages: a person stands before them."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except LoginRefused as refused:
                return _refuse(refused)

        return answer


router = APIRouter(tags=["login"], route_class=PageRoute)
ReturnTo = Annotated[str | None, Query(description="登录后返回的本站路径 / local path")]
As = Annotated[str | None, Query(alias="as", description="natural 自然人, legal 法人 / who wants in")]
Trace = Annotated[str, Query(description="编号 / what the log calls it")]
KINDS: dict[str | None, Kind] = {"natural": "natural", "legal": "legal"}


@router.get(
    "/login",
    status_code=303,
    dependencies=[allow("login", "use")],
    summary="前往统一认证登录",
    responses=PAGE_REFUSALS,
)
async def login(
    request: Request, resources: Res, parts: PartsDep, return_to: ReturnTo = None, who: As = None
) -> Response:
    kind = KINDS.get(who)
    if kind is None and parts.settings.asks_who_logs_in:
        return choose_kind_page(local_path(return_to))
    address = request.client.host if request.client else "unknown"
    if await parts.login_starts.count(address):
        raise TooManyStarts("too many starts", retry_after_s=parts.login_starts.window_s)
    browser = request.cookies.get(BROWSER_COOKIE)
    begun = await service.begin(
        resources.database, parts.settings, parts.provider, return_to, browser, kind or "natural"
    )
    answer = RedirectResponse(begun.redirect, 303, headers=SECURITY_HEADERS)
    _set_cookie(answer, BROWSER_COOKIE, begun.browser, max_age_s=parts.settings.login_ttl_s)
    return answer


@router.get(
    "/login/callback",
    status_code=303,
    dependencies=[allow("login", "use")],
    summary="统一认证返回处",
    responses=PAGE_REFUSALS,
)
async def callback(request: Request, resources: Res, parts: PartsDep) -> Response:
    return _welcome(parts, await _finish(request, resources, parts, _parameters(request)))


@router.get(
    "/login/callback/{state}",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[allow("login", "use")],
    summary="统一认证返回处（两步令牌）",
    responses=PAGE_REFUSALS,
)
async def callback_with_token(request: Request, resources: Res, parts: PartsDep, state: str) -> Response:
    """This address holds a token that is good for a while, so no page may ever stand at it."""
    try:
        answer = {**_parameters(request), "state": state}
        return _welcome(parts, await _finish(request, resources, parts, answer))
    except LoginRefused as refused:
        _note(refused)
        kept = urlencode({"trace": trace_id(), "return_to": refused.return_to})
        place = f"/login/refused/{refused.code}?{kept}"
        return RedirectResponse(place, 303, headers=SECURITY_HEADERS)


@router.get(
    "/login/refused/{code}",
    response_class=HTMLResponse,
    dependencies=[allow("login", "use")],
    summary="登录未完成的说明页",
    responses=PAGE_REFUSALS,
)
async def refused(code: str, trace: Trace = "", return_to: ReturnTo = None) -> Response:
    """Why a login failed that came back with a token in its address; the words are constant."""
    shown = REFUSALS.get(code, BadResponse)("shown again")
    shown.return_to = local_path(return_to)
    return login_refusal_page(shown, trace=trace if TRACE.fullmatch(trace) else trace_id())


async def _finish(request: Request, resources: Resources, parts: Parts, answer: dict[str, str]) -> LoggedIn:
    back = Callback(
        answer=answer,
        browser=request.cookies.get(BROWSER_COOKIE),
        former_session=request.cookies.get(COOKIE),
        agent=request.headers.get("user-agent", ""),
    )
    ring = resources.keys.ring("seal")
    return await service.finish(resources.database, parts.settings, ring, parts.provider, back)


def _parameters(request: Request) -> dict[str, str]:
    """What came in the address; raises BadResponse when something came twice."""
    given = request.query_params.multi_items()
    if len(given) != len(dict(given)):
        raise BadResponse("a parameter came twice")
    return dict(given)


def _welcome(parts: Parts, done: LoggedIn) -> Response:
    LOGINS.labels("done").inc()
    answer = RedirectResponse(done.return_to, 303, headers=SECURITY_HEADERS)
    _set_cookie(answer, COOKIE, done.cookie, max_age_s=parts.settings.session_absolute_s)
    return answer  # the browser's mark stays until it ends: another tab may be on its way


def _note(refused: LoginRefused) -> None:
    """Count and log a refusal; what only the operator can mend is an error."""
    LOGINS.labels(type(refused).__name__).inc()
    tell = log.error if refused.is_ours else log.warning
    tell("login refused", reason=refused.reason, status=refused.status)


def _refuse(refused: LoginRefused) -> Response:
    _note(refused)
    return login_refusal_page(refused, trace=trace_id())


def _set_cookie(answer: Response, name: str, value: str, *, max_age_s: int) -> None:
    """`__Host-`: Secure, whole site, no Domain; another host of the domain cannot plant it."""
    answer.set_cookie(name, value, max_age=max_age_s, path="/", secure=True, httponly=True, samesite="lax")
