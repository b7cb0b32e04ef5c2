"""What an OpenID provider says about itself, and its keys; both cached, both checked.

The issuer in the document must equal the configured one to the letter (OpenID Connect Discovery
§4.3). Keys are read again for an unknown key id, at most once in `oidc_jwks_refresh_s`: rotation
needs no restart, and forged key ids cannot make us a weapon against the provider. A read that failed may be
repeated after a few seconds, so that a provider's short pause is not a minute's.
"""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from edulake.auth import jose
from edulake.auth.login.errors import Misconfigured, ProviderDown
from edulake.auth.login.providers.answers import Answer, Asker
from edulake.auth.settings import LOOPBACK, AuthSettings
from joserfc.jwk import KeySet

#: Pause after a read of the keys that failed.
FAILED_READ_PAUSE_S = 5


@dataclass(frozen=True)
class Provider:
    """The parts of a discovery document that are used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    #: RFC 9207: the provider promises to name itself in every response.
    names_itself: bool


class Discovery:
    """Reads the provider's documents, each when it is needed."""

    def __init__(self, settings: AuthSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._asker = Asker(http, settings.oidc_timeout_s)
        self._provider: Provider | None = None
        self._provider_until_s = 0.0
        self._keys: KeySet | None = None
        self._keys_wait_until_s = float("-inf")

    async def provider(self) -> Provider:
        """The provider's endpoints; raises ProviderDown, ProviderBroken or Misconfigured."""
        if self._provider is None or time.monotonic() >= self._provider_until_s:
            address = f"{self._settings.provider_issuer.rstrip('/')}/.well-known/openid-configuration"
            document = await self._asker.fetch("GET", self.reachable(address))
            self._provider = _checked(document, self._settings)
            self._provider_until_s = time.monotonic() + self._settings.oidc_metadata_cache_s
        return self._provider

    async def keys(self, *, again: bool = False) -> KeySet:
        """The provider's keys for the pinned algorithm; `again` asks for fresh ones, at a bounded rate."""
        if time.monotonic() >= self._keys_wait_until_s and (again or self._keys is None):
            self._keys_wait_until_s = time.monotonic() + FAILED_READ_PAUSE_S
            document = await self._asker.fetch("GET", self.reachable((await self.provider()).jwks_uri))
            listed = document.get("keys")
            self._keys = jose.public_keys(
                listed if isinstance(listed, list) else [], alg=self._settings.oidc_id_token_alg
            )
            self._keys_wait_until_s = time.monotonic() + self._settings.oidc_jwks_refresh_s
        if self._keys is None:
            raise ProviderDown("keys unreadable", retry_after_s=FAILED_READ_PAUSE_S)
        return self._keys

    async def ask(self, method: str, address: str, **options: Any) -> Answer:
        """One answer of an endpoint that the document named."""
        return await self._asker.ask(method, self.reachable(address), **options)

    def reachable(self, address: str) -> str:
        """Where this process reaches an address of the issuer; others stay as they are."""
        issuer = self._settings.provider_issuer.rstrip("/")
        if address == issuer or address.startswith(f"{issuer}/"):
            return self._settings.provider_internal_url + address.removeprefix(issuer)
        return address


def _checked(document: dict[str, Any], settings: AuthSettings) -> Provider:
    if document.get("issuer") != settings.provider_issuer:
        raise Misconfigured("discovery names another issuer")
    methods = document.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise Misconfigured("no PKCE S256")
    return Provider(
        issuer=settings.provider_issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", settings),
        token_endpoint=_endpoint(document, "token_endpoint", settings),
        jwks_uri=_endpoint(document, "jwks_uri", settings),
        userinfo_endpoint=_optional(document, "userinfo_endpoint", settings),
        end_session_endpoint=_optional(document, "end_session_endpoint", settings),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _optional(document: dict[str, Any], name: str, settings: AuthSettings) -> str | None:
    return _endpoint(document, name, settings) if document.get(name) else None


def _endpoint(document: dict[str, Any], name: str, settings: AuthSettings) -> str:
    """An https address; plain http only on loopback in development. Raises Misconfigured."""
    value = document.get(name)
    try:
        parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
    except ValueError as error:
        raise Misconfigured(f"unsafe {name}") from error
    is_local = settings.env == "development" and (parts.hostname or "") in LOOPBACK
    own = isinstance(value, str) and value.startswith(f"{settings.provider_issuer.rstrip('/')}/")
    if parts.scheme == "https" or (parts.scheme == "http" and (is_local or own)):
        return str(value)
    raise Misconfigured(f"unsafe {name}")
