"""/dev-issuer: the stand-in provider's endpoints; absent unless it is the configured one."""

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from edulake.auth.login.dev_issuer import DevIssuer, Misused
from edulake.auth.login.dev_people import DEV_PEOPLE
from edulake.auth.login.pages import PAGE_REFUSALS, SECURITY_HEADERS, Words, choose_person_page, refusal_page
from edulake.auth.parts import PartsDep
from edulake.auth.token.errors import OAUTH_REFUSALS
from edulake.common.errors import NotFound, TooLarge
from edulake.common.identity import ROLES
from edulake.common.policy import allow
from edulake.common.telemetry import trace_id
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

router = APIRouter(prefix="/dev-issuer", tags=["development issuer"], dependencies=[allow("login", "use")])
MAX_FORM_BYTES = 16_384
_NOT_OURS = Words(
    "请求无效",
    "Invalid request",
    "此登录请求不是由本系统发起的。",
    "This login was not begun by this system.",
)
_KEPT = (
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
)


def _active(parts: PartsDep) -> DevIssuer:
    if parts.dev_issuer is None:
        raise NotFound("未启用开发登录", "the development issuer is not active")
    return parts.dev_issuer


Active = Annotated[DevIssuer, Depends(_active)]


@router.get("/.well-known/openid-configuration")
async def discovery(issuer: Active) -> dict[str, Any]:
    return issuer.discovery()


@router.get("/jwks.json")
async def jwks(issuer: Active) -> dict[str, Any]:
    return issuer.jwks()


@router.get("/authorize", response_class=HTMLResponse, responses=PAGE_REFUSALS)
async def choose(request: Request, issuer: Active) -> Response:
    query = {name: request.query_params[name] for name in _KEPT if name in request.query_params}
    try:
        issuer.check_request(query)
    except Misused:
        return _refusal()
    people = [
        (person.sub, person.name, "、".join(ROLES[role] for role in person.roles)) for person in DEV_PEOPLE
    ]
    return choose_person_page(people, query)


@router.post("/authorize", status_code=303, responses=PAGE_REFUSALS)
async def approve(request: Request, issuer: Active, parts: PartsDep) -> Response:
    form = await _form(request)
    query = {name: form[name] for name in _KEPT if name in form}
    try:
        code = issuer.approve(query, form.get("sub", ""))
    except Misused:
        return _refusal()
    answer = {"code": code, "state": query["state"], "iss": parts.settings.dev_issuer}
    address = f"{parts.settings.callback_url}?{urlencode(answer)}"
    return RedirectResponse(address, 303, headers=SECURITY_HEADERS)


@router.post("/token", responses=OAUTH_REFUSALS)
async def exchange(request: Request, issuer: Active) -> JSONResponse:
    try:
        tokens = issuer.exchange(await _form(request))
    except Misused as error:
        return JSONResponse({"error": str(error)}, 400, headers={"Cache-Control": "no-store"})
    return JSONResponse(tokens, headers={"Cache-Control": "no-store"})


@router.get("/end-session", status_code=303, responses=PAGE_REFUSALS)
async def end_session(request: Request, issuer: Active) -> Response:
    """OpenID Connect RP-Initiated Logout 1.0."""
    try:
        place = issuer.end_session(dict(request.query_params))
    except Misused:
        return _refusal()
    return RedirectResponse(place, 303, headers=SECURITY_HEADERS)


@router.get("/userinfo", responses=OAUTH_REFUSALS)
async def userinfo(request: Request, issuer: Active) -> JSONResponse:
    try:
        return JSONResponse(issuer.userinfo(request.headers.get("authorization")))
    except Misused as error:
        return JSONResponse({"error": str(error)}, 401, headers={"WWW-Authenticate": "Bearer"})


def _refusal() -> Response:
    return refusal_page(_NOT_OURS, trace=trace_id(), status=400)


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise TooLarge("表单过大", "the form is too large")
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), max_num_fields=30))
