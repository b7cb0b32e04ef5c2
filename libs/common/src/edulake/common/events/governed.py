"""GOVERNED: a batch went through the steps; a dataset has a new version; what its quality was."""

from typing import ClassVar, Literal

from edulake.common.events.base import EventData
from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["governed", "below_threshold", "refused", "superseded", "held"]
#: Why rows that were governed are governed no more, other than that a later delivery has replaced them.
TakenOut = Literal["restore", "withdrawal", "block"]
#: Says in the place of a person that a version may lack rows: they must not be served.
BY_BLOCK = "rule:batch.blocked"
#: The rule that tells what a delivery lacks of what it replaces; about the batch, not about a row.
COMPLETENESS = "batch.completeness"


class ColumnLoss(BaseModel):
    """Keys that stay but whose value of one field is gone; `before`: those that had one."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    field: str
    before: int
    lost: int


class Comparison(BaseModel):
    """What a delivery lacks of what it replaces: counts and names of fields, never a value."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    #: The period compared with: the delivery's own, or the source's last one before it; "": with nothing.
    compared_with: str = ""
    rows_before: int = 0
    rows_after: int = 0
    keys_before: int = 0
    keys_after: int = 0
    keys_lost: int = 0
    #: Keys that stay and lost at least one value.
    keys_thinner: int = 0
    columns: list[ColumnLoss] = Field(default_factory=list)
    #: Keys of the delivery that are rather those of another period, or of another source.
    other_period: str | None = None
    other_period_keys: int = 0
    other_source: str | None = None
    other_source_keys: int = 0
    #: Which bounds are passed: rows, values, period, source; `fewer`: than the period before, which stays.
    exceeds: list[str] = Field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether a person must agree before the delivery may replace anything."""
        return any(name != "fewer" for name in self.exceeds)

    @property
    def failed(self) -> int:
        """Keys that are not as they should be."""
        return max(self.keys_lost + self.keys_thinner, self.other_period_keys, self.other_source_keys)


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
    #: What it lacks of what it replaces; None: not compared, or not told.
    completeness: Comparison | None = None
    #: Who agreed to what it lacks.
    agreed_by: str | None = None
    #: Its rows were taken out again, though no later delivery replaced them.
    taken_out_by: TakenOut | None = None


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
    #: The contributions it was merged from; None: not told.
    parts_version: int | None = None
    #: Who agreed to what this version lacks of the one before; `rule:batch.blocked`: what must not be served.
    agreed_by: str | None = None


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
    period: str | None = None


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
    period: str | None = None
    completeness: Comparison | None = None
    #: Who agreed to what the batch lacks of what it replaces.
    agreed_by: str | None = None
