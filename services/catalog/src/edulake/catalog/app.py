"""The catalogue: search, applications, grants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from edulake.catalog.application.api import router as applications
from edulake.catalog.favourite.api import router as favourites
from edulake.catalog.grant.api import router as grants
from edulake.catalog.grant.service import expire_ended
from edulake.catalog.handlers import HANDLERS
from edulake.catalog.resource.api import router as resources_router
from edulake.catalog.sandbox.api import router as sandbox
from edulake.catalog.settings import CatalogSettings
from edulake.catalog.standing import follow
from edulake.common.identity import service_client
from edulake.common.service import Resources, create_service
from fastapi import FastAPI


@asynccontextmanager
async def own_resources(resources: Resources) -> AsyncIterator[None]:
    """The catalogue as the standards have it now, and calls to other services."""
    async with resources.database.transaction() as session:
        await follow(session, resources.standards)
    client = service_client(resources.settings, "catalog")
    resources.extra["internal"] = client
    try:
        yield
    finally:
        await client.close()


async def expire_grants(resources: Resources, stop: asyncio.Event) -> None:
    """End grants whose time is over and say so; the gateway checks the time by itself as well."""
    settings = cast(CatalogSettings, resources.settings)
    while not stop.is_set():
        async with resources.database.transaction() as session:
            await expire_ended(session)
        try:
            await asyncio.wait_for(stop.wait(), settings.expiry_check_s)
        except TimeoutError:
            continue


def create_app(settings: CatalogSettings | None = None) -> FastAPI:
    return create_service(
        name="catalog",
        title="教育数据湖 · 目录",
        settings=settings or CatalogSettings(),
        routers=[resources_router, favourites, applications, grants, sandbox],
        handlers=HANDLERS,
        background=[expire_grants],
        lifespan_resources=own_resources,
    )
