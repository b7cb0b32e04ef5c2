"""The portal: composition only."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import httpx
from edulake.common.identity import InternalClient
from edulake.common.policy import asking_neighbours
from edulake.common.service import Resources, create_service
from edulake.portal.clients.calls import Calls
from edulake.portal.refusals import install_refusal_pages
from edulake.portal.settings import PortalSettings
from edulake.portal.site import site
from fastapi import FastAPI


def _calls_opener(
    transport: httpx.AsyncBaseTransport | None,
) -> Callable[[Resources], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def open_calls(opened: Resources) -> AsyncIterator[None]:
        settings = cast(PortalSettings, opened.settings)
        client = InternalClient(settings, "portal", transport=transport)
        opened.extra["calls"] = Calls(client, settings.page_timeout_s)
        try:
            async with asking_neighbours(opened, transport):
                yield
        finally:
            await client.close()

    return open_calls


def create_app(
    settings: PortalSettings | None = None, *, transport: httpx.AsyncBaseTransport | None = None
) -> FastAPI:
    """Build the portal; `transport` replaces the network towards the other services."""
    app = create_service(
        name="portal",
        title="教育数据湖 · 门户",
        settings=settings or PortalSettings(),
        routers=[site()],
        lifespan_resources=_calls_opener(transport),
        database=False,
    )
    install_refusal_pages(app)
    return app
