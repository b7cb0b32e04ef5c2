"""Roles as the security administrator sets them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal[
    "system_admin",
    "security_admin",
    "audit_admin",
    "steward",
    "owner",
    "approver",
    "source_contact",
    "applicant",
]


class RolesIn(BaseModel, extra="forbid"):
    """The roles a holder shall have from now on; what is not named is withdrawn."""

    roles: frozenset[Role]
    reason: str = Field("", max_length=500)


class RolesOut(BaseModel):
    """The roles a holder has now."""

    holder: str
    roles: list[str]


class RoleChangeOut(BaseModel):
    """One recorded change."""

    model_config = ConfigDict(from_attributes=True)
    at: datetime
    by: str
    holder: str
    role: str
    change: str
    reason: str
    trace_id: str
