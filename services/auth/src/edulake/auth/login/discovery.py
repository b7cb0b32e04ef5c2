"""What the provider says about itself, and its keys; both cached, both checked.

The issuer in the document must equal the configured one to the letter (OpenID Connect Discovery
§4.3). Keys are read again for an unknown key id, at most once in `oidc_jwks_refresh_s`: rotation
needs no restart, and forged key ids cannot make us a weapon against the provider.
"""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from edulake.auth import jose
from edulake.auth.login.errors import provider_down
from edulake.auth.settings import LOOPBACK, AuthSettings
from joserfc.jwk import KeySet

MAX_ANSWER_BYTES = 262_144


@dataclass(frozen=True)
class Provider:
    """The parts of a discovery document that are used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    #: RFC 9207: the provider promises to name itself in every response.
    names_itself: bool


class Discovery:
    """Reads the provider's documents, each when it is needed."""

    def __init__(self, settings: AuthSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._provider: Provider | None = None
        self._provider_until_s = 0.0
        self._keys: KeySet | None = None
        self._keys_read_at_s = float("-inf")

    async def provider(self) -> Provider:
        """The provider's endpoints; raises ProviderDown."""
        if self._provider is None or time.monotonic() >= self._provider_until_s:
            address = f"{self._settings.provider_issuer.rstrip('/')}/.well-known/openid-configuration"
            document = await self.fetch_json("GET", address)
            self._provider = _checked(document, self._settings)
            self._provider_until_s = time.monotonic() + self._settings.oidc_metadata_cache_s
        return self._provider

    async def keys(self, *, again: bool = False) -> KeySet:
        """The provider's keys for the pinned algorithm; `again` asks for fresh ones, at a bounded rate."""
        pause_s = self._settings.oidc_jwks_refresh_s
        may_read = time.monotonic() - self._keys_read_at_s >= pause_s
        if may_read and (again or self._keys is None):
            self._keys_read_at_s = time.monotonic()
            document = await self.fetch_json("GET", (await self.provider()).jwks_uri)
            listed = document.get("keys")
            self._keys = jose.public_keys(
                listed if isinstance(listed, list) else [], alg=self._settings.oidc_id_token_alg
            )
        if self._keys is None:
            raise provider_down("keys unreadable")
        return self._keys

    async def fetch_json(self, method: str, address: str, **options: Any) -> dict[str, Any]:
        """A small JSON object from the provider; raises ProviderDown. Redirects are not followed."""
        try:
            async with self._http.stream(method, self.reachable(address), **options) as answer:
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise provider_down("answer too large")
        except httpx.HTTPError as error:
            raise provider_down(type(error).__name__) from error
        if answer.status_code != 200:
            raise provider_down(f"status {answer.status_code}")
        try:
            document = orjson.loads(bytes(body))
        except ValueError as error:
            raise provider_down("not json") from error
        if not isinstance(document, dict):
            raise provider_down("not an object")
        return document

    def reachable(self, address: str) -> str:
        """Where this process reaches an address of the issuer; others stay as they are."""
        issuer = self._settings.provider_issuer.rstrip("/")
        if address == issuer or address.startswith(f"{issuer}/"):
            return self._settings.provider_internal_url + address.removeprefix(issuer)
        return address


def _checked(document: dict[str, Any], settings: AuthSettings) -> Provider:
    if document.get("issuer") != settings.provider_issuer:
        raise provider_down("discovery names another issuer")
    methods = document.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise provider_down("no PKCE S256")
    userinfo = document.get("userinfo_endpoint")
    return Provider(
        issuer=settings.provider_issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", settings),
        token_endpoint=_endpoint(document, "token_endpoint", settings),
        jwks_uri=_endpoint(document, "jwks_uri", settings),
        userinfo_endpoint=_endpoint(document, "userinfo_endpoint", settings) if userinfo else None,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: dict[str, Any], name: str, settings: AuthSettings) -> str:
    """An https address; plain http only on loopback in development. Raises ProviderDown."""
    value = document.get(name)
    parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
    is_local = settings.env == "development" and (parts.hostname or "") in LOOPBACK
    own = isinstance(value, str) and value.startswith(f"{settings.provider_issuer.rstrip('/')}/")
    if parts.scheme == "https" or (parts.scheme == "http" and (is_local or own)):
        return str(value)
    raise provider_down(f"unsafe {name}")
