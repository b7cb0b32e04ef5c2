"""Orders as the API takes and shows them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Note = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=1000)]


class OrderOut(BaseModel):
    """One order; `contact` is the present one of its source, empty where ingest does not say."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    dataset: str
    source_id: str
    organisation: str
    contact: str | None = None
    rule_id: str
    rule_title: str
    field: str
    severity: str
    dimension: str
    status: str
    assignee: str | None
    batch_id: str
    failed_rows: int
    checked_rows: int
    examples: list[str]
    recurrences: int
    closed_by_batch: str | None
    due_at: datetime
    created_at: datetime
    updated_at: datetime


class EntryOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    at: datetime
    by: str
    action: str
    note: str


class OrderDetail(OrderOut):
    """An order with its history and what the caller can do with it now."""

    history: list[EntryOut] = Field(default_factory=list)
    actions: list[str] = Field(default_factory=list)


class AssignIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    assignee: Annotated[str, StringConstraints(pattern=r"^(person|client):[^\s/]{1,200}$")] = Field(
        description="谁来处理：在用人员或应用的完整编号 / the whole id of a person or program in use"
    )


class NoteIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    note: Note


class CommentIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: Note


class Summary(BaseModel):
    """Orders by state, those not closed by dataset; `overdue` are those not resolved in time."""

    by_status: dict[str, int]
    unclosed_by_dataset: dict[str, int]
    overdue: int
