"""Applications as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from edulake.catalog.grant.terms import NETWORKS_MAX
from edulake.common.standards.tables import MaskLevel
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Entry = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
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
    ip_ranges: list[Entry] = Field(
        default_factory=list, max_length=NETWORKS_MAX, description="调用来源的 IP 地址或网段；空表示不限"
    )
    days: int = Field(ge=1)
    promises: bool


class DecisionIn(BaseModel):
    """A step decided; a refusal needs words, which the requester reads.

    The last approval may state the terms: the quota (else the settings' defaults for the level), the masks
    (else the grading scheme's) and the networks (else those asked for; an empty list: any).
    """

    model_config = ConfigDict(extra="forbid")
    decision: Literal["approve", "refuse"]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    rate_per_s: int | None = Field(default=None, ge=1, description="每秒调用次数；空为默认")
    day_quota: int | None = Field(default=None, ge=1, description="每日调用次数；空为默认")
    mask_level: MaskLevel | None = Field(default=None, description="脱敏程度；空为默认")
    ip_allow: list[Entry] | None = Field(
        default=None, max_length=NETWORKS_MAX, description="允许的来源；空为按申请，空列表为不限"
    )


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
    #: Also of a resource that the standards no longer name.
    resource_title: str = ""
    client_id: str
    requested_by: str
    requested_by_name: str
    organisation: str | None
    purpose: str
    scenario: str
    columns: list[str]
    districts: list[str]
    ip_ranges: list[str]
    days: int
    level: int
    steps: list[str]
    status: str
    ended_reason: str | None
    created_at: datetime
    decided_at: datetime | None
    decisions: list[DecisionOut] = Field(default_factory=list)
    #: The role whose turn it is, while pending.
    waiting_for: str | None = None
    grant_id: UUID | None = None
