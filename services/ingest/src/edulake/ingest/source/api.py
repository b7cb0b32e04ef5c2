"""Registered sources and their history."""

from typing import Annotated

from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow, asking_of
from edulake.common.service import Res
from edulake.ingest.source import repository, service
from edulake.ingest.source.schemas import (
    Contacts,
    OwnSources,
    RevisionOut,
    SourceIds,
    SourceIn,
    SourceNew,
    SourceOut,
)
from fastapi import APIRouter, Query, Response

router = APIRouter(prefix="/api/ingest/sources", tags=["sources"])
internal = APIRouter(
    prefix="/internal/sources", tags=["sources"], dependencies=[allow("source.contact", "read")]
)
Reader = Annotated[Subject, allow("source", "read")]


@router.post("", status_code=201, summary="登记来源；相同内容重复登记不改变什么")
async def register(
    wanted: SourceNew,
    by: Annotated[Subject, allow("source", "register")],
    session: Session,
    resources: Res,
    response: Response,
) -> SourceOut:
    service.check(wanted, resources.standards)
    present = await repository.find(session, wanted.id)
    await service.refuse_unknown_contact(wanted, present, asking_of(resources))
    source, created = await service.register(session, wanted.id, wanted, by)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"{router.prefix}/{source.id}"
    return SourceOut.model_validate(source)


@router.get("", summary="来源列表；联系人只看到自己的来源，责任人看到报送其数据集的来源")
async def list_sources(
    reader: Reader, session: ReadSession, resources: Res, cursor: Cursor = None, limit: Limit = 50
) -> Page[SourceOut]:
    key = resources.settings.internal_key
    after = decode_cursor(cursor, key, str)[0] if cursor else None
    scope = await service.deciding_in(session, resources.standards).scope(reader, "source")
    rows = await repository.list_after(session, scope=scope, after=after, limit=limit + 1)
    page = page_of(rows, limit, lambda row: [row.id], key)
    return Page(items=[SourceOut.model_validate(row) for row in page.items], next=page.next)


@router.get("/{source}", summary="一个来源")
async def get_source(source: str, reader: Reader, session: ReadSession, resources: Res) -> SourceOut:
    found = await service.get_for(session, source, reader, "read", resources.standards)
    return SourceOut.model_validate(found)


@router.put("/{source}", summary="更新来源；以前的登记保留在历史里")
async def replace(
    source: str,
    wanted: SourceIn,
    by: Annotated[Subject, allow("source", "change")],
    session: Session,
    resources: Res,
) -> SourceOut:
    service.check(wanted, resources.standards)
    present = await service.get(session, source)
    await service.refuse_unknown_contact(wanted, present, asking_of(resources))
    return SourceOut.model_validate(await service.replace(session, source, wanted, by))


@router.get(
    "/{source}/history",
    dependencies=[allow("source.history", "read")],
    summary="来源登记和映射的历史，新的在前",
)
async def history(source: str, session: ReadSession, limit: Limit = 50) -> list[RevisionOut]:
    await service.get(session, source)
    return [RevisionOut.model_validate(row) for row in await repository.revisions(session, source, limit)]


@internal.get("", summary="某联系人此刻的来源（仅内部）")
async def of_contact(
    session: ReadSession, contact: Annotated[str, Query(min_length=1, max_length=250)]
) -> OwnSources:
    """For services that decide by who is the contact now: events carry who it was."""
    return OwnSources(ids=await repository.ids_of_contact(session, contact))


@internal.post("/contacts", summary="若干来源此刻的联系人（仅内部）")
async def contacts(asked: SourceIds, session: ReadSession) -> Contacts:
    return Contacts(contacts=await repository.contacts_of(session, asked.ids))
