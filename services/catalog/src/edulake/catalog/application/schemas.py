"""Applications as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=500)]


class ApplicationIn(BaseModel):
    """A request. `promises` are the three of 上海市数据条例 §39: truth, compliance, security."""

    model_config = ConfigDict(extra="forbid")
    resource_id: str = Field(max_length=100)
    client_id: str = Field(max_length=63)
    purpose: Words
    scenario: Words
    columns: list[str] = Field(default_factory=list, max_length=200, description="空表示接口的全部字段")
    districts: list[str] = Field(default_factory=list, max_length=50, description="空表示全市")
    days: int = Field(ge=1)
    promises: bool


class DecisionIn(BaseModel):
    """A step decided; a refusal needs words, which the requester reads.

    The last approval may state the quota; otherwise the settings' defaults for the level hold.
    """

    model_config = ConfigDict(extra="forbid")
    decision: Literal["approve", "refuse"]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    rate_per_s: int | None = Field(default=None, ge=1, description="每秒调用次数；空为默认")
    day_quota: int | None = Field(default=None, ge=1, description="每日调用次数；空为默认")


class DecisionOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    step: str
    decision: str
    reason: str
    decided_by: str
    decided_by_name: str
    decided_at: datetime


class ApplicationOut(BaseModel):
    """One application with what was decided so far."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    resource_id: str
    client_id: str
    requested_by: str
    requested_by_name: str
    organisation: str | None
    purpose: str
    scenario: str
    columns: list[str]
    districts: list[str]
    days: int
    level: int
    steps: list[str]
    status: str
    created_at: datetime
    decided_at: datetime | None
    decisions: list[DecisionOut] = Field(default_factory=list)
    #: The role whose turn it is, while pending.
    waiting_for: str | None = None
    grant_id: UUID | None = None
