"""`/grants`: who may call what until when, how much of it was used today, and ending it."""

from typing import Annotated, Any
from uuid import UUID

from edulake.portal import words
from edulake.portal.clients.reply import Reply
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.export import Columns, export
from edulake.portal.forms import Form
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/catalog/grants"
COLUMNS: Columns = {
    "授权编号": lambda one: one["grant_id"],
    "接口": lambda one: one["title"],
    "应用": lambda one: one["client_id"],
    "申请人": lambda one: one["requested_by_name"],
    "机构": lambda one: one["organisation"],
    "使用目的": lambda one: one["purpose"],
    "字段": lambda one: "、".join(one["columns"]),
    "区": lambda one: "、".join(one["districts"]) or "全市",
    "级别": lambda one: one["level"],
    "脱敏程度": lambda one: words.state(one["mask_level"], "mask"),
    "调用来源": lambda one: "、".join(one["ip_allow"]) or "不限",
    "状态": lambda one: words.state(one["status"], "grant"),
    "生效": lambda one: words.exact(one["valid_from"]),
    "到期": lambda one: words.exact(one["valid_until"]),
    "每秒额度": lambda one: one["rate_per_s"],
    "每日额度": lambda one: one["day_quota"],
    "结束理由": lambda one: one["ended_reason"],
}


async def _asked(
    status: Annotated[str, Query(max_length=20)] = "",
    resource_id: Annotated[str, Query(max_length=100)] = "",
    client_id: Annotated[str, Query(max_length=63)] = "",
) -> dict[str, str]:
    return {"status": status, "resource_id": resource_id, "client_id": client_id}


Asked = Annotated[dict[str, str], Depends(_asked)]


@router.get("/grants")
async def grants(
    desk: AtDesk, query: Asked, cursor: Annotated[str, Query(max_length=1000)] = ""
) -> HTMLResponse:
    rows = desk.settings.page_rows
    found = await desk.get("catalog", API, **query, usage="true", cursor=cursor, limit=rows)
    return desk.page("grant/list.html", found=found, query=query, cursor=cursor)


@router.get("/grants.csv")
async def as_file(desk: AtDesk, query: Asked) -> Response:
    return await export(desk, "catalog", API, query, COLUMNS, "授权", "授权")


@router.get("/grants/{grant_id}")
async def grant(grant_id: UUID, desk: AtDesk) -> HTMLResponse:
    return await _grant(desk, grant_id, Form(), Reply())


@router.post("/grants/{grant_id}/end")
async def end(grant_id: UUID, desk: AtDesk) -> Response:
    """End it; the page that sends this has said what will happen."""
    form = await desk.form()
    reply = await desk.post("catalog", f"{API}/{grant_id}/revoke", {"reason": form.get("reason")})
    if reply.trouble:
        return await _grant(desk, grant_id, form, reply)
    return desk.go(f"/grants/{grant_id}?done=ended")


async def _grant(desk: Desk, grant_id: UUID, form: Form, refusal: Reply) -> HTMLResponse:
    found = await desk.get("catalog", f"{API}/{grant_id}")
    if found.trouble:
        return desk.trouble_page(found, "授权")
    values: dict[str, Any] = {"grant": found.data, "form": form, "trouble": refusal.trouble}
    return desk.page("grant/show.html", status=refusal.status, **values)
