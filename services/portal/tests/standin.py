"""A service that answers some addresses as it is told, in front of the real one; what was sent to it is kept."""

import json
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from .world import World


@dataclass
class StandIn:
    """`answers`: {(method, path): (status, body)}; all else goes to the real service."""

    real: Any
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        found = self.answers.get((request.method, request.url.path))
        if found is None:
            await self.real(scope, receive, send)
            return
        if request.method == "POST":
            self.sent.append((request.url.path, json.loads(await request.body())))
        await JSONResponse(found[1], status_code=found[0])(scope, receive, send)


def stand_in(world: World, service: str, answers: dict[tuple[str, str], tuple[int, Any]]) -> StandIn:
    """Put it before the service until the test is over (the next test attaches the services anew)."""
    port = world.settings.service_port(service)
    made = StandIn(world.suite.apps[service], answers)
    world.suite.network.apps[port] = made  # type: ignore[assignment]
    return made


LACKING = {
    "compared_with": "2026",
    "rows_before": 2728,
    "rows_after": 199,
    "keys_before": 2728,
    "keys_after": 199,
    "keys_lost": 2529,
    "keys_thinner": 12,
    "columns": [{"field": "district_code", "before": 199, "lost": 12}],
    "other_period": None,
    "other_period_keys": 0,
    "other_source": None,
    "other_source_keys": 0,
    "exceeds": ["rows"],
}


def held_run(batch_id: str, *, may_decide: bool, **over: Any) -> dict[str, Any]:
    """A run of governance that waits for somebody's word."""
    return {
        "run_id": batch_id,
        "batch_id": batch_id,
        "dataset": "school_base",
        "source_id": "roster-b",
        "period": "2026",
        "state": "held",
        "outcome": "held",
        "version": None,
        "progress": {"step": "protect", "done": 8, "total": 8},
        "waiting_for": [],
        "references": [],
        "rows_in": 199,
        "rows_governed": 199,
        "rows_quarantined": 0,
        "seconds_by_step": {},
        "reason_zh": "缺少 2529 个主键，须经同意",
        "reason_en": "2529 keys are missing",
        "completeness": LACKING,
        "agreed_by": None,
        "may_decide": may_decide,
        "updated_at": "2026-12-01T08:00:00+00:00",
        **over,
    }


def published(*rows: int, current: int | None = None, job: dict[str, Any] | None = None) -> dict[str, Any]:
    """A dataset's publications as the gateway lists them: so many rows in version 1, 2 and so on."""
    number = current or len(rows)
    versions = [
        {
            "version": version,
            "governed_version": version,
            "batch_id": f"01a231c0-0000-7000-8000-0000000000{version:02}",
            "row_count": count,
            "content_digest": f"{version}" * 64,
            "level": 2,
            "is_current": version == number,
            "published_at": "2026-12-01T08:00:00+00:00",
            "current_since": None,
            "current_by": "",
        }
        for version, count in enumerate(rows, 1)
    ]
    own = {"dataset": "school_base", "title": "学校基础"}
    return {**own, "current": number, "versions": versions[::-1], "job": job}
