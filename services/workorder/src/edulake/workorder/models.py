"""The tables of the work orders; the migrations are their only maker."""

from datetime import datetime
from typing import Any
from uuid import UUID

from edulake.common.db import declarative_base_for
from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

Base: Any = declarative_base_for("workorder")
_moment = DateTime(timezone=True)


class Order(Base):
    """One quality problem of one source: a rule that its deliveries break."""

    __tablename__ = "order"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset: Mapped[str]
    source_id: Mapped[str]
    organisation: Mapped[str]
    #: Who the source's contact was when the batch that last broke the rule landed: history, nobody's right.
    contact_at_failure: Mapped[str] = mapped_column("contact")
    rule_id: Mapped[str]
    rule_title: Mapped[str]
    field: Mapped[str]
    severity: Mapped[str]
    dimension: Mapped[str]
    #: open, assigned, resolved, closed
    status: Mapped[str]
    #: Who shall mend it; being named gives no right, the policy does.
    assignee: Mapped[str | None]
    #: Batch that last broke the rule, and how badly.
    batch_id: Mapped[str]
    failed_rows: Mapped[int]
    checked_rows: Mapped[int]
    examples: Mapped[list[str]] = mapped_column(JSONB)
    recurrences: Mapped[int]
    closed_by_batch: Mapped[str | None]
    #: The newest delivery (and processing of it) that broke the rule; whatever is older is not heard.
    landed_no: Mapped[int | None]
    revision: Mapped[int | None]
    #: The one that proved it, which outdoes that; gone when its rows are taken out again.
    closed_landed_no: Mapped[int | None]
    closed_revision: Mapped[int | None]
    #: Of the delivery that last broke the rule.
    period: Mapped[str | None]
    #: Most rows that the rule was checked on since the order was opened: what a proof has to cover.
    rows_to_cover: Mapped[int]
    #: Whether the delivery that last broke the rule was all its source has for the period.
    is_whole: Mapped[bool | None]
    due_at: Mapped[datetime] = mapped_column(_moment)
    created_at: Mapped[datetime] = mapped_column(_moment)
    updated_at: Mapped[datetime] = mapped_column(_moment)


class Entry(Base):
    """One line of an order's history; never changed."""

    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[UUID]
    at: Mapped[datetime] = mapped_column(_moment)
    by: Mapped[str]
    action: Mapped[str]
    note: Mapped[str]
