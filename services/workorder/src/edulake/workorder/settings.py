"""Settings of the work orders."""

from edulake.common.settings import Settings
from pydantic import Field


class WorkorderSettings(Settings):
    """What the work orders add."""

    rings = ()

    reply_hours: int = Field(default=24, ge=1, description="Hours within which an order should be resolved.")
