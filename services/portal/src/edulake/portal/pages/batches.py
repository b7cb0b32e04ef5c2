"""`/batches`: what was delivered, how far it came, what was refused and why."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from edulake.portal.change import change_of
from edulake.portal.clients.reply import Reply, Trouble
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.export import Columns, export
from edulake.portal.forms import Form
from edulake.portal.names import Names
from edulake.portal.progress import UNDER_WAY, steps_of
from edulake.portal.words import exact, state
from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/ingest/batches"
NO_SUCH = Reply(
    trouble=Trouble(404, "没有这个批次", "地址里的批次编号不完整或有误。", "从归集批次列表进入。")
)
Chosen = Annotated[str, Query(max_length=100)]
Cursor = Annotated[str, Query(max_length=1000)]


@router.get("/batches")
async def batches(
    desk: AtDesk, status: Chosen = "", dataset: Chosen = "", source: Chosen = "", cursor: Cursor = ""
) -> HTMLResponse:
    query = {"status": status, "dataset": dataset, "source": source}
    found, sources = await desk.side_by_side(
        desk.get("ingest", API, **query, cursor=cursor, limit=desk.settings.page_rows),
        desk.get("ingest", "/api/ingest/sources", limit=200),
    )
    known = sources.data["items"] if sources.data else []
    return desk.page(
        "batch/list.html",
        found=found,
        rows=await desk.scope("batch.quarantine"),
        sources=known,
        query=query,
        cursor=cursor,
    )


@router.get("/batches.csv")
async def batches_file(
    desk: AtDesk, status: Chosen = "", dataset: Chosen = "", source: Chosen = ""
) -> Response:
    query = {"status": status, "dataset": dataset, "source": source}
    return await export(desk, "ingest", API, query, _columns(desk.names), "归集批次", "批次")


def _columns(names: Names) -> Columns:
    return {
        "批次": lambda one: one["batch_id"],
        "数据集": lambda one: one["dataset"],
        "数据集名称": lambda one: names.dataset(one["dataset"]),
        "来源": lambda one: one["source_id"],
        "期": lambda one: one["period"],
        "文件": lambda one: one["filename"],
        "状态": lambda one: state(one["status"], "batch"),
        "入湖行数": lambda one: one["rows_landed"],
        "治理行数": lambda one: one["rows_governed"],
        "隔离行数": lambda one: one["rows_quarantined"],
        "原因": lambda one: one["reason_zh"],
        "入湖时间": lambda one: exact(one["created_at"]),
    }


@router.get("/batches/{batch_id}")
async def batch(batch_id: str, desk: AtDesk) -> HTMLResponse:
    return await _batch(desk, batch_id, Reply())


@router.get("/batches/{batch_id}/progress")
async def progress(batch_id: str, desk: AtDesk, seen: str = "") -> Response:
    """The live part of a batch that is under way; 204 when nothing changed since `seen`."""
    values = await _facts(desk, batch_id)
    if isinstance(values, Reply):
        return desk.trouble_page(values, "批次")
    if values["seen"] == seen:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return desk.page("batch/live.html", **values, form=Form(), trouble=None, is_alone=True)


@router.post("/batches/{batch_id}/{part}/values")
async def values(
    batch_id: UUID,
    part: Literal["findings", "quarantine"],
    desk: AtDesk,
    rule_id: Chosen = "",
    cursor: Cursor = "",
) -> HTMLResponse:
    """The same page with the delivered values of its rows, which the audit chain will say were shown."""
    form = await desk.form()
    asked = [int(one) for one in form.many("id") if one.isdecimal()][: desk.settings.page_rows]
    wanted = {"findings" if part == "findings" else "rows": asked}
    opened = await desk.post("governance", f"/api/governance/batches/{batch_id}/values", wanted)
    query = {"rule_id": rule_id} if part == "findings" else {}
    return await _part(desk, str(batch_id), part, query, cursor, opened)


@router.post("/batches/{batch_id}/{action}")
async def act(batch_id: UUID, action: str, desk: AtDesk) -> Response:
    form = await desk.form()
    if action in ("withdraw", "confirm"):
        reply = await desk.post("ingest", f"{API}/{batch_id}/{action}", _shown(form))
    elif action in ("reprocess", "agree", "refuse"):
        path = f"/api/governance/batches/{batch_id}/{action}"
        reply = await desk.post("governance", path, {} if action == "reprocess" else _decided(form))
    elif action in ("retry", "release"):
        reply = await _publish(desk, batch_id, action, _shown(form))
    else:
        return desk.trouble_page(NO_SUCH, "操作")
    if reply.trouble:
        return await _batch(desk, str(batch_id), reply, form)
    return desk.go(f"/batches/{batch_id}?done={action}-batch")


def _shown(form: Form) -> dict[str, Any]:
    """The figures that the page showed, as they stood in its form."""
    try:
        shown = json.loads(form.get("shown") or "{}")
    except ValueError:
        shown = {}
    return shown if isinstance(shown, dict) else {}


def _decided(form: Form) -> dict[str, Any]:
    """The figures of a held batch that the page showed, and the reason where there is one."""
    reason = {"reason": form.get("reason").strip()} if form.has("reason") else {}
    return {**_shown(form), **reason}


async def _publish(desk: Desk, batch_id: UUID, action: str, shown: dict[str, Any]) -> Reply:
    """Have the publication of the batch's dataset tried again, or let go on what it lacks."""
    found = await desk.get("ingest", f"{API}/{batch_id}")
    if found.trouble:
        return found
    return await desk.post("gateway", f"/api/gateway/publications/{found.data['dataset']}/{action}", shown)


