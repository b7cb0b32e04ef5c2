"""Reading and working on orders."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from edulake.common.clock import now
from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject, authenticated, require
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.service import Res
from edulake.workorder.order import repository, service
from edulake.workorder.order.schemas import AssignIn, CommentIn, NoteIn, OrderDetail, OrderOut, Summary
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/workorder", tags=["orders"])
Caller = Annotated[Subject, authenticated()]
Assigner = Annotated[Subject, require("steward", "owner")]
Worker = Annotated[Subject, require("steward", "owner", "source_contact")]
Chosen = Annotated[str | None, Query(max_length=100)]


@router.get("/orders", summary="工单列表")
async def list_orders(
    caller: Caller,
    session: ReadSession,
    resources: Res,
    status: Literal["open", "assigned", "resolved", "closed"] | None = None,
    source_id: Chosen = None,
    dataset: Chosen = None,
    rule_id: Chosen = None,
    mine: bool = False,
    unclosed: bool = False,
    overdue: bool = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[OrderOut]:
    key = resources.settings.internal_key
    after = None
    if cursor:
        moment, last = decode_cursor(cursor, key, datetime.fromisoformat, UUID)
        after = (moment, last)
    asked = {"status": status, "source_id": source_id, "dataset": dataset, "rule_id": rule_id}
    rows = await repository.list_after(
        session,
        seen_by=service.names_of(caller) if mine or not caller.has(*service.OVERSEERS) else None,
        unclosed=unclosed,
        late_at=now() if overdue else None,
        chosen={name: value for name, value in asked.items() if value},
        after=after,
        limit=limit + 1,
    )
    page = page_of(rows, limit, lambda row: [row.updated_at.isoformat(), str(row.id)], key)
    return Page(items=[OrderOut.model_validate(row) for row in page.items], next=page.next)


@router.get("/orders/{order_id}", summary="一张工单及其经过")
async def get_order(order_id: UUID, caller: Caller, session: ReadSession) -> OrderDetail:
    return await service.get(session, order_id, caller)


@router.post("/orders/{order_id}/assign", summary="分派")
async def assign(order_id: UUID, wanted: AssignIn, caller: Assigner, session: Session) -> OrderDetail:
    note = f"分派给 {wanted.assignee}"
    return await service.act(session, order_id, "assign", caller, note, wanted.assignee)


@router.post("/orders/{order_id}/take", summary="认领：由自己处理")
async def take(order_id: UUID, caller: Worker, session: Session) -> OrderDetail:
    return await service.act(session, order_id, "take", caller, "", caller.id)


@router.post(
    "/orders/{order_id}/resolve", summary="报告已处理，等待下一批数据验证；联系人可直接报告自己的工单"
)
async def resolve(order_id: UUID, wanted: NoteIn, caller: Worker, session: Session) -> OrderDetail:
    return await service.act(session, order_id, "resolve", caller, wanted.note)


@router.post("/orders/{order_id}/comment", summary="留言")
async def comment(order_id: UUID, wanted: CommentIn, caller: Worker, session: Session) -> OrderDetail:
    return await service.act(session, order_id, "comment", caller, wanted.text)


@router.get("/summary", summary="工单概况")
async def summary(_caller: Caller, session: ReadSession) -> Summary:
    return Summary.model_validate(await repository.summary(session, now()))
