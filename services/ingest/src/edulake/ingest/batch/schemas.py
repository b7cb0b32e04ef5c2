"""Batches as the API shows them."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from edulake.common.clock import now
from edulake.ingest.batch.filename import NOTE
from edulake.ingest.batch.remarks import Remark, remarks_on
from edulake.ingest.batch.replacing import Replaces
from edulake.ingest.models import UNCONFIRMED, Batch
from edulake.ingest.settings import IngestSettings
from pydantic import BaseModel, StringConstraints

Period = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$")]
Status = Literal[
    "unconfirmed",
    "landed",
    "governed",
    "published",
    "held",
    "quarantined",
    "refused",
    "superseded",
    "withdrawn",
]
#: How far on its way a batch is; what is decided otherwise has no way left.
STEPS = ("landed", "governed", "published")
#: What a batch that is not decided waits for.
WAITS_FOR = {
    "landed": ("治理", "governance"),
    "governed": ("发布", "publication"),
}
UNCONFIRMED_WORDS = (
    "已收到，等待报送人确认将替代的数据；确认之前不入湖，现有数据不变",
    "received; it waits for its source to confirm what it replaces, and nothing is changed before",
)


class Progress(BaseModel):
    """`done` of `total` steps; the steps inside governing are shown by governance."""

    step: str
    done: int
    total: int


class ReplacesOut(Replaces):
    """What a delivery replaced, or will when it is confirmed (status `unconfirmed`), also as a sentence."""

    change_percent: float | None
    zh: str
    en: str


class BatchOut(BaseModel):
    batch_id: str
    source_id: str
    dataset: str
    period: str
    digest: str
    idempotency_key: str | None
    filename: str
    format: str
    encoding: str
    size_bytes: int
    columns: list[str]
    notes: dict[str, Any]
    remarks: list[Remark]
    status: Status
    rows_landed: int
    rows_governed: int | None
    rows_quarantined: int | None
    quarantined_by_rule: dict[str, int]
    governed_version: int | None
    published_version: int | None
    seconds_by_step: dict[str, float]
    progress: Progress
    replaces: ReplacesOut | None
    expires_at: datetime | None
    reason_zh: str
    reason_en: str
    created_at: datetime
    updated_at: datetime


class DatasetSummary(BaseModel):
    """What landed of one dataset, and its newest batch; `rows_landed` counts every batch."""

    dataset: str
    batches: int
    rows_landed: int
    last_batch_id: str
    last_status: Status
    last_rows: int
    last_landed_at: datetime


class SummaryOut(BaseModel):
    """Counts over everything that landed; no names, no values."""

    sources: int
    batches: dict[str, int]
    batches_by_dataset: dict[str, int]
    rows_landed: int
    last_landed_at: datetime | None
    datasets: list[DatasetSummary]


def shown(batch: Batch, settings: IngestSettings, filename: str) -> BatchOut:
    """A batch as the API shows it, its file called `filename`; one that waits for too long says that it does."""
    own = {
        "batch_id",
        "progress",
        "reason_zh",
        "reason_en",
        "remarks",
        "filename",
        "notes",
        "replaces",
        "expires_at",
    }
    facts = {name: getattr(batch, name) for name in BatchOut.model_fields if name not in own}
    replaces = _replaces(batch)
    expires_at = batch.created_at + timedelta(days=settings.unconfirmed_keep_days)
    reason_zh, reason_en = _reason(batch, settings.batch_overdue_s)
    return BatchOut(
        batch_id=str(batch.batch_id),
        filename=filename,
        notes={name: note for name, note in batch.notes.items() if name != NOTE},
        remarks=remarks_on(batch.notes),
        progress=_progress(batch),
        replaces=replaces,
        expires_at=expires_at if batch.status == UNCONFIRMED else None,
        reason_zh=reason_zh,
        reason_en=reason_en,
        **facts,
    )


def _replaces(batch: Batch) -> ReplacesOut | None:
    if batch.replaces is None:
        if batch.status != UNCONFIRMED:
            return None
        # What it would have replaced is gone since: the source says its word on that all the same.
        facts = Replaces(
            batch_id=None, rows_before=None, rows_after=batch.rows_landed, delivered_at=None, odd=[]
        )
    else:
        facts = Replaces.model_validate(batch.replaces)
    zh, en = facts.in_words(is_done=batch.landed_no is not None)
    return ReplacesOut(**facts.model_dump(), change_percent=facts.percent, zh=zh, en=en)


def _reason(batch: Batch, overdue_s: float) -> tuple[str, str]:
    """Why it is as it is. Whatever got lost on the way, a batch never waits without a word (P1)."""
    waited_s = (now() - batch.updated_at).total_seconds()
    if batch.status == UNCONFIRMED:
        return UNCONFIRMED_WORDS
    if batch.reason_zh or batch.status not in WAITS_FOR or waited_s < overdue_s:
        return batch.reason_zh, batch.reason_en
    zh, en = WAITS_FOR[batch.status]
    minutes = int(waited_s // 60)
    return (
        f"已等待{zh} {minutes} 分钟，仍未完成；数据已安全保存，无须重新报送，请联系数据治理工程师",
        f"has waited {minutes} minutes for {en}; the delivery is safe, do not send it again, ask a steward",
    )


def _progress(batch: Batch) -> Progress:
    """A held batch is as far as it came: what its publication waits for is governed."""
    held = 2 if batch.refused_version is not None else 1
    done = {UNCONFIRMED: 0, "landed": 1, "governed": 2, "held": held}.get(batch.status, len(STEPS))
    return Progress(step=batch.status, done=done, total=len(STEPS))
