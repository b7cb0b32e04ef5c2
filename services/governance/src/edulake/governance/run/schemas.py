"""Runs as the API shows them."""

from datetime import datetime

from edulake.common.events import Comparison
from edulake.governance.models import Inherited, Run
from pydantic import BaseModel, ConfigDict, Field


class Progress(BaseModel):
    """Where a running run is: the step it finished last, and how many of how many are done."""

    step: str | None
    done: int
    total: int


class RunOut(BaseModel):
    """One batch on its way through governance; a batch has one run, so its id is the batch's."""

    run_id: str
    batch_id: str
    dataset: str
    source_id: str
    period: str
    state: str
    outcome: str | None
    version: int | None
    content_digest: str | None
    revision: int
    tries: int
    progress: Progress
    waiting_for: list[str]
    rows_in: int
    rows_governed: int
    rows_quarantined: int
    quarantined_by_rule: dict[str, int]
    seconds_by_step: dict[str, float]
    reason_zh: str
    reason_en: str
    #: What it lacks of what it replaces, as decided last; None: it was not compared.
    completeness: Comparison | None
    agreed_by: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, run: Run) -> "RunOut":
        own = {name: getattr(run, name) for name in cls.model_fields if hasattr(run, name)}
        progress = Progress(step=run.step, done=run.step_done, total=run.step_total)
        return cls(**{**own, "run_id": run.batch_id, "progress": progress})


class Reference(BaseModel):
    """A dataset that a batch was governed with, and its version; None: there was none yet, it went on without."""

    dataset: str
    version: int | None


class RunDetail(RunOut):
    """A run with what it was governed with: the beginning of a lineage."""

    references: list[Reference] = []
    #: Whether the caller may agree to, or refuse, what it is held for.
    may_decide: bool = False

    @classmethod
    def with_references(
        cls, run: Run, inherited: list[Inherited], *, may_decide: bool = False
    ) -> "RunDetail":
        found = [Reference(dataset=one.reference, version=one.version) for one in inherited]
        return cls(**RunOut.of(run).model_dump(), references=found, may_decide=may_decide)


class FiguresIn(BaseModel):
    """The figures a person was shown, and decides about."""

    model_config = ConfigDict(extra="forbid")
    rows_before: int = Field(ge=0, le=2**53, description="将被替代的行数 / rows to be replaced")
    rows_after: int = Field(ge=0, le=2**53, description="本批次的合格行数 / rows of the batch that passed")
    keys_lost: int = Field(ge=0, le=2**53, description="缺少的主键数 / keys missing")


class RefuseIn(FiguresIn):
    """Why a held batch is not to replace anything; its source reads it."""

    reason: str = Field(min_length=2, max_length=500)


class Summary(BaseModel):
    """How much is open and how old the oldest of it is."""

    runs_by_state: dict[str, int]
    oldest_open_s: float
    datasets_governed: int
    rows_governed: int