async def _batch(desk: Desk, batch_id: str, refusal: Reply, form: Form | None = None) -> HTMLResponse:
    values = await _facts(desk, batch_id)
    if isinstance(values, Reply):
        return desk.trouble_page(values, "批次")
    return desk.page(
        "batch/show.html",
        status=refusal.status,
        trouble=refusal.trouble,
        form=form or Form(),
        is_alone=False,
        **values,
    )


async def _facts(desk: Desk, batch_id: str) -> dict[str, Any] | Reply:
    """What a batch's page shows, or why there is no page; `seen` is the digest of what changes on it."""
    if not is_id(batch_id):
        return NO_SUCH
    found, run, report = await desk.side_by_side(
        desk.get("ingest", f"{API}/{batch_id}"),
        desk.get("governance", f"/api/governance/runs/{batch_id}"),
        desk.get("governance", f"/api/governance/batches/{batch_id}/quality"),
    )
    if found.trouble:
        return found
    steps = steps_of(found.data, run.data)
    is_held = found.data["status"] == "held"
    held = run.data if run.data and is_held and not found.data["governed_version"] else None
    unreleased = await _unreleased(desk, found.data) if is_held and not held else None
    drawn = repr((found.data, steps, report.data)).encode()
    return {
        "batch": found.data,
        "may": await desk.rights(found.data["dataset"], found.data["source_id"]),
        "steps": steps,
        "report": report.data,
        "held": held,
        "unreleased": unreleased,
        "merged": _merged(found.data),
        "references": run.data["references"] if run.data else [],
        "is_under_way": found.data["status"] in UNDER_WAY,
        "seen": hashlib.sha256(drawn).hexdigest()[:16],
    }


async def _unreleased(desk: Desk, batch: Mapping[str, Any]) -> dict[str, Any] | None:
    """The publication of the batch's dataset, where it waits for somebody to let it go: the job and what is served."""
    found = await desk.get("gateway", "/api/gateway/publications")
    one = next((one for one in found.data or [] if one["dataset"] == batch["dataset"]), None)
    if one is None or one["job"] is None or one["job"]["status"] != "held":
        return None
    served = next((version for version in one["versions"] if version["is_current"]), None)
    rows = served["row_count"] if served else None
    return {"job": one["job"], "rows": rows, "change": change_of(one["job"]["row_count"], rows)}


def _merged(batch: Mapping[str, Any]) -> int | None:
    """Rows that became part of another one, so that landed is governed, merged and quarantined; None: not known."""
    if not batch["rows_governed"]:
        return None
    rest: int = batch["rows_landed"] - batch["rows_governed"] - (batch["rows_quarantined"] or 0)
    return rest if rest >= 0 else None


@router.get("/batches/{batch_id}/findings")
async def findings(batch_id: str, desk: AtDesk, rule_id: Chosen = "", cursor: Cursor = "") -> HTMLResponse:
    return await _part(desk, batch_id, "findings", {"rule_id": rule_id}, cursor)


@router.get("/batches/{batch_id}/quarantine")
async def quarantine(batch_id: str, desk: AtDesk, cursor: Cursor = "") -> HTMLResponse:
    return await _part(desk, batch_id, "quarantine", {}, cursor)


async def _part(
    desk: Desk, batch_id: str, part: str, query: dict[str, str], cursor: str, opened: Reply | None = None
) -> HTMLResponse:
    if not is_id(batch_id):
        return desk.trouble_page(NO_SUCH, "批次")
    path, rows = f"/api/governance/batches/{batch_id}/{part}", desk.settings.page_rows
    batch, found = await desk.side_by_side(
        desk.get("ingest", f"{API}/{batch_id}"),
        desk.get("governance", path, **query, cursor=cursor, limit=rows),
    )
    if batch.trouble:
        return desk.trouble_page(batch, "批次")
    values = {"batch": batch.data, "found": found, "query": query, "cursor": cursor}
    values["may"] = await desk.rights(batch.data["dataset"], batch.data["source_id"])
    values["opened"] = opened.data["items"] if opened and opened.data else None
    return desk.page(f"batch/{part}.html", **values, trouble=opened.trouble if opened else None)


@router.get("/batches/{batch_id}/findings.csv")
async def findings_file(batch_id: UUID, desk: AtDesk, rule_id: Chosen = "") -> Response:
    path = f"/api/governance/batches/{batch_id}/findings"
    columns: Columns = {
        "行号": lambda one: one["row_no"],
        "规则": lambda one: one["rule_id"],
        "字段": lambda one: one["field"],
        "级别": lambda one: state(one["severity"], "severity"),
        "问题": lambda one: one["reason_zh"],
        "值的形状": lambda one: one["value_masked"],
    }
    return await export(desk, "governance", path, {"rule_id": rule_id}, columns, "问题清单", "问题清单")


@router.get("/batches/{batch_id}/quarantine.csv")
async def quarantine_file(batch_id: UUID, desk: AtDesk) -> Response:
    path = f"/api/governance/batches/{batch_id}/quarantine"
    columns: Columns = {
        "行号": lambda one: one["row_no"],
        "原因": lambda one: "；".join(reason["reason_zh"] for reason in one["reasons"]),
        "规则": lambda one: "；".join(reason["rule_id"] for reason in one["reasons"]),
    }
    return await export(desk, "governance", path, {}, columns, "隔离的行", "隔离的行")


def is_id(batch_id: str) -> bool:
    try:
        UUID(batch_id)
    except ValueError:
        return False
    return True
