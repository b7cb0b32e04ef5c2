"""`/orders`: quality problems on their way to being mended."""

from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from edulake.common.identity import Subject
from edulake.common.policy import Facts, may
from edulake.portal.clients.reply import Reply
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.export import Columns, export
from edulake.portal.forms import Form
from edulake.portal.names import Names
from edulake.portal.pages.batches import is_id
from edulake.portal.words import exact, named_in, person, plain, state
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/workorder/orders"
#: The field of each action's form, which the service's body carries under the same name.
FIELDS = {"assign": "assignee", "resolve": "note", "comment": "text"}
CONTACTS = "/api/auth/people/contacts"
Chosen = Annotated[str, Query(max_length=100)]


async def _asked(
    status: Chosen = "",
    dataset: Chosen = "",
    source_id: Chosen = "",
    rule_id: Chosen = "",
    mine: Chosen = "",
    unclosed: Chosen = "",
    overdue: Chosen = "",
) -> dict[str, str]:
    """The state of the list, as it stands in the address."""
    ticked = {"mine": mine, "unclosed": unclosed, "overdue": overdue}
    return {
        "status": status,
        "dataset": dataset,
        "source_id": source_id,
        "rule_id": rule_id,
        **{name: "yes" if value else "" for name, value in ticked.items()},
    }


Asked = Annotated[dict[str, str], Depends(_asked)]


@router.get("/orders")
async def orders(
    desk: AtDesk, query: Asked, cursor: Annotated[str, Query(max_length=1000)] = ""
) -> HTMLResponse:
    found = await desk.get("workorder", API, **query, cursor=cursor, limit=desk.settings.page_rows)
    known = await desk.people_of(one["assignee"] for one in (found.data or {}).get("items", []))
    return desk.page("order/list.html", found=found, query=query, cursor=cursor, known=known)


@router.get("/orders.csv")
async def orders_file(desk: AtDesk, query: Asked) -> Response:
    return await export(desk, "workorder", API, query, _columns(desk.names), "质量工单", "工单")


def _columns(names: Names) -> Columns:
    return {
        "问题": lambda one: one["rule_title"],
        "规则": lambda one: one["rule_id"],
        "字段": lambda one: names.field(one["dataset"], one["field"]),
        "级别": lambda one: state(one["severity"], "severity"),
        "数据集": lambda one: names.dataset(one["dataset"]),
        "来源": lambda one: one["source_id"],
        "机构": lambda one: one["organisation"],
        "状态": lambda one: state(one["status"], "order"),
        "不符合行数": lambda one: one["failed_rows"],
        "检查行数": lambda one: one["checked_rows"],
        "复发次数": lambda one: one["recurrences"],
        "负责人": lambda one: plain(person(one["assignee"])),
        "期限": lambda one: exact(one["due_at"]),
        "更新": lambda one: exact(one["updated_at"]),
    }


@router.get("/orders/{order_id}")
async def order(order_id: UUID, desk: AtDesk) -> HTMLResponse:
    return await _order(desk, order_id, Form(), "", Reply())


@router.post("/orders/{order_id}/take")
async def take(order_id: UUID, desk: AtDesk) -> Response:
    await desk.form()
    reply = await desk.post("workorder", f"{API}/{order_id}/take", {})
    return (
        await _order(desk, order_id, Form(), "take", reply)
        if reply.trouble
        else _done(desk, order_id, "take")
    )


@router.post("/orders/{order_id}/{action}")
async def act(order_id: UUID, action: Literal["assign", "resolve", "comment"], desk: AtDesk) -> Response:
    form = await desk.form()
    name = FIELDS[action]
    reply = await desk.post("workorder", f"{API}/{order_id}/{action}", {name: form.get(name)})
    if reply.trouble:
        return await _order(desk, order_id, form, action, reply)
    return _done(desk, order_id, action)


def _done(desk: Desk, order_id: UUID, action: str) -> Response:
    return desk.go(f"/orders/{order_id}?done={action}")


async def _order(desk: Desk, order_id: UUID, form: Form, action: str, refusal: Reply) -> HTMLResponse:
    asked = [desk.get("workorder", f"{API}/{order_id}")]
    if desk.could("person", "choose"):
        asked.append(desk.get("auth", CONTACTS, limit=200))
    found, *more = await desk.side_by_side(*asked)
    if found.trouble:
        return desk.trouble_page(found, "工单")
    rights = await desk.rights(found.data["dataset"], found.data["source_id"])
    contacts = await _contacts(desk, found.data, more[0]) if more else []
    known = {one["id"]: one["name"] for one in contacts}
    return desk.page(
        "order/show.html",
        status=refusal.status,
        order=found.data,
        offered=found.data["actions"],  # what this person can do now, as the service sees it
        batches=[
            one for one in (found.data["batch_id"], found.data["closed_by_batch"]) if one and is_id(one)
        ],
        people=_people(found.data, contacts, rights.facts),
        may=rights,
        known=known | await desk.people_of(one for one in _named(found.data) if one not in known),
        form=form,
        refused_action=action,
        trouble=refusal.trouble,
    )


async def _contacts(desk: Desk, order: dict[str, Any], asked: Reply) -> list[dict[str, Any]]:
    """Whom an order can be assigned to; of more than one page, those of its own organisation at least."""
    found: list[dict[str, Any]] = asked.data["items"] if asked.data else []
    if asked.data and asked.data["next"]:
        own = await desk.get("auth", CONTACTS, organisation=order["organisation"], limit=200)
        found = [*(own.data["items"] if own.data else []), *found]
    return found


def _people(order: dict[str, Any], contacts: list[dict[str, Any]], facts: Facts) -> list[dict[str, Any]]:
    """The choices of the form: who may work on this order (the policy says), those of its organisation first."""
    now = replace(facts, contact=order["contact"])
    people = {one["id"]: one for one in contacts if may(_subject(one), "order", "resolve", now)}
    contact = order["contact"]
    if (
        contact and contact not in people and not contact.startswith("person:")
    ):  # a program is in no list of people
        people[contact] = {"id": contact, "name": plain(person(contact)), "organisation": None}
    return sorted(
        people.values(), key=lambda one: (one["organisation"] != order["organisation"], one["name"])
    )


def _subject(one: dict[str, Any]) -> Subject:
    return Subject(
        id=one["id"],
        kind="person",
        name=one["name"],
        roles=frozenset(one["roles"]),
        organisation=one["organisation"],
    )


def _named(order: dict[str, Any]) -> list[str | None]:
    """The ids of those an order's page speaks of."""
    said = [name for entry in order["history"] for name in named_in(entry["note"])]
    return [order["contact"], order["assignee"], *(entry["by"] for entry in order["history"]), *said]
