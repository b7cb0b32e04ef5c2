"""The auth service: composition only."""

import httpx
from edulake.auth.client.api import router as clients
from edulake.auth.login.api import router as login
from edulake.auth.login.dev_api import router as dev_issuer
from edulake.auth.logout.api import router as logout
from edulake.auth.parts import parts_opener
from edulake.auth.person.api import internal as names
from edulake.auth.person.api import router as people
from edulake.auth.role.api import router as roles
from edulake.auth.session.api import router as sessions
from edulake.auth.settings import AuthSettings
from edulake.auth.token.api import router as tokens
from edulake.auth.trail.api import router as trail
from edulake.auth.upkeep import forget_expired
from edulake.common.service import create_service
from fastapi import FastAPI


def create_app(
    settings: AuthSettings | None = None, *, provider_transport: httpx.AsyncBaseTransport | None = None
) -> FastAPI:
    """Build auth; `provider_transport` replaces the network towards the identity provider (tests)."""
    return create_service(
        name="auth",
        title="EduLake 身份与授权 / auth",
        settings=settings or AuthSettings(),
        routers=[tokens, login, logout, dev_issuer, sessions, clients, people, names, roles, trail],
        background=[forget_expired],
        lifespan_resources=parts_opener(provider_transport),
    )
