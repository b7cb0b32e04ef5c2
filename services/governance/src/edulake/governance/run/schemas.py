"""Runs as the API shows them."""

from datetime import datetime

from edulake.governance.models import Inherited, Run
from pydantic import BaseModel


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

    @classmethod
    def with_references(cls, run: Run, inherited: list[Inherited]) -> "RunDetail":
        found = [Reference(dataset=one.reference, version=one.version) for one in inherited]
        return cls(**RunOut.of(run).model_dump(), references=found)


class Summary(BaseModel):
    """How much is open and how old the oldest of it is."""

    runs_by_state: dict[str, int]
    oldest_open_s: float
    datasets_governed: int
    rows_governed: int
