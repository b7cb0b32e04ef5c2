"""What governance keeps in Postgres: runs, findings, reports, quarantine, versions; never a row of data.

The migrations make the tables; `tests/test_models.py` holds that both agree.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edulake.common.db import declarative_base_for
from sqlalchemy import BigInteger, Boolean, DateTime, Double, Identity, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

if TYPE_CHECKING:
    from sqlalchemy.orm import DeclarativeBase as Base
else:
    Base = declarative_base_for("governance")
MOMENT = DateTime(timezone=True)


class Run(Base):
    """One batch to govern: the job and its record in one row, so that they cannot disagree."""

    __tablename__ = "run"
    batch_id: Mapped[str] = mapped_column(Text, primary_key=True)
    #: Order of landing over all datasets, as ingest drew it; also decides which of two equal sources is newer.
    #: A batch that was told without a number is numbered by hearing, before all that have one.
    landed_no: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    dataset: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    #: Who the source's contact was when the batch landed: history, nobody's right.
    contact: Mapped[str] = mapped_column(Text)
    period: Mapped[str] = mapped_column(Text)
    landed: Mapped[dict[str, Any]] = mapped_column(JSONB)
    trace_id: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(Integer)
    tries: Mapped[int] = mapped_column(Integer)
    not_before: Mapped[datetime] = mapped_column(MOMENT)
    lease_owner: Mapped[str | None] = mapped_column(Text)
    lease_token: Mapped[UUID | None] = mapped_column(Uuid)
    lease_until: Mapped[datetime | None] = mapped_column(MOMENT)
    is_withdrawn: Mapped[bool] = mapped_column(Boolean)
    waiting_for: Mapped[list[str]] = mapped_column(ARRAY(Text))
    waiting_since: Mapped[datetime | None] = mapped_column(MOMENT)
    step: Mapped[str | None] = mapped_column(Text)
    step_done: Mapped[int] = mapped_column(Integer)
    step_total: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int | None] = mapped_column(BigInteger)
    content_digest: Mapped[str | None] = mapped_column(Text)
    rows_in: Mapped[int] = mapped_column(BigInteger)
    rows_governed: Mapped[int] = mapped_column(BigInteger)
    rows_quarantined: Mapped[int] = mapped_column(BigInteger)
    quarantined_by_rule: Mapped[dict[str, int]] = mapped_column(JSONB)
    seconds_by_step: Mapped[dict[str, float]] = mapped_column(JSONB)
    reason_zh: Mapped[str] = mapped_column(Text)
    reason_en: Mapped[str] = mapped_column(Text)
    #: It never counted, or a restore undid it: what comes back by itself does not bring it back.
    is_set_aside: Mapped[bool] = mapped_column(Boolean)
    #: What it lacks of what it replaces (`Comparison`), as decided last.
    completeness: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    #: What of that a person agreed to; the next end uses it up. `agreed_by` stays with what was governed by it.
    agreed: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    agreed_by: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(MOMENT)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)
    finished_at: Mapped[datetime | None] = mapped_column(MOMENT)


class Finding(Base):
    """One row of a batch that broke one rule; `value_masked` is all that is kept of the value."""

    __tablename__ = "finding"
    finding_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    batch_id: Mapped[str] = mapped_column(Text)
    row_no: Mapped[int | None] = mapped_column(BigInteger)
    rule_id: Mapped[str] = mapped_column(Text)
    field: Mapped[str | None] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    dimension: Mapped[str] = mapped_column(Text)
    reason_zh: Mapped[str] = mapped_column(Text)
    reason_en: Mapped[str] = mapped_column(Text)
    value_masked: Mapped[str | None] = mapped_column(Text)


class QualityReport(Base):
    """What was checked on a batch and how it went; one a revision, so that reprocessing is comparable."""

    __tablename__ = "quality_report"
    batch_id: Mapped[str] = mapped_column(Text, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True)
    dataset: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    period: Mapped[str] = mapped_column(Text)
    landed_no: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(Text)
    score: Mapped[float] = mapped_column(Double)
    scores: Mapped[dict[str, float]] = mapped_column(JSONB)
    rules: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    profile: Mapped[dict[str, Any]] = mapped_column(JSONB)
    column_levels: Mapped[dict[str, int]] = mapped_column(JSONB)
    rows_in: Mapped[int] = mapped_column(BigInteger)
    rows_governed: Mapped[int] = mapped_column(BigInteger)
    rows_quarantined: Mapped[int] = mapped_column(BigInteger)
    completeness: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    agreed_by: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(MOMENT)


class Quarantine(Base):
    """Where the rows held back of a batch lie sealed."""

    __tablename__ = "quarantine"
    batch_id: Mapped[str] = mapped_column(Text, primary_key=True)
    dataset: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    object: Mapped[str] = mapped_column(Text)
    row_count: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(MOMENT)


class VersionNote(Base):
    """What a governed version was made of; `parts_version` is the parts table it was merged from."""

    __tablename__ = "version_note"
    dataset: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    parts_version: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[str] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(Integer)
    restored_from: Mapped[int | None] = mapped_column(BigInteger)
    row_count: Mapped[int] = mapped_column(BigInteger)
    content_digest: Mapped[str] = mapped_column(Text)
    level: Mapped[int] = mapped_column(Integer)
    quality: Mapped[float] = mapped_column(Double)
    made_by: Mapped[str] = mapped_column(Text)
    #: Who agreed to what it lacks of the version before.
    agreed_by: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(MOMENT)


class Inherited(Base):
    """Which version of a referenced dataset a batch was governed with; NULL: it went on without."""

    __tablename__ = "inherited"
    batch_id: Mapped[str] = mapped_column(Text, primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True)
    reference: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int | None] = mapped_column(BigInteger)


class NameAlias(Base):
    """A name people confirmed to mean one row of a reference dataset."""

    __tablename__ = "name_alias"
    dataset: Mapped[str] = mapped_column(Text, primary_key=True)
    alias: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
