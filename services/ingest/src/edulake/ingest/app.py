"""Ingest: sources deliver, batches land sealed, everything after is told by events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edulake.common.lake import Lake
from edulake.common.policy import asking_neighbours
from edulake.common.service import Resources, create_service
from edulake.ingest.batch.api import router as batches
from edulake.ingest.batch.delivery import Deliveries, settings_of
from edulake.ingest.batch.sweep import sweep_orphans
from edulake.ingest.handlers import HANDLERS
from edulake.ingest.settings import IngestSettings
from edulake.ingest.source.api import internal
from edulake.ingest.source.api import router as sources
from fastapi import FastAPI


@asynccontextmanager
async def own_resources(resources: Resources) -> AsyncIterator[None]:
    """The lake, the bounded places for deliveries in hand, and who is asked whether a contact exists."""
    settings = settings_of(resources)
    await asyncio.to_thread(settings.staging.mkdir, parents=True, exist_ok=True, mode=0o700)
    resources.extra["deliveries"] = Deliveries(settings, Lake(settings.lake))
    async with asking_neighbours(resources):
        yield


def create_app(settings: IngestSettings | None = None) -> FastAPI:
    return create_service(
        name="ingest",
        title="教育数据湖 · 归集",
        settings=settings or IngestSettings(),
        routers=[sources, internal, batches],
        handlers=HANDLERS,
        background=[sweep_orphans],
        lifespan_resources=own_resources,
    )
