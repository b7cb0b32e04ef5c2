"""`/sources`: who delivers what, and how the headers of his files read in the standard's fields."""

from typing import Annotated, Any

from edulake.portal.clients.reply import Reply, Trouble
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.forms import Form
from edulake.portal.names import Names
from edulake.portal.pairs import Unreadable, read_pairs, written
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/ingest/sources"
SourceId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
#: What a new source starts with.
FRESH = Form({"authority": ["50"], "status": ["active"]})


@router.get("/sources")
async def sources(desk: AtDesk, cursor: Annotated[str, Query(max_length=1000)] = "") -> HTMLResponse:
    found = await desk.get("ingest", API, cursor=cursor, limit=desk.settings.page_rows)
    known = await desk.people_of(one["contact"] for one in (found.data or {}).get("items", []))
    return desk.page("source/list.html", found=found, cursor=cursor, known=known)


@router.get("/sources/_new")
async def new(desk: AtDesk) -> HTMLResponse:
    return await _new(desk, FRESH, None)


@router.post("/sources/_new")
async def register(desk: AtDesk) -> Response:
    form = await desk.form()
    wanted, wrong = _wanted(form, desk.names)
    if wrong:
        return await _new(desk, form, wrong)
    reply = await desk.post("ingest", API, {**wanted, "id": form.get("id").strip()})
    if reply.trouble:
        return await _new(desk, form, reply.trouble)
    return desk.go(f"/sources/{reply.data['id']}?done=register-source")


@router.get("/sources/{source}")
async def one(source: SourceId, desk: AtDesk) -> HTMLResponse:
    return await _one(desk, source, None, None)


@router.post("/sources/{source}")
async def change(source: SourceId, desk: AtDesk) -> Response:
    form = await desk.form()
    wanted, wrong = _wanted(form, desk.names)
    if wrong:
        return await _one(desk, source, form, wrong)
    reply = await desk.put("ingest", f"{API}/{source}", wanted)
    if reply.trouble:
        return await _one(desk, source, form, reply.trouble)
    return desk.go(f"/sources/{source}?done=change-source")


def _wanted(form: Form, names: Names) -> tuple[dict[str, Any], Trouble | None]:
    """What the form asks of ingest, and what of it cannot be read."""
    wanted: dict[str, Any] = form.only(("title", "organisation", "authority", "status"))
    wanted["contact"] = form.get("contact_other").strip() or form.get("contact")
    wanted["datasets"] = form.many("datasets")
    wrong = {}
    for part in ("mapping", "defaults"):
        wanted[part] = {}
        for dataset, _ in names.datasets:
            try:
                pairs = _pairs(form.get(f"{part}.{dataset}"), part, dataset, names)
            except Unreadable as error:
                wrong[f"{part}.{dataset}"] = str(error)
                continue
            if pairs:
                wanted[part][dataset] = pairs
    trouble = Trouble(422, "还不能登记", f"请修改下面标出的 {len(wrong)} 处。", fields=wrong)
    return wanted, trouble if wrong else None


def _pairs(text: str, part: str, dataset: str, names: Names) -> dict[str, str]:
    """The lines with fields by their code, also where a person wrote a title. Raises Unreadable."""
    pairs = read_pairs(text, field_last=part == "mapping")
    if part == "mapping":
        return {header: _code(field, dataset, names) for header, field in pairs.items()}
    return {_code(field, dataset, names): value for field, value in pairs.items()}


def _code(field: str, dataset: str, names: Names) -> str:
    code = names.field_code(dataset, field)
    if code is None:
        raise Unreadable(f"{names.dataset(dataset)}没有字段“{field}”，可用的字段列在下面")
    return code


async def _new(desk: Desk, form: Form, trouble: Trouble | None) -> HTMLResponse:
    people = await _people(desk)
    return await _page(desk, None, form, trouble, people=people, history=Reply())


async def _one(desk: Desk, source: str, form: Form | None, trouble: Trouble | None) -> HTMLResponse:
    """One source, to be changed by a steward and read by others; `form` as typed, else as registered."""
    asked = [desk.get("ingest", f"{API}/{source}")]
    if desk.could("source", "change"):
        asked += [desk.get("ingest", f"{API}/{source}/history", limit=20), _people(desk)]
    found, *more = await desk.side_by_side(*asked)
    if found.trouble:
        return desk.trouble_page(found, "来源")
    history, people = more or (Reply(), Reply())
    return await _page(desk, found.data, form or _typed(found.data), trouble, people=people, history=history)


async def _page(
    desk: Desk,
    source: dict[str, Any] | None,
    form: Form,
    trouble: Trouble | None,
    *,
    people: Reply,
    history: Reply,
) -> HTMLResponse:
    known = {one["id"]: one["name"] for one in (people.data or {}).get("items", [])}
    return desk.page(
        "source/show.html",
        status=trouble.status if trouble else 200,
        source=source,
        form=form,
        trouble=trouble,
        people=people,
        history=history,
        known=known | await desk.people_of(one for one in _named(source, history) if one not in known),
    )


def _named(source: dict[str, Any] | None, history: Reply) -> list[str]:
    """The ids of those a source's page speaks of."""
    told = [name for one in history.data or [] for name in (one["changed_by"], one["body"]["contact"])]
    return [*([source["contact"]] if source else []), *told]


def _people(desk: Desk) -> Any:
    return desk.get("auth", "/api/auth/people/contacts", limit=200)


def _typed(source: dict[str, Any]) -> Form:
    """A registered source as its form would have been typed."""
    names = ("title", "organisation", "contact", "authority", "status")
    values = {name: [str(source[name])] for name in names}
    values["datasets"] = list(source["datasets"])
    for part in ("mapping", "defaults"):
        values |= {f"{part}.{dataset}": [written(pairs)] for dataset, pairs in source[part].items()}
    return Form(values)
