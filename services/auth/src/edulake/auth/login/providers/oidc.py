"""An OpenID provider: authorization code flow with PKCE S256, and signing out at it."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

import httpx
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from edulake.auth import jose
from edulake.auth.login.errors import (
    BadResponse,
    Cancelled,
    CodeRefused,
    LoginRefused,
    Misconfigured,
    NotBelieved,
    ProviderBroken,
    ProviderDown,
)
from edulake.auth.login.providers.answers import whole
from edulake.auth.login.providers.discovery import Discovery, Provider
from edulake.auth.login.providers.id_token import judge
from edulake.auth.login.providers.logout_token import judge_logout
from edulake.auth.login.providers.port import Begin, Identity, LogoutNotice
from edulake.auth.models import LoginAttempt
from edulake.auth.settings import AuthSettings
from joserfc.jwt import Token

MAX_CODE_CHARS = 2048
#: A longer id token stays out of an address; the provider then asks the person before it signs out.
MAX_HINT_CHARS = 4096
#: RFC 6749 §5.2. Our request always has the same form but for the code, so a request that the provider finds
#: malformed has a malformed code.
_OF_THE_CODE = frozenset({"invalid_grant", "invalid_request"})
#: RFC 6749 §4.1.2.1, §5.2: how we are registered, which no person can change.
_OF_THE_SETTINGS = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}
    | {"unsupported_response_type", "invalid_request_object", "request_not_supported"}
)
_OF_THE_MOMENT = frozenset({"server_error", "temporarily_unavailable"})


class OidcProvider:
    """Sends people to the provider and believes, after every check, what comes back."""

    def __init__(self, settings: AuthSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._discovery = Discovery(settings, http)

    @property
    def issuer(self) -> str:
        return self._settings.provider_issuer

    async def authorize_url(self, begin: Begin) -> str:
        provider = await self._discovery.provider()
        return str(
            prepare_grant_uri(
                provider.authorization_endpoint,
                self._settings.oidc_client_id,
                "code",
                self._settings.callback_url,
                self._settings.oidc_scope,
                begin.state,
                nonce=begin.nonce,
                code_challenge=create_s256_code_challenge(begin.code_verifier),
                code_challenge_method="S256",
            )
        )

    async def identify(self, answer: Mapping[str, str], attempt: LoginAttempt) -> Identity:
        """Exchange the code and judge the id token; the response's own words are judged first."""
        provider = await self._discovery.provider()
        _check_issuer(provider, answer.get("iss"))
        if "error" in answer:
            raise _refusal_of(answer["error"])
        code = answer.get("code", "")
        if not 0 < len(code) <= MAX_CODE_CHARS:
            raise BadResponse("no code")
        told = await self._exchange(provider, code, attempt.code_verifier)
        id_token, access_token = told.get("id_token"), told.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise NotBelieved("tokens missing")
        try:
            token = await self._verified(id_token)
            identity = judge(
                token.header, token.claims, self._settings, nonce=attempt.nonce, access_token=access_token
            )
        except jose.TokenRefused as error:
            raise NotBelieved(str(error)) from error
        named = await self._named(provider, identity, access_token)
        return replace(named, id_token=id_token if len(id_token) <= MAX_HINT_CHARS else None)

    async def logout_url(self, *, id_token: str | None, state: str) -> str | None:
        """OpenID Connect RP-Initiated Logout 1.0 §2."""
        endpoint = (await self._discovery.provider()).end_session_endpoint
        if endpoint is None:
            return None
        told = {
            "id_token_hint": id_token,
            "client_id": self._settings.oidc_client_id,
            "post_logout_redirect_uri": self._settings.logged_out_url,
            "state": state,
        }
        return str(add_params_to_uri(endpoint, [(name, value) for name, value in told.items() if value]))

    async def judge_logout(self, token: str) -> LogoutNotice:
        verified = await self._verified(token)
        return judge_logout(verified.header, verified.claims, self._settings)

    async def _exchange(self, provider: Provider, code: str, code_verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.callback_url,
            "code_verifier": code_verifier,
        }
        headers = {}
        if self._settings.oidc_client_auth == "client_secret_basic":
            headers["Authorization"] = self._basic()
        else:
            form["client_id"] = self._settings.oidc_client_id
        if self._settings.oidc_client_auth == "client_secret_post":
            form["client_secret"] = self._settings.oidc_client_secret.get_secret_value()
        answer = await self._discovery.ask("POST", provider.token_endpoint, data=form, headers=headers)
        if answer.status in (400, 401) and answer.document and (error := answer.document.get("error")):
            raise _refusal_of(error, of_code=True)
        return whole(answer)

    def _basic(self) -> str:
        """RFC 6749 §2.3.1: both halves are form-encoded before they are joined."""
        secret = self._settings.oidc_client_secret.get_secret_value()
        pair = f"{quote_plus(self._settings.oidc_client_id)}:{quote_plus(secret)}"
        return "Basic " + b64encode(pair.encode()).decode()

    async def _verified(self, token: str) -> Token:
        algorithms = [self._settings.oidc_id_token_alg]
        try:
            return jose.decode(token, await self._discovery.keys(), algorithms)
        except jose.UnknownKeyId:
            return jose.decode(token, await self._discovery.keys(again=True), algorithms)

    async def _named(self, provider: Provider, identity: Identity, access_token: str) -> Identity:
        """Ask userinfo for the name when the id token has none; its subject must be the same."""
        if identity.name:
            return identity
        if provider.userinfo_endpoint is None:
            return replace(identity, name="未命名用户")
        headers = {"Authorization": f"Bearer {access_token}"}
        answer = await self._discovery.ask("GET", provider.userinfo_endpoint, headers=headers)
        if answer.status == 401:  # RFC 6750 §3.1: the token, made a moment ago, is over
            raise CodeRefused("userinfo refuses the token")
        told = whole(answer)
        if told.get("sub") != identity.subject:
            raise NotBelieved("userinfo is about another subject")
        name = told.get("name")
        return replace(identity, name=name if isinstance(name, str) and name else "未命名用户")


def _check_issuer(provider: Provider, issuer: str | None) -> None:
    """RFC 9207: a response that names an issuer must name ours; a provider that promised must."""
    if issuer is None and provider.names_itself:
        raise BadResponse("response names no issuer")
    if issuer is not None and issuer != provider.issuer:
        raise BadResponse("response names another issuer")


def _refusal_of(error: Any, *, of_code: bool = False) -> LoginRefused:
    """An OAuth error by whose it is to mend; `of_code`: it came from the token endpoint, in answer to a code."""
    if not isinstance(error, str):
        return ProviderBroken("unknown oauth error")
    if error in _OF_THE_SETTINGS or (error == "invalid_request" and not of_code):
        return Misconfigured(f"provider says {error}")
    if error in _OF_THE_MOMENT:
        return ProviderDown(f"provider says {error}")
    if not of_code:
        return Cancelled("provider ended the login")
    return (
        CodeRefused(f"provider says {error}")
        if error in _OF_THE_CODE
        else ProviderBroken("unknown oauth error")
    )
