"""Deliveries in, batches out."""

from typing import Annotated, Any
from uuid import UUID

from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from edulake.ingest.batch import repository, service
from edulake.ingest.batch.confirmation import confirm, refresh
from edulake.ingest.batch.delivery import admit, deliver, settings_of
from edulake.ingest.batch.filename import opened
from edulake.ingest.batch.keys import KEY_MAX
from edulake.ingest.batch.landing import Landed
from edulake.ingest.batch.receive import receive_file, receive_rows
from edulake.ingest.batch.replacing import Figures
from edulake.ingest.batch.schemas import BatchOut, Status, SummaryOut, shown
from edulake.ingest.models import Batch
from edulake.ingest.source.service import deciding_in
from fastapi import APIRouter, Query, Request, Response

router = APIRouter(prefix="/api/ingest", tags=["batches"])
Deliverer = Annotated[Subject, allow("source", "deliver")]
Confirmer = Annotated[Subject, allow("batch", "confirm")]
Withdrawer = Annotated[Subject, allow("batch", "withdraw")]
Reader = Annotated[Subject, allow("batch", "read")]
Choice = Annotated[str | None, Query(max_length=63)]
_TARGET = "/sources/{source}/datasets/{dataset}"


_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "来源为这份报送起的名字：同键同内容返回原批次，同键异内容 422；不给则按内容判断是否重复",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX},
}


def _body(media_type: str, properties: dict[str, Any]) -> dict[str, Any]:
    """The request body for the OpenAPI document; the body itself is read as a stream."""
    schema = {"type": "object", "required": list(properties), "properties": properties}
    body = {"required": True, "content": {media_type: {"schema": schema}}}
    return {"requestBody": body, "parameters": [_KEY]}


_PERIOD = {"type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$", "example": "2024"}
_FILE_BODY = _body("multipart/form-data", {"file": {"type": "string", "format": "binary"}, "period": _PERIOD})
_FILE_BODY["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["confirm_rows"] = {
    "type": "integer",
    "minimum": 1,
    "description": "本文件的行数：与读出的不同则 422；相同则不再询问行数变化",
}
_ROWS_BODY = _body(
    "application/json",
    {"period": _PERIOD, "rows": {"type": "array", "items": {"type": "object"}, "minItems": 1}},
)


@router.post(
    _TARGET + "/deliveries",
    status_code=202,
    response_model=BatchOut,
    summary="报送一个文件（CSV、XLSX、JSONL）；原批次仍有效时再报送同一文件返回原批次（200）",
    openapi_extra=_FILE_BODY,
)
async def deliver_file(
    source: str, dataset: str, request: Request, caller: Deliverer, resources: Res, response: Response
) -> BatchOut:
    to = await admit(resources, caller, source, dataset)
    return _answer(await deliver(resources, request, caller, to, receive_file), resources, response)


@router.post(
    _TARGET + "/rows",
    status_code=202,
    response_model=BatchOut,
    summary="推送若干行 JSON，追加到该来源同期已报的数据；原批次仍有效时再推送相同内容返回原批次（200）",
    openapi_extra=_ROWS_BODY,
)
async def push_rows(
    source: str, dataset: str, request: Request, caller: Deliverer, resources: Res, response: Response
) -> BatchOut:
    to = await admit(resources, caller, source, dataset)
    return _answer(await deliver(resources, request, caller, to, receive_rows), resources, response)


def _answer(landed: Landed, resources: Res, response: Response) -> BatchOut:
    response.status_code = 202 if landed.is_new else 200
    response.headers["Location"] = f"{router.prefix}/batches/{landed.batch.batch_id}"
    return _shown(landed.batch, resources, is_told=True)


def _shown(batch: Batch, resources: Res, *, is_told: bool) -> BatchOut:
    """`is_told`: whether the reader may know the name the file came with."""
    name = opened(resources.keys.ring("seal"), batch) if is_told else batch.filename
    return shown(batch, settings_of(resources), name)


@router.get("/batches", summary="批次列表，新的在前；联系人只看到自己来源的批次，责任人看到其数据集的批次")
async def list_batches(
    reader: Reader,
    session: ReadSession,
    resources: Res,
    dataset: Choice = None,
    source: Choice = None,
    status: Status | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[BatchOut]:
    key = resources.settings.internal_key
    chosen = {"dataset": dataset, "source_id": source, "status": status}
    deciding = deciding_in(session, resources.standards)
    rows = await repository.list_before(
        session,
        scope=await deciding.scope(reader, "batch"),
        filters={name: value for name, value in chosen.items() if value is not None},
        before=UUID(decode_cursor(cursor, key, str)[0]) if cursor else None,
        limit=limit + 1,
    )
    page = page_of(rows, limit, lambda row: [str(row.batch_id)], key)
    for row in page.items:
        await refresh(session, resources, row)
    told = await deciding.scope(reader, "batch.filename")
    items = [_shown(row, resources, is_told=told.holds(row.dataset, row.source_id)) for row in page.items]
    return Page(items=items, next=page.next)


@router.get("/batches/{batch_id}", summary="一个批次的状态与结果")
async def get_batch(batch_id: UUID, reader: Reader, session: ReadSession, resources: Res) -> BatchOut:
    batch = await service.get(session, batch_id, reader, resources.standards)
    await refresh(session, resources, batch)
    told = await deciding_in(session, resources.standards).scope(reader, "batch.filename")
    return _shown(batch, resources, is_told=told.holds(batch.dataset, batch.source_id))


@router.post(
    "/batches/{batch_id}/confirm", summary="确认将替代的数据：重复所见的数字（replaces），批次随即入湖"
)
async def confirm_batch(batch_id: UUID, wanted: Figures, caller: Confirmer, resources: Res) -> BatchOut:
    return _shown(await confirm(resources, batch_id, caller, wanted), resources, is_told=True)


@router.post("/batches/{batch_id}/withdraw", summary="在治理之前撤回批次，也用于等待确认的批次")
async def withdraw(batch_id: UUID, caller: Withdrawer, session: Session, resources: Res) -> BatchOut:
    batch = await service.withdraw(session, batch_id, caller, resources.standards)
    return _shown(batch, resources, is_told=True)


@router.get("/summary", summary="归集总览", dependencies=[allow("overview", "read")])
async def summary(session: ReadSession) -> SummaryOut:
    return SummaryOut.model_validate(await repository.summary(session))
