"""`/quality`: what was checked last of each dataset, and whether it got better or worse."""

from collections.abc import Mapping
from typing import Annotated, Any

from edulake.portal.change import is_comparable, rows_change, with_falls
from edulake.portal.clients.reply import Reply
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.quality import judged, spark
from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse

router = APIRouter()
NEWEST = "/api/governance/quality"
Dataset = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


@router.get("/quality")
async def newest(desk: AtDesk) -> HTMLResponse:
    found, orders = await desk.side_by_side(
        desk.get("governance", NEWEST), desk.get("workorder", "/api/workorder/summary")
    )
    lines = [
        {**pair, "rules": judged(pair["report"], pair["before"]), **_rows(desk, pair)}
        for pair in sorted(found.data or [], key=lambda pair: pair["report"]["score"])
    ]
    reported = {pair["report"]["dataset"] for pair in lines}
    return desk.page(
        "quality/list.html",
        found=found,
        batches=await desk.scope("batch"),
        lines=lines,
        unreported=[name for name in sorted(desk.resources.standards.datasets) if name not in reported],
        unclosed=orders.data["unclosed_by_dataset"] if orders.data else {},
    )


def _rows(desk: Desk, pair: Mapping[str, Any]) -> dict[str, Any]:
    """How the rows of a pair of reports changed, and whether their scores may be compared."""
    report, before = pair["report"], pair["before"]
    contract = desk.resources.standards.datasets.get(report["dataset"])
    return {
        "change": rows_change(report, before),
        "comparable": is_comparable(report, before, contract),
    }


@router.get("/quality/{dataset}")
async def of_dataset(
    dataset: Dataset, desk: AtDesk, cursor: Annotated[str, Query(max_length=1000)] = ""
) -> HTMLResponse:
    asked = [
        desk.get("governance", NEWEST),
        desk.get("workorder", "/api/workorder/orders", dataset=dataset, limit=200),
    ]
    if desk.may_of(dataset, "dataset.quality", "read"):
        path, rows = f"/api/governance/datasets/{dataset}/quality", desk.settings.page_rows
        asked.append(desk.get("governance", path, cursor=cursor, limit=rows))
    found, orders, *more = await desk.side_by_side(*asked)
    history = more[0] if more else Reply()
    if found.trouble:
        return desk.trouble_page(found, "质量报告")
    pair = next((one for one in found.data if one["report"]["dataset"] == dataset), None)
    reports: list[dict[str, Any]] = history.data["items"] if history.data else []
    return desk.page(
        "quality/show.html",
        dataset=dataset,
        batches=await desk.scope("batch"),
        pair={**pair, **_rows(desk, pair)} if pair else None,
        reports=with_falls(reports, desk.resources.standards.datasets.get(dataset)),
        rules=judged(pair["report"], pair["before"]) if pair else [],
        orders={(one["source_id"], one["rule_id"]): one for one in orders.data["items"]}
        if orders.data
        else {},
        history=history,
        spark=spark([report["score"] for report in reversed(reports)]),
        cursor=cursor,
    )
