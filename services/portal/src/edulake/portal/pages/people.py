"""`/people`: who may enter (the system administrator's part) and who may do what (the security administrator's)."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from edulake.common.identity import ADMINISTRATORS, ROLES
from edulake.portal.clients.reply import Reply
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.forms import Form
from edulake.portal.pages.apps import CLIENTS, ClientId
from edulake.portal.pages.resource import districts
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/auth/people"
#: Roles that do not exclude each other; one administrator's role may join them.
DUTIES = tuple(role for role in ROLES if role not in (*ADMINISTRATORS, "service"))
PersonId = Annotated[str, Path(pattern=r"^person:.{1,200}$")]


async def _asked(
    status: Annotated[str, Query(max_length=20)] = "", name: Annotated[str, Query(max_length=100)] = ""
) -> dict[str, str]:
    return {"status": status, "name": name.strip()}


Asked = Annotated[dict[str, str], Depends(_asked)]


@router.get("/people")
async def people(
    desk: AtDesk, query: Asked, cursor: Annotated[str, Query(max_length=1000)] = ""
) -> HTMLResponse:
    found = await desk.get("auth", API, **query, cursor=cursor, limit=desk.settings.page_rows)
    return desk.page("person/list.html", found=found, query=query, cursor=cursor)


@router.get("/people/{person_id}")
async def person(person_id: PersonId, desk: AtDesk) -> HTMLResponse:
    return await _person(desk, person_id, Form(), "", Reply())


@router.post("/people/{person_id}/admit")
async def admit(person_id: PersonId, desk: AtDesk) -> Response:
    """Let in, or say anew where the person works; what is left empty stays as it is."""
    form = await desk.form()
    place = {name: form.get(name).strip() or None for name in ("organisation", "district")}
    reply = await desk.post("auth", f"{_path(person_id)}/admit", place)
    return await _answer(desk, person_id, form, "admit", reply)


@router.post("/people/{person_id}/disable")
async def disable(person_id: PersonId, desk: AtDesk) -> Response:
    form = await desk.form()
    reply = await desk.post("auth", f"{_path(person_id)}/disable", {})
    return await _answer(desk, person_id, form, "disable", reply)


@router.post("/people/{person_id}/roles")
async def set_roles(person_id: PersonId, desk: AtDesk) -> Response:
    """The roles from now on: the duties ticked and at most one administrator's."""
    form = await desk.form()
    wanted = [*form.many("duties"), *(name for name in form.many("administrator") if name)]
    reply = await desk.post(
        "auth", f"{_path(person_id)}/roles", {"roles": wanted, "reason": form.get("reason")}
    )
    return await _answer(desk, person_id, form, "roles", reply)


@router.post("/people/{person_id}/apps/{client_id}/{act}")
async def set_app(
    person_id: PersonId, client_id: ClientId, act: Literal["enable", "disable"], desk: AtDesk
) -> Response:
    """Enable or disable an application of this person."""
    form = await desk.form()
    reply = await desk.post("auth", f"{CLIENTS}/{client_id}/{act}", {})
    if reply.trouble:
        return await _person(desk, person_id, form, "app", reply)
    return desk.go(f"/people/{quote(person_id, safe='')}?done={act}-app")


async def _answer(desk: Desk, person_id: str, form: Form, act: str, reply: Reply) -> Response:
    if reply.trouble:
        return await _person(desk, person_id, form, act, reply)
    return desk.go(f"/people/{quote(person_id, safe='')}?done={act}-person")


async def _person(desk: Desk, person_id: str, form: Form, act: str, refusal: Reply) -> HTMLResponse:
    """One person; `act` is what was refused, `form` what was typed for it."""
    asked = [desk.get("auth", _path(person_id)), desk.get("auth", CLIENTS, owner=person_id, limit=200)]
    if desk.could("role_change", "read"):
        asked.append(desk.get("auth", "/api/auth/role-changes", holder=person_id, limit=20))
    found, apps, *changes = await desk.side_by_side(*asked)
    if found.trouble:
        return desk.trouble_page(found, "人员")
    told = changes[0].data["items"] if changes and changes[0].data else []
    values: dict[str, Any] = {"person": found.data, "form": form, "act": act, "trouble": refusal.trouble}
    return desk.page(
        "person/show.html",
        status=refusal.status,
        apps=apps,
        changes=changes[0] if changes else None,
        known=await desk.people_of(one["by"] for one in told),
        duties=DUTIES,
        administrators=ADMINISTRATORS,
        districts=districts(desk.resources, desk.settings.city_code),
        **values,
    )


def _path(person_id: str) -> str:
    return f"{API}/{quote(person_id, safe=':')}"
