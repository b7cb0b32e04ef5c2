"""What stands of each dataset in the three zones, put together from what the services say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edulake.portal.clients.reply import Reply


@dataclass(frozen=True)
class Flow:
    """One dataset: its newest batch, its governed version, the version served; None where nothing stands."""

    dataset: str
    raw: Mapping[str, Any] | None
    governed: Mapping[str, Any] | None
    published: Mapping[str, Any] | None
    job: Mapping[str, Any] | None

    @property
    def is_empty(self) -> bool:
        return not (self.raw or self.governed or self.published)


def flows(order: Sequence[str], ingest: Reply, governance: Reply, gateway: Reply) -> list[Flow]:
    """One flow a dataset, those with something first; a silent service leaves its column empty."""
    raw = {one["dataset"]: one for one in (ingest.data or {}).get("datasets", [])}
    governed = {one["name"]: one for one in governance.data or [] if one["version"] is not None}
    served = {one["dataset"]: one for one in gateway.data or []}
    names = [*order, *sorted({*raw, *governed, *served} - set(order))]
    found = [_flow(name, raw.get(name), governed.get(name), served.get(name)) for name in names]
    return sorted(found, key=lambda flow: flow.is_empty)


def _flow(
    name: str,
    raw: Mapping[str, Any] | None,
    governed: Mapping[str, Any] | None,
    served: Mapping[str, Any] | None,
) -> Flow:
    versions = served["versions"] if served else []
    current = next((one for one in versions if one["is_current"]), None)
    return Flow(name, raw, governed, current, served["job"] if served else None)


def totals(ingest: Reply, governance: Reply, gateway: Reply) -> dict[str, int | None]:
    """The figures at a glance; None where the service that knows is silent."""
    batches = ingest.data["batches"] if ingest.data else {}
    governed = [one for one in governance.data or [] if one["version"] is not None]
    served = [version for one in gateway.data or [] for version in one["versions"] if version["is_current"]]
    figures = {
        "sources": (ingest, ingest.data and ingest.data["sources"]),
        "batches": (ingest, sum(batches.values())),
        "rows_landed": (ingest, ingest.data and ingest.data["rows_landed"]),
        "under_way": (ingest, sum(batches.get(state, 0) for state in ("landed", "governed"))),
        "datasets_governed": (governance, len(governed)),
        "rows_governed": (governance, sum(one["row_count"] for one in governed)),
        "datasets_published": (gateway, len(served)),
        "rows_published": (gateway, sum(one["row_count"] for one in served)),
    }
    return {name: None if reply.trouble else value for name, (reply, value) in figures.items()}
