"""Resources as the API shows them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class ResourceSummary(BaseModel):
    """One line of a search result."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    code: str
    kind: str
    name: str
    dataset: str
    title: str
    summary: str
    theme: str
    organisation: str
    share_type: str
    open_type: str
    share_way: str
    update_cycle: str
    level: int
    row_count: int
    published_version: int
    published_at: datetime
    #: Whether the caller follows it.
    favourite: bool = False


class ResourceDetail(ResourceSummary):
    """Everything about one resource (core metadata of 政务信息资源目录编制指南)."""

    domain: str
    contact: str
    share_condition: str
    items: list[dict[str, Any]]
    related: list[str]
    content_digest: str
    first_published_at: datetime
    #: Since when it is no longer in the catalogue; null: it stands.
    withdrawn_at: datetime | None = None
    #: What the caller must say when applying, and who decides.
    approvals: list[str]
    columns: list[str]


class SearchResult(BaseModel):
    """One page of resources with the number of hits by facet value."""

    items: list[ResourceSummary]
    next: str | None
    #: True: nothing holds every word, these hold at least half of their pieces, the closest first.
    approximate: bool = False
    total: int
    facets: dict[str, dict[str, int]]
    #: How many of the hits the caller follows.
    favourites: int


class Summary(BaseModel):
    """What stands in the catalogue."""

    resources: int
    datasets: int
    apis: int
    applications_pending: int
    grants_active: int
