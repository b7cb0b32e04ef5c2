"""`/apps`: the programs a person answers for, their credentials and what they may call."""

from typing import Annotated, Any
from uuid import UUID

from edulake.portal.clients.reply import Reply
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.forms import Form
from fastapi import APIRouter, Path, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
API = "/api/auth/apps"
CLIENTS = "/api/auth/clients"
ClientId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]


@router.get("/apps")
async def mine(desk: AtDesk) -> HTMLResponse:
    return await _mine(desk, Form(), Reply())


@router.post("/apps")
async def register(desk: AtDesk) -> HTMLResponse:
    """Register an application. Its secret is on this one answer and nowhere else, so no redirect."""
    form = await desk.form()
    return await _mine(desk, form, await desk.post("auth", API, {"name": form.get("name")}))


@router.post("/apps/{client_id}/secrets")
async def rotate(client_id: ClientId, desk: AtDesk) -> HTMLResponse:
    """A new secret, on this one answer and nowhere else; those before work on until the overlap has ended."""
    await desk.form()
    return await _mine(desk, Form(), await desk.post("auth", f"{CLIENTS}/{client_id}/secrets", {}), client_id)


@router.post("/apps/{client_id}/secrets/{secret_id}/retire")
async def retire(client_id: ClientId, secret_id: UUID, desk: AtDesk) -> Response:
    """End one secret now."""
    await desk.form()
    reply = await desk.change("DELETE", "auth", f"{CLIENTS}/{client_id}/secrets/{secret_id}")
    return (
        await _mine(desk, Form(), reply, client_id) if reply.trouble else desk.go("/apps?done=retire-secret")
    )


async def _mine(desk: Desk, form: Form, made: Reply, client_id: str = "") -> HTMLResponse:
    """All apps; `made` is what was made or refused, of the app `client_id` or (none) of a new one."""
    found, held = await desk.side_by_side(
        desk.get("auth", API, limit=200),
        desk.get("catalog", "/api/catalog/grants", status="active", usage="true", limit=200),
    )
    by_app: dict[str, list[dict[str, Any]]] = {}
    for grant in held.data["items"] if held.data else []:
        by_app.setdefault(grant["client_id"], []).append(grant)
    return desk.page(
        "app/mine.html",
        status=made.status,
        found=found,
        grants=by_app,
        silent=held.trouble,
        made=made.data,
        form=form if made.trouble else Form(),
        trouble=made.trouble,
        of_app=client_id,
        base=desk.settings.issuer,
    )
