"""ACCESS: who may call what, what was taken back, and how much was called."""

from typing import ClassVar, Literal

from edulake.common.events.base import EventData
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Grant(BaseModel):
    """What one client may read, how masked, from where, how often and until when."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    grant_id: str
    application_id: str
    client_id: str
    resource_id: str
    #: Name of the API.
    api: str
    dataset: str
    purpose: str
    columns: list[str]
    #: District codes; empty means the whole city.
    districts: list[str] = Field(default_factory=list)
    mask_level: str
    valid_from: AwareDatetime
    valid_until: AwareDatetime
    #: Addresses or networks a call may come from; empty means any.
    ip_allow: list[str] = Field(default_factory=list)
    rate_per_s: int
    #: Calls a day.
    day_quota: int
    level: int
    status: Literal["active", "revoked", "expired"]


class AccessGrantChanged(Grant, EventData):
    """A grant in its new state, whole, so that a reader needs nothing else."""

    name: ClassVar[str] = "access.grant.changed.v1"
    key_field: ClassVar[str] = "grant_id"
    change: Literal["granted", "revoked", "expired", "amended"]

    @property
    def grant(self) -> Grant:
        return Grant.model_validate(self.model_dump())


class AccessTokenRevoked(EventData):
    """One token (`jti`), or every token of a client issued before a moment, is void."""

    name: ClassVar[str] = "access.token.revoked.v1"
    jti: str | None = None
    client_id: str | None = None
    before: AwareDatetime
    #: After this moment the tokens have expired by themselves and the entry can be forgotten.
    expires_at: AwareDatetime

    def key(self) -> str:
        return self.jti or self.client_id or ""


class AccessClientChanged(EventData):
    """A client was enabled or disabled."""

    name: ClassVar[str] = "access.client.changed.v1"
    key_field: ClassVar[str] = "client_id"
    client_id: str
    status: Literal["active", "disabled"]
    organisation: str


class AccessValuesOpened(EventData):
    """Somebody who mends a batch was shown delivered values of it: who, which rows and fields; never the values."""

    name: ClassVar[str] = "access.values.opened.v1"
    key_field: ClassVar[str] = "batch_id"
    batch_id: str
    dataset: str
    source_id: str
    by: str
    #: Rows of the delivered file; empty when only headers were shown.
    rows: list[int]
    fields: list[str]
    #: The highest level of the fields.
    level: int


class AccessCalled(EventData):
    """Calls of one client to one API within a window, counted."""

    name: ClassVar[str] = "access.called.v1"
    key_field: ClassVar[str] = "api"
    api: str
    client_id: str
    grant_id: str
    count: int
    window_s: int
    #: HTTP status of the counted calls.
    status: int
