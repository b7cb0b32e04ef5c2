"""Quality reports as the API shows them; the profile stays inside, it may show frequent values."""

from datetime import datetime
from typing import Any

from edulake.common.events import Comparison
from pydantic import BaseModel, ConfigDict, computed_field


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
    #: What the batch lacks of what it replaces; None: it was not compared.
    completeness: Comparison | None
    agreed_by: str | None
    created_at: datetime

    @computed_field  # type: ignore[prop-decorator]
    @property
    def accepted_share(self) -> float | None:
        """Share of the delivered rows that were not held back, 0 to 1; None: there were none."""
        return round(1 - self.rows_quarantined / self.rows_in, 4) if self.rows_in else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def is_comparable(self) -> bool:
        """False where the batch lacks more than its contract allows: its score is then no better than any."""
        return self.completeness is None or not self.completeness.exceeds


class NewestOut(BaseModel):
    """The newest report of a dataset; `before`: of the batch its source delivered before that one."""

    report: ReportOut
    before: ReportOut | None
    #: Whether a rise of the score is one: not when rows fell beyond the bound, or either is not comparable.
    is_comparable: bool

    @classmethod
    def of(cls, report: ReportOut, before: ReportOut | None, rows_lost_max: float) -> "NewestOut":
        return cls(report=report, before=before, is_comparable=_compare(report, before, rows_lost_max))


def _compare(report: ReportOut, before: ReportOut | None, rows_lost_max: float) -> bool:
    if before is None:
        return report.is_comparable
    enough = report.rows_in >= (1 - rows_lost_max) * before.rows_in
    return bool(enough and report.is_comparable and before.is_comparable)
