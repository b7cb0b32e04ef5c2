"""Governance: batches become one trusted table per dataset. This process answers; the worker works."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edulake.common.lake import Lake
from edulake.common.policy import asking_neighbours
from edulake.common.service import Resources, create_service
from edulake.governance.batch.api import router as batches
from edulake.governance.dataset.api import router as datasets
from edulake.governance.handlers import HANDLERS
from edulake.governance.quality.api import router as quality
from edulake.governance.run.api import router as runs
from edulake.governance.settings import GovernanceSettings
from edulake.governance.steps.known import refuse_faults
from fastapi import FastAPI


@asynccontextmanager
async def own_resources(resources: Resources) -> AsyncIterator[None]:
    """The lake, for versions and held-back rows, and who is asked whose sources are whose.

    StandardsError when a contract cannot be carried out.
    """
    refuse_faults(resources.standards)
    resources.extra["lake"] = Lake(resources.settings.lake)
    async with asking_neighbours(resources):
        yield


def create_app(settings: GovernanceSettings | None = None) -> FastAPI:
    return create_service(
        name="governance",
        title="教育数据湖 · 治理",
        settings=settings or GovernanceSettings(),
        routers=[runs, datasets, quality, batches],
        handlers=HANDLERS,
        lifespan_resources=own_resources,
    )
