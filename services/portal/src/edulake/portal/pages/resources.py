"""`/resources`: find, follow, take the list along."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from edulake.portal import words
from edulake.portal.desk import AtDesk
from edulake.portal.export import Columns, export
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/catalog/resources"
Chosen = Annotated[str, Query(max_length=100)]
Cursor = Annotated[str, Query(max_length=1000)]
SORTS = {"newest": "最近更新", "used": "授权最多", "rows": "行数最多"}
COLUMNS: Columns = {
    "资源代码": lambda one: one["code"],
    "名称": lambda one: one["title"],
    "类型": lambda one: words.state(one["kind"], "kind"),
    "摘要": lambda one: one["summary"],
    "主题": lambda one: one["theme"],
    "责任机构": lambda one: one["organisation"],
    "交换形式": lambda one: one["share_way"],
    "共享属性": lambda one: one["share_type"],
    "开放属性": lambda one: one["open_type"],
    "级别": lambda one: one["level"],
    "更新周期": lambda one: one["update_cycle"],
    "行数": lambda one: one["row_count"],
    "更新时间": lambda one: words.exact(one["published_at"]),
    "是否关注": lambda one: "是" if one["favourite"] else "否",
}


async def _asked(
    q: Chosen = "",
    kind: Chosen = "",
    theme: Chosen = "",
    organisation: Chosen = "",
    share_way: Chosen = "",
    share_type: Chosen = "",
    open_type: Chosen = "",
    level: Chosen = "",
    favourite: Literal["", "true"] = "",
    sort: Literal["", "newest", "used", "rows"] = "",
) -> dict[str, str]:
    """The state of the list, as it stands in the address."""
    return {
        "q": q.strip(),
        "kind": kind,
        "theme": theme,
        "organisation": organisation,
        "share_way": share_way,
        "share_type": share_type,
        "open_type": open_type,
        "level": level,
        "favourite": favourite,
        "sort": "" if sort == "newest" else sort,
    }


Asked = Annotated[dict[str, str], Depends(_asked)]


@router.get("/resources")
async def search(desk: AtDesk, query: Asked, cursor: Cursor = "") -> HTMLResponse:
    found = await desk.get("catalog", API, **query, cursor=cursor, limit=desk.settings.page_rows)
    chosen = [name for name in (*words.FACETS, "favourite", "q") if query[name]]
    return desk.page(
        "resource/list.html", found=found, query=query, cursor=cursor, sorts=SORTS, chosen=chosen
    )


@router.get("/resources.csv")
async def as_file(desk: AtDesk, query: Asked) -> Response:
    """All hits, not only those of the page."""
    return await export(desk, "catalog", API, query, COLUMNS, "资源目录", "资源目录")


@router.post("/resources/{resource_id}/follow")
async def follow(resource_id: str, desk: AtDesk) -> Response:
    """Follow or follow no longer, and back to where the button stood."""
    form = await desk.form()
    wanted = form.get("follow") == "yes"
    path = f"/api/catalog/favourites/{quote(resource_id, safe=':')}"
    reply = await desk.change("PUT" if wanted else "DELETE", "catalog", path)
    if reply.trouble:
        return desk.trouble_page(reply, "资源")
    return desk.go(_back(form.get("back"), resource_id))


def _back(place: str, resource_id: str) -> str:
    """The catalogue as it was, or the resource; never another address."""
    known: Any = place.startswith("/resources?") or place == "/resources"
    return place if known else f"/resources/{quote(resource_id, safe='')}"
