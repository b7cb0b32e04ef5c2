"""Grants as the API shows them."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from edulake.catalog.grant.repository import Held
from pydantic import BaseModel, ConfigDict, StringConstraints


class GrantOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    grant_id: UUID
    application_id: UUID
    client_id: str
    resource_id: str
    api: str
    dataset: str
    purpose: str
    columns: list[str]
    districts: list[str]
    mask_level: str
    valid_from: datetime
    valid_until: datetime
    #: Networks the calls may come from; empty: any.
    ip_allow: list[str]
    rate_per_s: int
    day_quota: int
    level: int
    status: str
    ended_reason: str | None
    changed_at: datetime
    #: Of the resource.
    title: str = ""
    requested_by_name: str = ""
    organisation: str | None = None
    #: Whether the caller may end it now.
    may_end: bool = False
    #: Calls answered and refused since midnight in Beijing; null when the gateway does not answer.
    answered_today: int | None = None
    refused_today: int | None = None

    @classmethod
    def of(cls, held: Held) -> Self:
        out = cls.model_validate(held.grant)
        out.title, out.may_end = held.title, held.may_end
        out.requested_by_name, out.organisation = held.requested_by_name, held.organisation
        return out


class RevokeIn(BaseModel):
    """Why a grant ends; the subscriber reads it."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=500)]
