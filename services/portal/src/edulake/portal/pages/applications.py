"""`/applications`: what I asked for, and what waits for my decision."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from edulake.portal.clients.reply import Reply
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.forms import Form
from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/catalog/applications"
Cursor = Annotated[str, Query(max_length=1000)]


@router.get("/applications")
async def mine(desk: AtDesk, cursor: Cursor = "") -> HTMLResponse:
    return await _mine(desk, cursor, Reply())


@router.post("/applications/{application_id}/withdraw")
async def withdraw(application_id: UUID, desk: AtDesk) -> Response:
    await desk.form()
    reply = await desk.post("catalog", f"{API}/{application_id}/withdraw", {})
    return await _mine(desk, "", reply) if reply.trouble else desk.go("/applications?done=withdrawn")


@router.get("/applications/todo")
async def todo(desk: AtDesk, one: UUID | None = None, cursor: Cursor = "") -> HTMLResponse:
    return await _todo(desk, cursor, str(one or ""), Form(), Reply())


@router.post("/applications/{application_id}/decision")
async def decide(application_id: UUID, desk: AtDesk) -> Response:
    form = await desk.form()
    decision = form.get("decision")
    wanted = {"decision": decision, "reason": form.get("reason"), **_terms(form, decision)}
    reply = await desk.post("catalog", f"{API}/{application_id}/decisions", wanted)
    if reply.trouble:
        return await _todo(desk, "", str(application_id), form, reply)
    return desk.go(f"/applications/todo?done={decision}")


def _terms(form: Form, decision: str) -> dict[str, Any]:
    """What an approval states of the terms; an empty quota leaves it to the settings, an empty list of networks
    means any: what was asked for stands in the box beforehand."""
    if decision != "approve":
        return {}
    said = form.only(("rate_per_s", "day_quota", "mask_level"))
    terms: dict[str, Any] = {name: value.strip() for name, value in said.items() if value.strip()}
    return {**terms, "ip_allow": form.lines("ip_allow")} if form.has("ip_allow") else terms


async def _mine(desk: Desk, cursor: str, refusal: Reply) -> HTMLResponse:
    found = await desk.get("catalog", API, cursor=cursor, limit=desk.settings.page_rows)
    return desk.page(
        "application/mine.html", status=refusal.status, found=found, trouble=refusal.trouble, cursor=cursor
    )


async def _todo(desk: Desk, cursor: str, chosen: str, form: Form, refusal: Reply) -> HTMLResponse:
    """What waits, and beside it the pack of the chosen application, else of the oldest; `form` as typed."""
    waiting = desk.get("catalog", API, todo="true", cursor=cursor, limit=desk.settings.page_rows)
    if chosen:
        found, (pack, sample) = await asyncio.gather(waiting, _pack(desk, chosen))
    else:
        found = await waiting
        chosen = found.data["items"][0]["id"] if found.data and found.data["items"] else ""
        pack, sample = await _pack(desk, chosen) if chosen else (Reply(), Reply())
    return desk.page(
        "application/todo.html",
        status=refusal.status,
        found=found,
        chosen=chosen,
        pack=pack,
        sample=sample,
        form=form,
        trouble=refusal.trouble,
        cursor=cursor,
    )


async def _pack(desk: Desk, application_id: str) -> tuple[Reply, Reply]:
    """The decision pack, and made-up rows as the applicant would see them; the page stands without those."""
    pack = await desk.get("catalog", f"{API}/{application_id}/pack")
    if pack.trouble:
        return pack, Reply()
    resource_id = pack.data["application"]["resource_id"]
    return pack, await desk.get("catalog", f"/api/catalog/resources/{resource_id}/sample")
