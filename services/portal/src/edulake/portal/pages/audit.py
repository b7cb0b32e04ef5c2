"""`/audit`: who called what, who read one record, what happened to identities, and whether the chain holds."""

from typing import Annotated

from edulake.portal import words
from edulake.portal.clients.reply import Reply
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.export import Columns, export
from edulake.portal.forms import Form
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/gateway/audit"
#: Most reads of one record that a page shows.
READS_ROWS = 200
Cursor = Annotated[str, Query(max_length=1000)]
COLUMNS: Columns = {
    "序号": lambda one: one["seq"],
    "时间": lambda one: words.exact(one["at"]),
    "种类": lambda one: words.state(one["kind"], "audit"),
    "应用": lambda one: one["client_id"],
    "接口": lambda one: one["api"],
    "级别": lambda one: one["level"],
    "结果": lambda one: one["status"],
    "次数": lambda one: one["calls"],
    "记录数": lambda one: one["answered_records"],
    "使用目的": lambda one: one["purpose"],
    "授权编号": lambda one: one["grant_id"],
    "数据版本": lambda one: one["version"],
    "来源地址": lambda one: one["client_ip"],
    "追踪编号": lambda one: one["trace_id"],
}


async def _asked(
    client: Annotated[str, Query(max_length=200)] = "", api: Annotated[str, Query(max_length=200)] = ""
) -> dict[str, str]:
    return {"client": client.strip(), "api": api}


Asked = Annotated[dict[str, str], Depends(_asked)]


@router.get("/audit")
async def calls(desk: AtDesk, query: Asked, cursor: Cursor = "") -> HTMLResponse:
    found = await desk.get("gateway", API, **query, cursor=cursor, limit=desk.settings.page_rows)
    return _calls(desk, query, found, cursor=cursor)


@router.get("/audit.csv")
async def as_file(desk: AtDesk, query: Asked) -> Response:
    return await export(desk, "gateway", API, query, COLUMNS, "访问审计", "审计记录")


@router.get("/audit/identities")
async def identities(desk: AtDesk, cursor: Cursor = "") -> HTMLResponse:
    found = await desk.get("auth", "/api/auth/trail", cursor=cursor, limit=desk.settings.page_rows)
    told = (found.data or {}).get("items", [])
    known = await desk.people_of(name for one in told for name in (one["by"], one["about"]))
    return desk.page("audit/identities.html", found=found, cursor=cursor, known=known)


@router.post("/audit/reads")
async def reads(desk: AtDesk) -> HTMLResponse:
    """Who read one record. A form and no address: what is asked may name a person."""
    form = await desk.form()
    asked = form.only(("api", "question"))
    found = await desk.get("gateway", API, **asked, limit=READS_ROWS) if asked["question"] else Reply(None)
    return _calls(desk, {"client": "", "api": ""}, found, form=form)


@router.post("/audit/verify")
async def verify(desk: AtDesk) -> HTMLResponse:
    """Walk the whole chain, which may take a while; the verdict is on this one answer."""
    await desk.form()
    path = f"{API}/verify"
    verdict, found = await desk.side_by_side(
        desk.get_slowly("gateway", path, desk.settings.verify_wait_s),
        desk.get("gateway", API, limit=desk.settings.page_rows),
    )
    return _calls(desk, {"client": "", "api": ""}, found, verdict=verdict)


def _calls(
    desk: Desk,
    query: dict[str, str],
    found: Reply,
    *,
    cursor: str = "",
    form: Form | None = None,
    verdict: Reply | None = None,
) -> HTMLResponse:
    """The list as it is asked for; `form` holds a question about one record, `verdict` is that on the chain."""
    apis = [(name, api.title) for name, api in sorted(desk.resources.standards.apis.items())]
    return desk.page(
        "audit/calls.html",
        status=found.status if form else 200,
        found=found,
        query=query,
        cursor=cursor,
        form=form or Form(),
        is_of_record=form is not None,
        verdict=verdict,
        apis=apis,
    )
