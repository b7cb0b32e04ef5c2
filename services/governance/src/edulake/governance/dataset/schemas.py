"""Datasets, versions and confirmed names as the API takes and shows them."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from edulake.common.clock import now
from edulake.common.standards import Contract
from edulake.governance.models import VersionNote
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class DatasetOut(BaseModel):
    """A dataset of the standards and its newest governed version, if there is one."""

    name: str
    title: str
    title_en: str
    domain: str
    theme: str
    level: int
    share_type: str
    open_type: str
    version: int | None
    row_count: int | None
    quality: float | None
    updated_at: datetime | None
    #: When the newest delivery came that is in it; older than `freshness_days` of the contract: stale (时效性).
    received_at: datetime | None
    is_stale: bool

    @classmethod
    def of(cls, contract: Contract, note: VersionNote | None, received_at: datetime | None) -> "DatasetOut":
        own = {name: getattr(contract, name) for name in cls.model_fields if hasattr(contract, name)}
        own["received_at"] = received_at
        own["is_stale"] = bool(received_at and now() - received_at > timedelta(days=contract.freshness_days))
        newest: dict[str, Any] = {"version": None, "row_count": None, "quality": None, "updated_at": None}
        if note:
            newest = {"version": note.version, "row_count": note.row_count, "quality": note.quality}
            newest["updated_at"] = note.created_at
        return cls(**own, **newest)


class ContractOut(BaseModel):
    """The whole contract, as it stands in the standards."""

    newest: DatasetOut
    contract: dict[str, Any]


class VersionOut(BaseModel):
    """One governed version; `restored_from`: it repeats an earlier one."""

    model_config = ConfigDict(from_attributes=True)
    dataset: str
    version: int
    batch_id: str
    revision: int
    restored_from: int | None
    row_count: int
    content_digest: str
    level: int
    quality: float
    made_by: str
    #: Who agreed to what it lacks of the version before.
    agreed_by: str | None
    created_at: datetime
    #: Rows of the version before; None: it is the first.
    row_count_before: int | None = None
    #: False once it lies outside the restore window and its files may be gone.
    is_restorable: bool = True


class RestoreIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    version: int = Field(ge=1)
    #: Where many rows go: the rows of that version, as they were shown; without them it is asked for (409).
    agreed_rows: int | None = Field(default=None, ge=0, le=2**53)


class AliasIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    alias: Name
    key: Name


class AliasOut(AliasIn):
    model_config = ConfigDict(from_attributes=True)
    made_by: str
    created_at: datetime
