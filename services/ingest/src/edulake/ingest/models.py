"""The tables of ingest; the migrations are their only maker."""

from datetime import datetime
from typing import Any
from uuid import UUID

from edulake.common.db import declarative_base_for
from sqlalchemy import BigInteger, DateTime, Sequence, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

Base: Any = declarative_base_for("ingest")
_moment = DateTime(timezone=True)
#: The format of a push: governance adds such a batch to what the source sent before.
PUSHED = "rows"
#: Kept, but beyond what a delivery may change unasked: it lands once its source confirms the figures.
UNCONFIRMED = "unconfirmed"
#: The numbers of landing, over all datasets.
LANDED_NO = Sequence("batch_landed_no", schema="ingest")


class Source(Base):
    """Who delivers, what, and how its headers are to be read."""

    __tablename__ = "source"
    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    organisation: Mapped[str]
    #: Id of the person or client that may deliver and mends what is wrong (`person:x`, `client:x`).
    contact: Mapped[str]
    #: Where two sources differ, the higher authority wins.
    authority: Mapped[int]
    datasets: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: {dataset: {delivered header: field}}
    mapping: Mapped[dict[str, dict[str, str]]] = mapped_column(JSONB)
    #: {dataset: {field: value}} for what the source never delivers.
    defaults: Mapped[dict[str, dict[str, str]]] = mapped_column(JSONB)
    #: active or suspended
    status: Mapped[str]
    revision: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(_moment)
    updated_at: Mapped[datetime] = mapped_column(_moment)


class SourceRevision(Base):
    """What a source was registered as, from a moment on; never changed."""

    __tablename__ = "source_revision"
    source_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_by: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(_moment)


class Batch(Base):
    """One delivery that was kept, and what became of it."""

    __tablename__ = "batch"
    batch_id: Mapped[UUID] = mapped_column(primary_key=True)
    #: The order of landing, drawn while nobody else can land for the same source, dataset and period. None: it
    #: waits for its source's word, or never got it.
    landed_no: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    source_id: Mapped[str]
    dataset: Mapped[str]
    period: Mapped[str]
    #: SM3 (hex) of the delivered bytes.
    digest: Mapped[str]
    #: SM3 (hex) of what it landed under (the registration, file or push): other terms make another batch.
    terms: Mapped[str]
    #: The source's own name of this delivery (`Idempotency-Key`), when it gave one; unique in the source.
    idempotency_key: Mapped[str | None]
    filename: Mapped[str]
    #: csv, xlsx, jsonl: a file, which is all of its period. rows: a push, which adds to it.
    format: Mapped[str]
    encoding: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    columns: Mapped[list[str]] = mapped_column(JSONB)
    #: What the reader saw: delimiter, empty lines, rows of another width, sheets not read, error cells.
    notes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    #: What it replaced when it landed, or would replace, in figures (`schemas.Replaces`); None: nothing.
    replaces: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    #: The sealed objects of a batch that waits, as the manifest will name them; None once it landed.
    objects: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[str]
    #: Taken back by its source; frees the same file to be delivered again.
    is_withdrawn: Mapped[bool]
    rows_landed: Mapped[int]
    rows_governed: Mapped[int | None]
    rows_quarantined: Mapped[int | None]
    quarantined_by_rule: Mapped[dict[str, int]] = mapped_column(JSONB)
    governed_version: Mapped[int | None]
    published_version: Mapped[int | None]
    #: The governed version of this batch whose publication was refused, and why.
    refused_version: Mapped[int | None]
    #: It is not refused for good: its publication waits for a person.
    refusal_holds: Mapped[bool]
    refusal_zh: Mapped[str]
    refusal_en: Mapped[str]
    seconds_by_step: Mapped[dict[str, float]] = mapped_column(JSONB)
    reason_zh: Mapped[str]
    reason_en: Mapped[str]
    delivered_by: Mapped[str]
    #: Who answers for the program that delivered; NULL: not known.
    accountable: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(_moment)
    updated_at: Mapped[datetime] = mapped_column(_moment)


class Published(Base):
    """The newest governed version of a dataset known to be published."""

    __tablename__ = "published"
    dataset: Mapped[str] = mapped_column(primary_key=True)
    governed_version: Mapped[int]
    version: Mapped[int]
