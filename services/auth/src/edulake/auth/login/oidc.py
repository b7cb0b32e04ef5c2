"""The relying party: authorization code flow with PKCE S256 towards one configured provider."""

from base64 import b64encode
from typing import Any
from urllib.parse import quote_plus

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from edulake.auth import jose
from edulake.auth.login.discovery import Discovery, Provider
from edulake.auth.login.errors import bad_response, not_believed
from edulake.auth.login.id_token import Identity, judge
from edulake.auth.models import LoginAttempt
from edulake.auth.settings import AuthSettings
from joserfc.jwt import Token


class RelyingParty:
    """Sends people to the provider and believes, after every check, what comes back."""

    def __init__(self, settings: AuthSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._discovery = Discovery(settings, http)

    async def authorize_url(self, *, state: str, nonce: str, code_verifier: str) -> str:
        """Where the browser goes to log in; raises ProviderDown."""
        provider = await self._discovery.provider()
        return str(
            prepare_grant_uri(
                provider.authorization_endpoint,
                self._settings.oidc_client_id,
                "code",
                self._settings.callback_url,
                self._settings.oidc_scope,
                state,
                nonce=nonce,
                code_challenge=create_s256_code_challenge(code_verifier),
                code_challenge_method="S256",
            )
        )

    async def check_issuer(self, issuer: str | None) -> None:
        """RFC 9207: a response that names an issuer must name ours; a provider that promised must."""
        provider = await self._discovery.provider()
        if issuer is None and provider.names_itself:
            raise bad_response("response names no issuer")
        if issuer is not None and issuer != provider.issuer:
            raise bad_response("response names another issuer")

    async def identify(self, code: str, attempt: LoginAttempt) -> Identity:
        """Exchange the code and judge the id token; raises NotBelieved or ProviderDown."""
        provider = await self._discovery.provider()
        answer = await self._exchange(provider, code, attempt.code_verifier)
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise not_believed("tokens missing")
        try:
            token = await self._verified(id_token)
            identity = judge(
                token.header, token.claims, self._settings, nonce=attempt.nonce, access_token=access_token
            )
        except jose.TokenRefused as error:
            raise not_believed(str(error)) from error
        return await self._named(provider, identity, access_token)

    async def _exchange(self, provider: Provider, code: str, code_verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.callback_url,
            "code_verifier": code_verifier,
        }
        headers = {"Accept": "application/json"}
        if self._settings.oidc_client_auth == "client_secret_basic":
            headers["Authorization"] = self._basic()
        else:
            form["client_id"] = self._settings.oidc_client_id
        if self._settings.oidc_client_auth == "client_secret_post":
            form["client_secret"] = self._settings.oidc_client_secret.get_secret_value()
        return await self._discovery.fetch_json("POST", provider.token_endpoint, data=form, headers=headers)

    def _basic(self) -> str:
        """RFC 6749 §2.3.1: both halves are form-encoded before they are joined."""
        secret = self._settings.oidc_client_secret.get_secret_value()
        pair = f"{quote_plus(self._settings.oidc_client_id)}:{quote_plus(secret)}"
        return "Basic " + b64encode(pair.encode()).decode()

    async def _verified(self, id_token: str) -> Token:
        algorithms = [self._settings.oidc_id_token_alg]
        try:
            return jose.decode(id_token, await self._discovery.keys(), algorithms)
        except jose.UnknownKeyId:
            return jose.decode(id_token, await self._discovery.keys(again=True), algorithms)

    async def _named(self, provider: Provider, identity: Identity, access_token: str) -> Identity:
        """Ask userinfo for the name when the id token has none; its subject must be the same."""
        if identity.name:
            return identity
        if provider.userinfo_endpoint is None:
            return Identity(identity.issuer, identity.subject, "未命名用户")
        headers = {"Authorization": f"Bearer {access_token}"}
        told = await self._discovery.fetch_json("GET", provider.userinfo_endpoint, headers=headers)
        if told.get("sub") != identity.subject:
            raise not_believed("userinfo is about another subject")
        name = told.get("name")
        return Identity(
            identity.issuer, identity.subject, name if isinstance(name, str) and name else "未命名用户"
        )
