"""The tables of the catalogue; the migrations are their only maker."""

from datetime import datetime
from typing import Any
from uuid import UUID

from edulake.common.db import declarative_base_for
from sqlalchemy import DateTime, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

Base: Any = declarative_base_for("catalog")
_moment = DateTime(timezone=True)


class Resource(Base):
    """Something that can be found: a dataset or an API over one."""

    __tablename__ = "resource"
    id: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str]
    kind: Mapped[str]
    name: Mapped[str]
    dataset: Mapped[str]
    title: Mapped[str]
    summary: Mapped[str]
    domain: Mapped[str]
    theme: Mapped[str]
    organisation: Mapped[str]
    contact: Mapped[str]
    share_type: Mapped[str]
    share_condition: Mapped[str]
    share_way: Mapped[str]
    open_type: Mapped[str]
    update_cycle: Mapped[str]
    level: Mapped[int]
    items: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    related: Mapped[list[str]] = mapped_column(ARRAY(Text))
    published_version: Mapped[int]
    row_count: Mapped[int]
    content_digest: Mapped[str]
    first_published_at: Mapped[datetime] = mapped_column(_moment)
    published_at: Mapped[datetime] = mapped_column(_moment)
    search_text: Mapped[str]
    #: When the standards stopped naming it; None: it stands.
    withdrawn_at: Mapped[datetime | None] = mapped_column(_moment)


class Publication(Base):
    """What is served of a dataset, as last announced, whether the standards name the dataset or not."""

    __tablename__ = "publication"
    dataset: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    row_count: Mapped[int]
    content_digest: Mapped[str]
    level: Mapped[int]
    published_at: Mapped[datetime] = mapped_column(_moment)


class Favourite(Base):
    """A resource somebody follows."""

    __tablename__ = "favourite"
    subject: Mapped[str] = mapped_column(primary_key=True)
    resource_id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(_moment)


class Application(Base):
    """One request for a resource, on behalf of one client."""

    __tablename__ = "application"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    resource_id: Mapped[str]
    client_id: Mapped[str]
    requested_by: Mapped[str]
    requested_by_name: Mapped[str]
    #: The person who asked or owns the client that asked, or that client; None: not known, nobody may decide.
    accountable: Mapped[str | None]
    organisation: Mapped[str | None]
    purpose: Mapped[str]
    scenario: Mapped[str]
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    districts: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: Networks the calls will come from, as asked; empty: not stated.
    ip_ranges: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    days: Mapped[int]
    level: Mapped[int]
    #: Roles that must approve, in order.
    steps: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: pending, approved, refused, withdrawn (by who asked), ended (the standards moved under it)
    status: Mapped[str]
    #: Why it ended without a decision; who asked reads it.
    ended_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(_moment)
    decided_at: Mapped[datetime | None] = mapped_column(_moment)


class Decision(Base):
    """One step decided by one person; never changed."""

    __tablename__ = "decision"
    application_id: Mapped[UUID] = mapped_column(primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    decision: Mapped[str]
    reason: Mapped[str]
    decided_by: Mapped[str]
    decided_by_name: Mapped[str]
    #: The person who decided or owns the client that did, or that client.
    accountable: Mapped[str]
    decided_at: Mapped[datetime] = mapped_column(_moment)


class GrantRow(Base):
    """A grant in its present state."""

    __tablename__ = "grant"
    grant_id: Mapped[UUID] = mapped_column(primary_key=True)
    application_id: Mapped[UUID]
    client_id: Mapped[str]
    resource_id: Mapped[str]
    api: Mapped[str]
    dataset: Mapped[str]
    purpose: Mapped[str]
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    districts: Mapped[list[str]] = mapped_column(ARRAY(Text))
    mask_level: Mapped[str]
    valid_from: Mapped[datetime] = mapped_column(_moment)
    valid_until: Mapped[datetime] = mapped_column(_moment)
    ip_allow: Mapped[list[str]] = mapped_column(ARRAY(Text))
    rate_per_s: Mapped[int]
    day_quota: Mapped[int]
    level: Mapped[int]
    status: Mapped[str]
    ended_by: Mapped[str | None]
    ended_reason: Mapped[str | None]
    changed_at: Mapped[datetime] = mapped_column(_moment)
