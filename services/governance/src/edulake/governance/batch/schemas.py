"""Findings and held-back rows as the API shows them: numbers, rules and reasons; values only when asked for by name."""

from pydantic import BaseModel, ConfigDict, Field


class FindingOut(BaseModel):
    """One row that broke one rule; `row_no` is the row of the delivered file, absent for the whole batch."""

    model_config = ConfigDict(from_attributes=True)
    finding_id: int
    row_no: int | None
    rule_id: str
    field: str | None
    severity: str
    dimension: str
    reason_zh: str
    reason_en: str
    value_masked: str | None


class Reason(BaseModel):
    """Why a row is held back, in words its source can act on."""

    rule_id: str
    field: str | None
    reason_zh: str
    reason_en: str


class HeldRow(BaseModel):
    """A row of the delivered file that did not go on."""

    row_no: int
    reasons: list[Reason]


class ValuesIn(BaseModel):
    """Whose delivered values are asked for: findings by id, or held-back rows by number."""

    model_config = ConfigDict(extra="forbid")
    findings: list[int] = Field([], max_length=200)
    rows: list[int] = Field([], max_length=200)


class OpenedValue(BaseModel):
    """One delivered cell, or a header (`row_no` null). `is_beside`: it stands beside the field the finding is about."""

    row_no: int | None
    rule_id: str
    field: str
    value: str
    is_beside: bool


class OpenedValues(BaseModel):
    """What was shown; the audit chain says so."""

    items: list[OpenedValue]
