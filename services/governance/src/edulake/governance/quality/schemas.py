"""Quality reports as the API shows them; the profile stays inside, it may show frequent values."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class ReportOut(BaseModel):
    """One batch: its score (0 to 100), the score of each dimension, and every rule that was checked."""

    model_config = ConfigDict(from_attributes=True)
    batch_id: str
    revision: int
    dataset: str
    source_id: str
    period: str
    outcome: str
    score: float
    scores: dict[str, float]
    rules: list[dict[str, Any]]
    column_levels: dict[str, int]
    rows_in: int
    rows_governed: int
    rows_quarantined: int
    created_at: datetime


class NewestOut(BaseModel):
    """The newest report of a dataset; `before`: of the batch its source delivered before that one."""

    report: ReportOut
    before: ReportOut | None
