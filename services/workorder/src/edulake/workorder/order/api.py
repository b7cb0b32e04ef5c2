"""Reading and working on orders."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from edulake.common.clock import now
from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import Decides, Deciding, allow, asking_of
from edulake.common.policy.relations import CONTACT
from edulake.common.service import Res
from edulake.workorder.order import repository, service
from edulake.workorder.order.schemas import AssignIn, CommentIn, NoteIn, OrderDetail, OrderOut, Summary
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/workorder", tags=["orders"])
Reader = Annotated[Subject, allow("order", "read")]
Assigner = Annotated[Subject, allow("order", "assign")]
Taker = Annotated[Subject, allow("order", "take")]
Resolver = Annotated[Subject, allow("order", "resolve")]
Commenter = Annotated[Subject, allow("order", "comment")]
Chosen = Annotated[str | None, Query(max_length=100)]


@router.get("/orders", summary="工单列表")
async def list_orders(
    caller: Reader,
    session: ReadSession,
    resources: Res,
    deciding: Decides,
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
        scope=await deciding.scope(caller, "order"),
        mine=await _mine(caller, deciding) if mine else None,
        unclosed=unclosed,
        late_at=now() if overdue else None,
        chosen={name: value for name, value in asked.items() if value},
        after=after,
        limit=limit + 1,
    )
    page = page_of(rows, limit, lambda row: [row.updated_at.isoformat(), str(row.id)], key)
    return Page(items=await service.described(page.items, deciding.asking), next=page.next)


async def _mine(caller: Subject, deciding: Deciding) -> repository.Mine:
    """Whose orders are the caller's: those given to them, and those of sources whose contact they are now."""
    is_contact = CONTACT.could(caller)
    return repository.Mine(
        caller.id, await deciding.asking.sources_of(caller.id) if is_contact else frozenset()
    )


@router.get("/orders/{order_id}", summary="一张工单及其经过")
async def get_order(order_id: UUID, caller: Reader, session: ReadSession, deciding: Decides) -> OrderDetail:
    return await service.get(session, order_id, caller, deciding)


@router.post("/orders/{order_id}/assign", summary="分派给可处理这张工单的人")
async def assign(
    order_id: UUID, wanted: AssignIn, caller: Assigner, session: Session, deciding: Decides, resources: Res
) -> OrderDetail:
    asking = asking_of(resources)
    return await service.assign(session, order_id, wanted.assignee, caller, deciding, asking)


@router.post("/orders/{order_id}/take", summary="认领：由自己处理")
async def take(order_id: UUID, caller: Taker, session: Session, deciding: Decides) -> OrderDetail:
    return await service.act(session, order_id, "take", caller, "", deciding, caller.id)


@router.post(
    "/orders/{order_id}/resolve", summary="报告已处理，等待下一批数据验证；联系人可直接报告自己的工单"
)
async def resolve(
    order_id: UUID, wanted: NoteIn, caller: Resolver, session: Session, deciding: Decides
) -> OrderDetail:
    return await service.act(session, order_id, "resolve", caller, wanted.note, deciding)


@router.post("/orders/{order_id}/comment", summary="留言")
async def comment(
    order_id: UUID, wanted: CommentIn, caller: Commenter, session: Session, deciding: Decides
) -> OrderDetail:
    return await service.act(session, order_id, "comment", caller, wanted.text, deciding)


@router.get("/summary", summary="工单概况", dependencies=[allow("overview", "read")])
async def summary(session: ReadSession) -> Summary:
    return Summary.model_validate(await repository.summary(session, now()))
