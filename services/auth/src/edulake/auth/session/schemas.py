"""Sessions as the portal resolves them and as people see their own."""

from datetime import datetime
from uuid import UUID

from edulake.common.identity import Subject
from pydantic import BaseModel, ConfigDict, Field


class ResolveIn(BaseModel, extra="forbid"):
    """The value of the session cookie."""

    cookie: str = Field(min_length=1, max_length=256, repr=False)


class Resolved(BaseModel):
    """Whose session it is, the token its forms must carry, and when it ends at the latest."""

    subject: Subject
    csrf: str = Field(repr=False)
    expires_at: datetime


class SessionOut(BaseModel):
    """One of a person's own sessions."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    agent: str
    acr: str | None
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
