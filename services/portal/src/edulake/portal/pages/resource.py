"""`/resources/<id>`: understand one resource, tab by tab, try it and apply for it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode

from edulake.common.errors import NotFound
from edulake.common.service import Resources
from edulake.common.standards import ApiDefinition, Standards
from edulake.portal.change import change_of, is_fall, with_changes
from edulake.portal.clients.reply import Reply, Trouble
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.forms import Form
from edulake.portal.handbook import lines_for
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
TABS = {
    "basic": "基本信息",
    "structure": "数据结构",
    "sample": "样例",
    "handbook": "接口手册",
    "test": "在线测试",
    "quality": "质量",
    "versions": "版本",
}
OF_APIS = ("handbook", "test")
NO_SUCH_VERSION = Reply(
    trouble=Trouble(404, "没有保留这个版本", "网关不再保留该版本，或它从未发布。", "从“版本”页选择。")
)
CHANGED = Reply(
    trouble=Trouble(
        409, "正在使用的版本已有变化", "您看到的数字已不是现在的。", "核对下面现在的数字后再确认。"
    )
)
#: A code table up to this size is offered as a list of choices.
MAX_CHOICES = 60


@router.get("/resources/{resource_id}")
async def show(resource_id: str, desk: AtDesk) -> HTMLResponse:
    return await _tab(desk, resource_id, "basic")


@router.get("/resources/{resource_id}/apply")
async def form(resource_id: str, desk: AtDesk) -> HTMLResponse:
    return await _apply(desk, resource_id, Form({"days": ["180"]}), Reply())


@router.post("/resources/{resource_id}/apply")
async def apply(resource_id: str, desk: AtDesk) -> Response:
    typed = await desk.form()
    reply = await desk.post("catalog", "/api/catalog/applications", _application(resource_id, typed))
    if reply.trouble:
        return await _apply(desk, resource_id, typed, reply)
    return desk.go("/applications?done=applied")


@router.get("/resources/{resource_id}/versions/{version}")
async def ask_to_go_back(resource_id: str, version: int, desk: AtDesk) -> HTMLResponse:
    return await _going_back(desk, resource_id, version, Reply())


@router.post("/resources/{resource_id}/versions/{version}")
async def go_back(resource_id: str, version: int, desk: AtDesk) -> Response:
    """Serve an earlier version again; refused when another one is served by now than the page showed."""
    form = await desk.form()
    dataset = _dataset(desk.resources.standards, resource_id)
    asked = await desk.get("gateway", "/api/gateway/publications")
    served = next((one for one in asked.data or [] if one["dataset"] == dataset), None)
    if asked.trouble or served is None or str(served["current"]) != form.get("current"):
        return await _going_back(desk, resource_id, version, asked if asked.trouble else CHANGED)
    path = f"/api/gateway/publications/{quote(dataset)}/rollback"
    agreed = {"agreed_rows": int(form.get("agreed"))} if form.get("agreed").isdecimal() else {}
    reply = await desk.post("gateway", path, {"version": version, **agreed})
    if reply.trouble:
        return await _going_back(desk, resource_id, version, reply)
    return desk.go(f"/resources/{quote(resource_id)}/versions?done=rolled-back")


async def _going_back(desk: Desk, resource_id: str, version: int, refusal: Reply) -> HTMLResponse:
    """What is served now and what would be, side by side, before anybody goes back."""
    dataset = _dataset(desk.resources.standards, resource_id)
    found, published = await desk.side_by_side(
        desk.get("catalog", _path(resource_id)), desk.get("gateway", "/api/gateway/publications")
    )
    for reply in (found, published):
        if reply.trouble:
            return desk.trouble_page(reply, "版本")
    served = next((one for one in published.data if one["dataset"] == dataset), None)
    versions = {one["version"]: one for one in served["versions"]} if served else {}
    if served is None or version not in versions or served["current"] not in versions:
        return desk.trouble_page(NO_SUCH_VERSION, "版本")
    contract = desk.resources.standards.datasets.get(dataset)
    now, then = versions[served["current"]], versions[version]
    change = change_of(then["row_count"], now["row_count"])
    return desk.page(
        "resource/back.html",
        status=refusal.status,
        trouble=refusal.trouble,
        resource=found.data,
        now=now,
        then=then,
        change=change,
        is_fall=is_fall(change, contract),
        # Whoever saw what would be lost, here or in the gateway's own words, repeats the rows.
        agrees=is_fall(change, contract) or (refusal.status == 409 and refusal is not CHANGED),
        may_go_back=desk.may_of(dataset, "publication", "roll_back"),
        sees_batches=desk.could("batch", "read"),
    )


@router.get("/resources/{resource_id}/{tab}")
async def show_tab(
    resource_id: str,
    tab: Literal["structure", "sample", "handbook", "test", "quality", "versions"],
    desk: AtDesk,
) -> HTMLResponse:
    return await _tab(desk, resource_id, tab)


async def _tab(desk: Desk, resource_id: str, tab: str) -> HTMLResponse:
    """The resource and what the tab needs besides, asked side by side."""
    api = _api(desk.resources.standards, resource_id)
    if tab in OF_APIS and api is None:
        raise NotFound("只有接口有这一页", "only an API has this page", mend_zh="从资源目录选择接口")
    more = await _ASKS[tab](desk, resource_id) if tab in _ASKS else {}
    asked = {"found": desk.get("catalog", _path(resource_id)), **more}
    replies: dict[str, Any] = dict(zip(asked, await desk.side_by_side(*asked.values()), strict=True))
    found = replies.pop("found")
    if found.trouble:
        return desk.trouble_page(found, "资源")
    tabs = {name: title for name, title in TABS.items() if api or name not in OF_APIS}
    values: dict[str, Any] = {
        "resource": found.data,
        "api": api,
        "tab": tab,
        "tabs": tabs,
        "applies": desk.could("application", "make"),
        "base": desk.settings.issuer,
    }
    own = _own(desk, tab, api)
    if tab == "versions":
        own |= _standing(desk, resource_id, replies)
    return desk.page(f"resource/{tab}.html", **values, **own, **replies)


def _own(desk: Desk, tab: str, api: ApiDefinition | None) -> dict[str, Any]:
    """What a tab shows without asking anybody."""
    standards = desk.resources.standards
    if tab == "handbook" and api:
        return {"lines": lines_for(api, desk.settings.issuer)}
    if tab == "test" and api:
        typed = {one.name: desk.request.query_params.get(one.name, "") for one in api.parameters}
        typed["limit"] = desk.request.query_params.get("limit", "")
        asked = urlencode({name: value for name, value in typed.items() if value})
        return {
            "typed": typed,
            "address": f"{desk.settings.issuer}/share/v1/{api.name}{'?' if asked else ''}{asked}",
            "choices": {one.name: _choices(standards, one.code_table, desk) for one in api.parameters},
        }
    return {}


def _choices(standards: Standards, table: str | None, desk: Desk) -> list[tuple[str, str]]:
    """Codes and names for a list of choices; none where a person types the value."""
    if table is None:
        return []
    if table == "gbt2260":
        return districts(desk.resources, desk.settings.city_code)
    rows = standards.codes[table].rows
    return [(row.code, row.name) for row in rows if not row.successor] if len(rows) <= MAX_CHOICES else []


async def _sample(desk: Desk, resource_id: str) -> dict[str, Any]:
    return {"sample": desk.get("catalog", f"{_path(resource_id)}/sample")}


async def _test(desk: Desk, resource_id: str) -> dict[str, Any]:
    """Nothing is tried before somebody asks for it (`try` stands in the address then)."""
    api = _api(desk.resources.standards, resource_id)
    given = desk.request.query_params
    held = desk.get("catalog", "/api/catalog/grants", resource_id=resource_id, status="active", limit=5)
    if api is None or "try" not in given:
        return {"held": held, "answer": _nothing()}
    query = {name: given[name] for name in (*(one.name for one in api.parameters), "limit") if name in given}
    return {"held": held, "answer": desk.get("catalog", f"/api/catalog/sandbox/{api.name}", **query)}


async def _quality(desk: Desk, resource_id: str) -> dict[str, Any]:
    dataset = _dataset(desk.resources.standards, resource_id)
    path = f"/api/governance/datasets/{quote(dataset)}"
    sees = desk.may_of(dataset, "dataset.quality", "read")
    return {
        "governed": desk.get("governance", path),
        "reports": desk.get("governance", f"{path}/quality", limit=10) if sees else _nothing(),
    }


async def _versions(desk: Desk, resource_id: str) -> dict[str, Any]:
    dataset = _dataset(desk.resources.standards, resource_id)
    return {
        "published": desk.get("gateway", "/api/gateway/publications"),
        "versions": desk.get("governance", f"/api/governance/datasets/{quote(dataset)}/versions", limit=20),
    }


def _standing(desk: Desk, resource_id: str, replies: Mapping[str, Reply]) -> dict[str, Any]:
    """The versions served and governed, each with its change of rows, and whether the person may go back."""
    dataset = _dataset(desk.resources.standards, resource_id)
    contract = desk.resources.standards.datasets.get(dataset)
    served = next((one for one in replies["published"].data or [] if one["dataset"] == dataset), None)
    governed = replies["versions"].data
    return {
        "current": served["current"] if served else None,
        "served": with_changes(served["versions"] if served else [], contract),
        "governed": with_changes(governed["items"] if governed else [], contract),
        "may_go_back": desk.may_of(dataset, "publication", "roll_back"),
        "sees_batches": desk.could("batch", "read"),
    }


async def _nothing() -> Reply:
    return Reply()


_ASKS: dict[str, Callable[[Desk, str], Awaitable[dict[str, Any]]]] = {
    "sample": _sample,
    "test": _test,
    "quality": _quality,
    "versions": _versions,
}


async def _apply(desk: Desk, resource_id: str, typed: Form, refusal: Reply) -> HTMLResponse:
    """The form, as typed; `refusal` holds why it was not taken."""
    found, apps = await desk.side_by_side(
        desk.get("catalog", _path(resource_id)), desk.get("auth", "/api/auth/apps", limit=200)
    )
    if found.trouble:
        return desk.trouble_page(found, "资源")
    return desk.page(
        "resource/apply.html",
        status=refusal.status,
        resource=found.data,
        apps=apps,
        applies=desk.could("application", "make"),
        form=typed,
        trouble=refusal.trouble,
        districts=districts(desk.resources, desk.settings.city_code),
    )


def _application(resource_id: str, form: Form) -> dict[str, Any]:
    texts = form.only(("client_id", "purpose", "scenario", "days"))
    return {
        **texts,
        "resource_id": resource_id,
        "columns": form.many("columns"),
        "districts": form.many("districts"),
        "ip_ranges": form.lines("ip_ranges"),
        "promises": form.has("promises"),
    }


def _path(resource_id: str) -> str:
    return f"/api/catalog/resources/{quote(resource_id, safe=':')}"


def _api(standards: Standards, resource_id: str) -> ApiDefinition | None:
    kind, _, name = resource_id.partition(":")
    return standards.apis.get(name) if kind == "api" else None


def _dataset(standards: Standards, resource_id: str) -> str:
    api = _api(standards, resource_id)
    return api.dataset if api else resource_id.partition(":")[2]


def districts(resources: Resources, city: str) -> list[tuple[str, str]]:
    """Codes and names of the city's present districts (GB/T 2260)."""
    table = resources.standards.codes["gbt2260"].by_code
    return [
        (code, row.name) for code, row in sorted(table.items()) if row.parent == city and not row.successor
    ]
