"""`/`: what stands in the lake and flows through it, and what each person comes for."""

import hashlib
from collections.abc import Mapping
from typing import Any

from edulake.portal.change import is_comparable, rows_change
from edulake.portal.clients.reply import Reply
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.flow import flows, totals
from edulake.portal.panels.all import PANELS
from edulake.portal.quality import worsened
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup

router = APIRouter()
LAKE = {
    "ingest": "/api/ingest/summary",
    "governance": "/api/governance/datasets",
    "gateway": "/api/gateway/publications",
}


@router.get("/")
async def overview(desk: AtDesk) -> HTMLResponse:
    figures = await _figures(desk)
    return desk.page("overview/page.html", **figures)


def _fallen(desk: Desk, newest: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest reports whose rows fell beyond the bound; their scores say nothing."""
    contracts = desk.resources.standards.datasets
    pairs = ((one["report"], one["before"], contracts.get(one["report"]["dataset"])) for one in newest)
    return [
        {**report, "change": rows_change(report, before)}
        for report, before, contract in pairs
        if not is_comparable(report, before, contract)
    ]


def _held(desk: Desk, replies: Mapping[str, Reply]) -> list[dict[str, Any]]:
    """Batches that wait for this person, among others, to agree."""
    found = replies["held"].data["items"] if "held" in replies and replies["held"].data else []
    return [one for one in found if desk.may_of(one["dataset"], "batch", "agree")]


def _unreleased(desk: Desk, gateway: Reply) -> list[dict[str, Any]]:
    """Publications that wait for this person, among others, to let them go on."""
    held = (one for one in gateway.data or [] if one["job"] and one["job"]["status"] == "held")
    return [one for one in held if desk.may_of(one["dataset"], "publication", "release")]


@router.get("/overview/figures")
async def figures(desk: AtDesk, seen: str = "") -> Response:
    """The live part alone, for htmx; 204 (leave the page as it is) when nothing changed since `seen`."""
    values = await _figures(desk)
    if values["seen"] == seen:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return desk.page("overview/live.html", **values)


async def _figures(desk: Desk) -> dict[str, Any]:
    """Everything both pages show; `seen` is the digest of the live part as it is drawn now."""
    panels = [panel for panel in PANELS if desk.could(*panel.line)]
    asked = {name: desk.get(name, path) for name, path in LAKE.items()}
    for panel in panels:
        asked |= panel.asks(desk)
    replies: dict[str, Reply] = dict(zip(asked, await desk.side_by_side(*asked.values()), strict=True))
    lake = [replies[name] for name in LAKE]
    values: dict[str, Any] = {
        "replies": replies,
        "panels": panels,
        "flows": flows(sorted(desk.resources.standards.datasets), *lake),
        "totals": totals(*lake),
        "silent": [reply for reply in lake if reply.trouble],
        "worse": worsened(replies["quality"].data or []) if "quality" in replies else [],
        "fallen": _fallen(desk, replies["quality"].data or []) if "quality" in replies else [],
        "held": _held(desk, replies),
        "unreleased": _unreleased(desk, replies["gateway"]),
    }
    drawn = bytes(desk.page("overview/figures.html", **values).body)
    digest = hashlib.sha256(drawn).hexdigest()[:16]
    return {**values, "seen": digest, "drawn": Markup(drawn.decode())}  # noqa: S704  # our own template's work
