"""The trail as the audit administrator reads it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class TrailOut(BaseModel):
    """One thing that happened to an identity."""

    model_config = ConfigDict(from_attributes=True)
    at: datetime
    kind: str
    by: str
    about: str
    outcome: str
    trace_id: str
