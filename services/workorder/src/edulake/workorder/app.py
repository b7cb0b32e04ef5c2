"""Work orders: quality problems on their way to being mended."""

from edulake.common.policy import asking_neighbours
from edulake.common.service import create_service
from edulake.workorder.handlers import HANDLERS
from edulake.workorder.order.api import router
from edulake.workorder.settings import WorkorderSettings
from fastapi import FastAPI


def create_app(settings: WorkorderSettings | None = None) -> FastAPI:
    return create_service(
        name="workorder",
        title="教育数据湖 · 工单",
        settings=settings or WorkorderSettings(),
        routers=[router],
        handlers=HANDLERS,
        lifespan_resources=asking_neighbours,
    )
