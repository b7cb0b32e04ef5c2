"""/logout, /logout/done for a browser, /logout/backchannel for the provider's server."""

import hmac
from typing import Annotated
from urllib.parse import parse_qsl

from edulake.auth import opaque
from edulake.auth.jose import TokenRefused
from edulake.auth.login.errors import LoginRefused
from edulake.auth.login.pages import PAGE_REFUSALS, SECURITY_HEADERS, logged_out_page
from edulake.auth.logout import service
from edulake.auth.parts import Parts, PartsDep
from edulake.auth.session import service as sessions
from edulake.auth.session.service import COOKIE
from edulake.auth.token.errors import NO_STORE, OAUTH_REFUSALS, form_body
from edulake.common.errors import Forbidden
from edulake.common.policy import allow
from edulake.common.service import Res
from edulake.common.telemetry import logger
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from prometheus_client import Counter

log = logger(__name__)
LOGOUTS = Counter("edulake_auth_logouts_total", "Logouts by how they ended", ["outcome"])
MAX_FORM_BYTES = 4096
MAX_LOGOUT_TOKEN_BYTES = 32_768
#: Tells a browser that comes back from the provider from one that was never there.
LEAVING_COOKIE = "__Host-edulake-logout"
LEAVING_TTL_S = 600

router = APIRouter(tags=["logout"])


@router.post(
    "/logout",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[allow("login", "use")],
    summary="退出登录",
)
async def logout(request: Request, resources: Res, parts: PartsDep) -> Response:
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        return _to("/logout/done")
    await _refuse_foreign_logout(request, parts, cookie)
    state = opaque.fresh()
    ring = resources.keys.ring("seal")
    onward = await service.leave(resources.database, ring, parts.provider, cookie, state)
    LOGOUTS.labels("provider" if onward else "here").inc()
    answer = _to(onward or "/logout/done")
    if onward:
        answer.set_cookie(
            LEAVING_COOKIE, state, max_age=LEAVING_TTL_S, path="/", secure=True, httponly=True, samesite="lax"
        )
    _drop_cookie(answer, COOKIE)
    return answer


State = Annotated[str | None, Query(description="退出时交给统一认证的值 / what we sent along")]


@router.get(
    "/logout/done",
    response_class=HTMLResponse,
    dependencies=[allow("login", "use")],
    summary="已退出",
    responses=PAGE_REFUSALS,
)
async def done(request: Request, parts: PartsDep, state: State = None) -> Response:
    """Says honestly what has ended: with the state of a logout, the provider's session too."""
    if COOKIE in request.cookies:  # somebody who is logged in reads nothing about having left
        return _to("/")
    awaited = request.cookies.get(LEAVING_COOKIE, "")
    there_too = bool(awaited) and hmac.compare_digest(awaited.encode(), (state or "").encode())
    page = logged_out_page(parts.settings.provider_title, there_too=there_too)
    _drop_cookie(page, LEAVING_COOKIE)
    return page


@router.post(
    "/logout/backchannel",
    dependencies=[allow("login", "use")],
    summary="统一认证通知退出 (OpenID Connect Back-Channel Logout 1.0)",
    responses=OAUTH_REFUSALS,
    openapi_extra=form_body("logout_token"),
)
async def backchannel(request: Request, resources: Res, parts: PartsDep) -> JSONResponse:
    """200 when every session meant has ended, else 400 with a reason (§2.8)."""
    try:
        tokens = [
            value for name, value in await _form(request, MAX_LOGOUT_TOKEN_BYTES) if name == "logout_token"
        ]
        if len(tokens) != 1:
            raise TokenRefused("one logout_token is wanted")
        ended = await service.heed(resources.database, parts.settings, parts.provider, tokens[0])
    except TokenRefused as refused:
        return _refuse_notice("invalid_request", str(refused))
    except LoginRefused as refused:
        return _refuse_notice("temporarily_unavailable", refused.reason)
    LOGOUTS.labels("backchannel").inc()
    log.info("provider ended sessions", sessions=ended)
    return JSONResponse({}, headers=NO_STORE)


def _refuse_notice(error: str, reason: str) -> JSONResponse:
    LOGOUTS.labels("backchannel refused").inc()
    log.warning("logout token refused", reason=reason)
    return JSONResponse({"error": error, "error_description": reason}, 400, headers=NO_STORE)


async def _refuse_foreign_logout(request: Request, parts: Parts, cookie: str) -> None:
    """Only our own pages end a session: by the form's token, else by the browser's word of origin."""
    try:
        form = dict(await _form(request, MAX_FORM_BYTES))
    except TokenRefused as refused:
        raise Forbidden("请从系统页面退出", "log out from a page of this system") from refused
    token = form.get("csrf") or request.headers.get("x-csrf-token")
    if token is not None and sessions.is_csrf_token(cookie, token):
        return
    if token is None and request.headers.get("origin") == parts.settings.issuer:
        return
    raise Forbidden("请从系统页面退出", "log out from a page of this system")


async def _form(request: Request, limit_bytes: int) -> list[tuple[str, str]]:
    """Raises TokenRefused for a body above the limit or of too many fields."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise TokenRefused("the form is too large")
    try:
        return parse_qsl(body.decode("utf-8", errors="replace"), max_num_fields=10)
    except ValueError as error:
        raise TokenRefused("the form has too many fields") from error


def _to(place: str) -> RedirectResponse:
    return RedirectResponse(place, 303, headers=SECURITY_HEADERS)


def _drop_cookie(answer: Response, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
