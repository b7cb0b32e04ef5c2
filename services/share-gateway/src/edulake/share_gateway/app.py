"""The gateway process: one inner service for lifespan and administration, one pipeline before it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edulake.common.bus import BusLimits
from edulake.common.policy import asking_neighbours
from edulake.common.service import Resources, create_service
from edulake.common.web import Reads
from edulake.share_gateway.audit.api import router as audit_router
from edulake.share_gateway.background import BACKGROUND
from edulake.share_gateway.deadletter.api import router as dead_letter_router
from edulake.share_gateway.gateway import Gateway
from edulake.share_gateway.limits.api import router as quota_router
from edulake.share_gateway.plane import EngineOpener, open_engine, open_plane
from edulake.share_gateway.publication.api import router as publication_router
from edulake.share_gateway.settings import GatewaySettings
from edulake.share_gateway.summary.api import router as summary_router


def create_app(
    settings: GatewaySettings | None = None, *, engine_opener: EngineOpener = open_engine
) -> Gateway:
    """Build the gateway; nothing is opened before its lifespan begins."""

    @asynccontextmanager
    async def own(resources: Resources) -> AsyncIterator[None]:
        async with asking_neighbours(resources), open_plane(resources, service, engine_opener) as plane:
            resources.extra["plane"] = plane
            service.state.plane = plane
            # Whose right waits for an event is closed, nobody else (ADR 0012): a stuck reader is told, no more.
            service.state.reads = Reads(resources.name, BusLimits(), is_needed=False)
            yield

    service = create_service(
        name="gateway",
        title="EduLake 共享网关 / share gateway",
        settings=settings or GatewaySettings(),
        routers=[publication_router, audit_router, quota_router, summary_router, dead_letter_router],
        background=BACKGROUND,
        lifespan_resources=own,
    )
    return Gateway(service)
