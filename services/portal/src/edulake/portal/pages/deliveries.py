"""`/batches/deliver`: a file from a person's desk into the lake, passed on while it arrives."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
from edulake.portal.clients.reply import Reply, Trouble
from edulake.portal.desk import AtDesk, Desk
from edulake.portal.forms import Form
from edulake.portal.rendering import HEADERS
from edulake.portal.session import require_token
from edulake.portal.upload import Onward, Upload
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import HTMLResponse

router = APIRouter()
SOURCES = "/api/ingest/sources"
TARGET = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})/([a-z][a-z0-9_]{0,62})")
#: Where ingest says the fault is → the field of this form; all else that it says of a file is the file's.
FIELDS = {"form.period": "period", "path.dataset": "target", "path.source": "target"}
ABOUT_THE_FORM = (400, 404, 408, 413, 415, 422)


@dataclass(frozen=True)
class Choice:
    """A source and a dataset it may deliver; `value` is what the form sends."""

    source: str
    source_title: str
    dataset: str

    @property
    def value(self) -> str:
        return f"{self.source}/{self.dataset}"


@router.get("/batches/deliver")
async def form(desk: AtDesk, to: Annotated[str, Query(max_length=130)] = "") -> HTMLResponse:
    return await _form(desk, Form({"target": [to]}), None)


@router.post("/batches/deliver")
async def deliver(desk: AtDesk) -> Response:
    upload = Upload(desk.request)
    await upload.read_fields()
    require_token(desk.visit, upload.fields.get("csrf", ""))
    typed = Form({name: [value] for name, value in upload.fields.items()})
    found = TARGET.fullmatch(typed.get("target"))
    missing = _missing(typed, upload, known=bool(found))
    if missing or not found:
        await upload.skip()
        return await _form(
            desk, typed, Trouble(422, "还不能报送", f"请补全下面 {len(missing)} 处。", fields=missing)
        )
    reply = await _pass_on(desk, upload, typed.get("period").strip(), *found.groups())
    if reply.trouble:
        return await _form(desk, typed, _beside_the_fields(reply.trouble))
    page = f"/batches/{reply.data['batch_id']}"
    if reply.data["status"] == "unconfirmed":  # its page asks
        return desk.go(page)
    return desk.go(f"{page}?done={'delivered' if reply.code == 202 else 'repeated'}")


def _missing(typed: Form, upload: Upload, *, known: bool) -> dict[str, str]:
    wrong = {
        "target": "" if known else "请选择来源和数据集",
        "period": "" if typed.get("period").strip() else "请填写期次，如 2026 或 2026-1",
        "file": "" if upload.filename else "请选择要报送的文件",
    }
    return {name: words for name, words in wrong.items() if words}


async def _pass_on(desk: Desk, upload: Upload, period: str, source: str, dataset: str) -> Reply:
    onward = Onward(upload, period)
    wait_s = desk.settings.upload_wait_s
    return await desk.send(
        "ingest",
        f"{SOURCES}/{source}/datasets/{dataset}/deliveries",
        content=onward,
        headers={"content-type": onward.content_type},
        timeout=httpx.Timeout(desk.settings.page_timeout_s, read=wait_s, write=wait_s),
    )


def _beside_the_fields(trouble: Trouble) -> Trouble:
    """The service's refusal with its words beside the field they are about."""
    if trouble.status not in ABOUT_THE_FORM:
        return trouble
    name = FIELDS.get(trouble.where, "file")
    words = "。".join(part.rstrip("。") for part in (trouble.detail, trouble.mend) if part)
    return Trouble(trouble.status, trouble.title, "文件没有入湖，请改正后重新报送。", fields={name: words})


async def _form(desk: Desk, typed: Form, trouble: Trouble | None) -> HTMLResponse:
    found = await desk.get("ingest", SOURCES, limit=200)
    choices = _choices(found.data["items"]) if found.data else []
    return desk.page(
        "batch/deliver.html",
        status=trouble.status if trouble else 200,
        found=found,
        choices=choices,
        form=typed,
        trouble=trouble,
    )


def _choices(sources: list[dict[str, Any]]) -> list[Choice]:
    return [
        Choice(source["id"], source["title"], dataset)
        for source in sources
        if source["status"] == "active"
        for dataset in source["datasets"]
    ]


@router.get("/batches/template/{dataset}.csv")
async def template(
    dataset: Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")], desk: AtDesk
) -> Response:
    """An empty file with the dataset's own headers."""
    answer = await desk.fetch("governance", f"/api/governance/datasets/{dataset}/template.csv")
    if isinstance(answer, Reply):
        return desk.trouble_page(answer, "模板")
    named = {"Content-Disposition": f'attachment; filename="{dataset}.csv"'}
    return Response(answer, media_type="text/csv; charset=utf-8", headers={**HEADERS, **named})
