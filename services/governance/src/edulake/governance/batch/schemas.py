"""Findings and held-back rows as the API shows them: numbers, rules and reasons, never a value."""

from pydantic import BaseModel, ConfigDict


class FindingOut(BaseModel):
    """One row that broke one rule; `row_no` is the row of the delivered file, absent for the whole batch."""

    model_config = ConfigDict(from_attributes=True)
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
