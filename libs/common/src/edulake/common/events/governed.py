"""GOVERNED: a batch went through the steps; a dataset has a new version; what its quality was."""

from typing import ClassVar, Literal

from edulake.common.events.base import EventData
from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["governed", "below_threshold", "refused", "superseded"]


class GovernedBatchFinished(EventData):
    """A batch is decided: its rows are governed, in quarantine, or refused with a reason."""

    name: ClassVar[str] = "governed.batch.finished.v1"
    dataset: str
    batch_id: str
    source_id: str
    outcome: Outcome
    version: int | None = None
    rows_in: int
    rows_governed: int
    rows_quarantined: int
    quarantined_by_rule: dict[str, int] = Field(default_factory=dict)
    seconds_by_step: dict[str, float] = Field(default_factory=dict)
    reason_zh: str = ""
    reason_en: str = ""


class GovernedDatasetReady(EventData):
    """A governed table has a new version."""

    name: ClassVar[str] = "governed.dataset.ready.v1"
    dataset: str
    version: int
    batch_id: str
    row_count: int
    content_digest: str
    level: int
    quality: float


class QualityRuleFailed(EventData):
    """Rows of a batch broke a rule; the examples are shapes, or words of the code table."""

    name: ClassVar[str] = "quality.rule.failed.v1"
    dataset: str
    batch_id: str
    source_id: str
    contact: str
    organisation: str
    rule_id: str
    rule_title: str
    field: str
    severity: str
    dimension: str
    failed_rows: int
    checked_rows: int
    examples: list[str] = Field(default_factory=list)
    #: Which delivery and which processing of it speaks: later ones outdo earlier ones. None: not told.
    landed_no: int | None = None
    revision: int | None = None
    #: Whether the delivery is all its source has for the period; pushed rows are not.
    is_whole: bool | None = None


class RuleResult(BaseModel):
    """How one rule went in one batch."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    rule_id: str
    field: str
    failed_rows: int
    checked_rows: int


class QualityBatchAssessed(EventData):
    """Every rule that was checked on a batch, so that passing is proven and not assumed."""

    name: ClassVar[str] = "quality.batch.assessed.v1"
    dataset: str
    batch_id: str
    source_id: str
    contact: str
    organisation: str
    outcome: Outcome
    rules: list[RuleResult]
    #: Which delivery and which processing of it speaks: later ones outdo earlier ones. None: not told.
    landed_no: int | None = None
    revision: int | None = None
    #: Whether the delivery is all its source has for the period; pushed rows are not.
    is_whole: bool | None = None
