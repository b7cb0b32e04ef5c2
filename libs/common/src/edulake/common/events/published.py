"""PUBLISHED: a dataset can be read in a new version, or not, and why; an order about its quality moved."""

from typing import ClassVar, Literal

from edulake.common.events.base import EventData
from pydantic import AwareDatetime


class PublishedDatasetUpdated(EventData):
    """The serving table shows another version, newer or rolled back."""

    name: ClassVar[str] = "published.dataset.updated.v1"
    dataset: str
    title: str
    version: int
    governed_version: int
    batch_id: str
    row_count: int
    content_digest: str
    level: int
    rolled_back: bool = False
    published_at: AwareDatetime
    #: Who went back to it; None: it was published as the newest.
    by: str | None = None


class PublishedDatasetRefused(EventData):
    """A governed version is not published until a person has acted and had it tried again."""

    name: ClassVar[str] = "published.dataset.refused.v1"
    dataset: str
    governed_version: int
    #: The batch that made the governed version.
    batch_id: str
    #: blocked: it must not be served as it is; failed: every try failed; held: it lacks too much of what is served.
    outcome: Literal["blocked", "failed", "held"]
    #: For its source to read; no value of a row.
    reason_zh: str
    reason_en: str
    refused_at: AwareDatetime


class WorkorderOrderChanged(EventData):
    """A work order was opened, assigned, resolved, closed or opened again."""

    name: ClassVar[str] = "workorder.order.changed.v1"
    dataset: str
    order_id: str
    source_id: str
    rule_id: str
    status: str
    assignee: str | None = None
    contact: str
