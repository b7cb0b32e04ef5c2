"""Registered sources and their history."""

from typing import Annotated

from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject, require
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.service import Res
from edulake.ingest.source import repository, service
from edulake.ingest.source.schemas import RevisionOut, SourceIn, SourceNew, SourceOut
from fastapi import APIRouter, Response

router = APIRouter(prefix="/api/ingest/sources", tags=["sources"])
Steward = Annotated[Subject, require("steward")]
Reader = Annotated[Subject, require("source_contact", *service.OVERSEERS)]


@router.post("", status_code=201, summary="登记来源；相同内容重复登记不改变什么")
async def register(
    wanted: SourceNew, steward: Steward, session: Session, resources: Res, response: Response
) -> SourceOut:
    service.check(wanted, resources.standards)
    source, created = await service.register(session, wanted.id, wanted, steward)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"{router.prefix}/{source.id}"
    return SourceOut.model_validate(source)


@router.get("", summary="来源列表；联系人只看到自己的来源")
async def list_sources(
    reader: Reader, session: ReadSession, resources: Res, cursor: Cursor = None, limit: Limit = 50
) -> Page[SourceOut]:
    key = resources.settings.internal_key
    after = decode_cursor(cursor, key, str)[0] if cursor else None
    rows = await repository.list_after(
        session, contact=service.contact_filter(reader), after=after, limit=limit + 1
    )
    page = page_of(rows, limit, lambda row: [row.id], key)
    return Page(items=[SourceOut.model_validate(row) for row in page.items], next=page.next)


@router.get("/{source}", summary="一个来源")
async def get_source(source: str, reader: Reader, session: ReadSession) -> SourceOut:
    found = await service.get(session, source)
    if not service.may_see(reader, found.contact):
        service.refuse_strangers(reader, found.contact)
    return SourceOut.model_validate(found)


@router.put("/{source}", summary="更新来源；以前的登记保留在历史里")
async def replace(
    source: str, wanted: SourceIn, steward: Steward, session: Session, resources: Res
) -> SourceOut:
    service.check(wanted, resources.standards)
    return SourceOut.model_validate(await service.replace(session, source, wanted, steward))


@router.get("/{source}/history", summary="来源登记和映射的历史，新的在前")
async def history(
    source: str, _steward: Steward, session: ReadSession, limit: Limit = 50
) -> list[RevisionOut]:
    await service.get(session, source)
    return [RevisionOut.model_validate(row) for row in await repository.revisions(session, source, limit)]
