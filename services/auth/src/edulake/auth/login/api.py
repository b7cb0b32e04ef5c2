"""/login, /login/callback, /logout: what a browser meets."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import parse_qsl

from edulake.auth.login import service
from edulake.auth.login.errors import LoginRefused, TooManyStarts, bad_response
from edulake.auth.login.pages import PAGE_REFUSALS, SECURITY_HEADERS, Words, refusal_page
from edulake.auth.login.service import BROWSER_COOKIE, Callback
from edulake.auth.parts import PartsDep
from edulake.auth.session import service as sessions
from edulake.auth.session.service import COOKIE
from edulake.common.errors import Forbidden
from edulake.common.policy import allow
from edulake.common.service import Res
from edulake.common.telemetry import logger, trace_id
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from prometheus_client import Counter

log = logger(__name__)
LOGINS = Counter("edulake_auth_logins_total", "Logins by how they ended", ["outcome"])
MAX_FORM_BYTES = 4096


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


@router.get(
    "/login",
    status_code=303,
    dependencies=[allow("login", "use")],
    summary="前往统一认证登录",
    responses=PAGE_REFUSALS,
)
async def login(request: Request, resources: Res, parts: PartsDep, return_to: ReturnTo = None) -> Response:
    address = request.client.host if request.client else "unknown"
    if await parts.login_starts.count(address):
        raise TooManyStarts("too many starts", "请稍后再试。", "Please wait a little.")
    browser = request.cookies.get(BROWSER_COOKIE)
    begun = await service.begin(resources.database, parts.settings, parts.provider, return_to, browser)
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
    query = request.query_params
    names = [name for name, _ in query.multi_items()]
    if len(names) != len(set(names)):
        raise bad_response("a parameter came twice")
    back = Callback(
        state=query.get("state"),
        code=query.get("code"),
        error=query.get("error"),
        issuer=query.get("iss"),
        browser=request.cookies.get(BROWSER_COOKIE),
        former_session=request.cookies.get(COOKIE),
        agent=request.headers.get("user-agent", ""),
    )
    done = await service.finish(resources.database, parts.settings, parts.provider, back)
    LOGINS.labels("done").inc()
    answer = RedirectResponse(done.return_to, 303, headers=SECURITY_HEADERS)
    _set_cookie(answer, COOKIE, done.cookie, max_age_s=parts.settings.session_absolute_s)
    return answer  # the browser's mark stays until it ends: another tab may be on its way


@router.post(
    "/logout",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[allow("login", "use")],
    summary="退出登录",
)
async def logout(request: Request, resources: Res, parts: PartsDep) -> Response:
    cookie = request.cookies.get(COOKIE)
    answer = RedirectResponse("/", 303, headers=SECURITY_HEADERS)
    if cookie:
        await _refuse_foreign_logout(request, parts, cookie)
        async with resources.database.transaction() as session:
            await sessions.end(session, cookie)
    _drop_cookie(answer, COOKIE)
    return answer


async def _refuse_foreign_logout(request: Request, parts: PartsDep, cookie: str) -> None:
    """Only our own pages end a session: by the form's token, else by the browser's word of origin."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise Forbidden("请从系统页面退出", "log out from a page of this system")
    form = dict(parse_qsl(body.decode("utf-8", errors="replace"), max_num_fields=10))
    token = form.get("csrf") or request.headers.get("x-csrf-token")
    if token is not None and sessions.is_csrf_token(cookie, token):
        return
    if token is None and request.headers.get("origin") == parts.settings.issuer:
        return
    raise Forbidden("请从系统页面退出", "log out from a page of this system")


def _refuse(refused: LoginRefused) -> Response:
    LOGINS.labels(type(refused).__name__).inc()
    log.warning("login refused", reason=refused.reason, status=refused.status)
    words = Words(refused.title_zh, refused.title_en, refused.detail_zh, refused.detail_en)
    return refusal_page(words, trace=trace_id(), status=refused.status)


def _set_cookie(answer: Response, name: str, value: str, *, max_age_s: int) -> None:
    """`__Host-`: Secure, whole site, no Domain; another host of the domain cannot plant it."""
    answer.set_cookie(name, value, max_age=max_age_s, path="/", secure=True, httponly=True, samesite="lax")


def _drop_cookie(answer: Response, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
