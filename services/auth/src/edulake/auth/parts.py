"""What auth builds once per process from its settings; found again through the request."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, cast

import httpx
from edulake.auth.client.authentication import ClientAuthenticator
from edulake.auth.client.throttle import Throttle
from edulake.auth.login.dev_issuer import DevIssuer
from edulake.auth.login.dev_people import ensure_dev_people
from edulake.auth.login.providers.mapping import read_mapping
from edulake.auth.login.providers.oidc import OidcProvider
from edulake.auth.login.providers.port import LoginProvider
from edulake.auth.login.providers.ywtb import YwtbProvider
from edulake.auth.settings import AuthSettings
from edulake.auth.token.signing import SigningKeys
from edulake.common.service import Res, Resources
from fastapi import Depends


@dataclass
class Parts:
    """The working parts of auth."""

    settings: AuthSettings
    signing: SigningKeys
    clients: ClientAuthenticator
    login_starts: Throttle
    provider: LoginProvider
    dev_issuer: DevIssuer | None


def parts_opener(
    transport: httpx.AsyncBaseTransport | None,
) -> Callable[[Resources], AbstractAsyncContextManager[None]]:
    """`transport` replaces the network on the way to the provider (tests)."""

    @asynccontextmanager
    async def open_parts(resources: Resources) -> AsyncIterator[None]:
        settings = cast(AuthSettings, resources.settings)
        http = httpx.AsyncClient(
            timeout=settings.oidc_timeout_s, transport=transport, trust_env=False, follow_redirects=False
        )
        async with http:
            parts = _build(settings, resources, http)
            await parts.signing.ensure()
            if parts.dev_issuer:
                await ensure_dev_people(resources.database, settings)
            resources.extra["parts"] = parts
            yield

    return open_parts


def _build(settings: AuthSettings, resources: Resources, http: httpx.AsyncClient) -> Parts:
    window_s = settings.client_failure_window_s
    failures = Throttle(resources.redis, "client", limit=settings.client_failures, window_s=window_s)
    return Parts(
        settings=settings,
        signing=SigningKeys(settings, resources.database, resources.keys),
        clients=ClientAuthenticator(settings, resources.database, resources.keys, failures),
        login_starts=Throttle(resources.redis, "login", limit=settings.login_starts, window_s=window_s),
        provider=_provider(settings, resources, http),
        dev_issuer=DevIssuer(settings) if settings.uses_dev_issuer else None,
    )


def _provider(settings: AuthSettings, resources: Resources, http: httpx.AsyncClient) -> LoginProvider:
    if settings.login_provider == "ywtb":
        mapping = read_mapping(settings.standards_dir, settings.ywtb_mapping)
        return YwtbProvider(settings, http, mapping, resources.keys.ring("token"))
    return OidcProvider(settings, http)


def _parts(resources: Res) -> Parts:
    return cast(Parts, resources.extra["parts"])


PartsDep = Annotated[Parts, Depends(_parts)]
