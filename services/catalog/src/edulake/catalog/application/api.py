"""Applying, reading and deciding."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from edulake.catalog.application import repository, service
from edulake.catalog.application.access import turn_of
from edulake.catalog.application.pack import Pack
from edulake.catalog.application.schemas import ApplicationIn, ApplicationOut, DecisionIn
from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from fastapi import APIRouter

router = APIRouter(prefix="/api/catalog/applications", tags=["applications"])
Reader = Annotated[Subject, allow("application", "read")]
Applicant = Annotated[Subject, allow("application", "make")]
Weigher = Annotated[Subject, allow("application", "weigh")]
Decider = Annotated[Subject, allow("application", "decide")]
Withdrawer = Annotated[Subject, allow("application", "withdraw")]


@router.post("", status_code=201, summary="提出申请")
async def apply(wanted: ApplicationIn, caller: Applicant, session: Session, resources: Res) -> ApplicationOut:
    return await service.apply(session, wanted, caller, resources)


@router.get("", summary="我的申请；todo=true 时为我现在可以审批的")
async def list_applications(
    caller: Reader,
    session: ReadSession,
    resources: Res,
    todo: bool = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ApplicationOut]:
    key = resources.settings.internal_key
    after = None
    if cursor:
        moment, last = decode_cursor(cursor, key, datetime.fromisoformat, UUID)
        after = (moment, last)
    if todo:
        rows = await repository.list_waiting(session, turn_of(caller), after=after, limit=limit + 1)
    else:
        rows = await repository.list_after(session, requested_by=caller.id, after=after, limit=limit + 1)
    page = page_of(rows, limit, lambda row: [row.created_at.isoformat(), str(row.id)], key)
    return Page(items=await service.describe(session, page.items), next=page.next)


@router.get("/{application_id}", summary="一份申请")
async def get_application(application_id: UUID, caller: Reader, session: ReadSession) -> ApplicationOut:
    return await service.get(session, application_id, caller)


@router.get("/{application_id}/pack", summary="审批所需的全部信息")
async def get_pack(application_id: UUID, caller: Weigher, session: ReadSession, resources: Res) -> Pack:
    return await service.pack(session, application_id, caller, resources.standards)


@router.post("/{application_id}/decisions", summary="审批当前环节")
async def decide(
    application_id: UUID, wanted: DecisionIn, caller: Decider, session: Session, resources: Res
) -> ApplicationOut:
    return await service.decide(session, application_id, wanted, caller, resources)


@router.post("/{application_id}/withdraw", summary="撤回申请")
async def withdraw(application_id: UUID, caller: Withdrawer, session: Session) -> ApplicationOut:
    return await service.withdraw(session, application_id, caller)
