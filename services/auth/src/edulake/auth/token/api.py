"""/oauth/token, /oauth/revoke, the key set, the metadata, and the administrators' revocation."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from edulake.auth.client.authentication import AuthenticatedClient
from edulake.auth.client.credentials import read_form, shown_credentials
from edulake.auth.parts import Parts, PartsDep
from edulake.auth.token import service
from edulake.auth.token.errors import (
    NO_STORE,
    OAUTH_REFUSALS,
    InvalidRequest,
    OAuthError,
    UnsupportedGrantType,
    form_body,
)
from edulake.auth.token.metadata import metadata
from edulake.auth.token.schemas import RevocationOut, RevokeIn
from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.policy import allow
from edulake.common.service import Res
from edulake.common.telemetry import logger
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

log = logger(__name__)
#: Short, so that a verifier meets the next key well before it signs.
JWKS_MAX_AGE_S = 300
_PROOF = ("client_id", "client_secret", "client_assertion_type", "client_assertion")


class OAuthRoute(APIRoute):
    """Routes that answer errors in the words of RFC 6749 instead of problem+json."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except OAuthError as error:
                return error.response()

        return answer


router = APIRouter(tags=["tokens"], route_class=OAuthRoute)


@router.post(
    "/oauth/token",
    dependencies=[allow("token", "get")],
    summary="获取访问令牌 (RFC 6749 §4.4)",
    responses=OAUTH_REFUSALS,
    openapi_extra=form_body("grant_type", optional=(*_PROOF, "scope")),
)
async def token(request: Request, resources: Res, parts: PartsDep) -> JSONResponse:
    form, client = await _authenticated(request, parts)
    if form.get("grant_type") is None:
        raise InvalidRequest("grant_type is missing")
    if form["grant_type"] != "client_credentials":
        raise UnsupportedGrantType("only client_credentials is offered")
    async with resources.database.transaction() as session:
        issued = await service.issue(session, parts.signing, parts.settings, client, form.get("scope"))
    log.info("token issued", client_id=client.client_id, jti=issued.jti)
    body = {
        "access_token": issued.token,
        "token_type": "Bearer",
        "expires_in": parts.settings.token_ttl_s,
        "scope": issued.scope,
    }
    return JSONResponse(body, headers=NO_STORE)


@router.post(
    "/oauth/revoke",
    dependencies=[allow("token", "give_back")],
    summary="吊销本应用的令牌 (RFC 7009)",
    responses=OAUTH_REFUSALS,
    openapi_extra=form_body("token", optional=_PROOF),
)
async def revoke(request: Request, resources: Res, parts: PartsDep) -> Response:
    form, client = await _authenticated(request, parts)
    if "token" not in form:
        raise InvalidRequest("token is missing")
    async with resources.database.transaction() as session:
        jti = await service.revoke_own(
            session, parts.signing, parts.settings, client.client_id, form["token"]
        )
    log.info("token revocation asked", client_id=client.client_id, jti=jti)
    return Response(status_code=200, headers=NO_STORE)


@router.post("/api/auth/revocations", status_code=201, summary="吊销任一令牌或某应用的全部令牌")
async def revoke_any(
    wanted: RevokeIn,
    admin: Annotated[Subject, allow("token", "revoke")],
    session: Session,
    parts: PartsDep,
) -> RevocationOut:
    return await service.revoke(session, parts.settings, by=admin.id, **wanted.model_dump())


@router.get("/.well-known/jwks.json", dependencies=[allow("issuer", "read")], summary="签名公钥 (RFC 7517)")
async def jwks(session: ReadSession, parts: PartsDep) -> JSONResponse:
    keys = await parts.signing.jwks(session)
    return JSONResponse({"keys": keys}, headers={"Cache-Control": f"public, max-age={JWKS_MAX_AGE_S}"})


@router.get(
    "/.well-known/oauth-authorization-server",
    dependencies=[allow("issuer", "read")],
    summary="元数据 (RFC 8414)",
)
async def server_metadata(parts: PartsDep) -> dict[str, Any]:
    return metadata(parts.settings)


async def _authenticated(request: Request, parts: Parts) -> tuple[dict[str, str], AuthenticatedClient]:
    form = await read_form(request)
    shown = shown_credentials(request.headers.get("authorization"), form)
    address = request.client.host if request.client else "unknown"
    return form, await parts.clients.authenticate(shown, address)
