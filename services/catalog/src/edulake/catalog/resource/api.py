"""Searching and reading the catalogue; any known caller may."""

from typing import Annotated, Literal

from edulake.catalog.resource import repository, service
from edulake.catalog.resource.repository import Question
from edulake.catalog.resource.schemas import ResourceDetail, SearchResult, Summary
from edulake.catalog.resource.words import words_of
from edulake.common.db import ReadSession
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit
from edulake.common.policy import allow
from edulake.common.service import Res
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/catalog", tags=["resources"])
Caller = Annotated[Subject, allow("resource", "read")]
Sort = Literal["newest", "rows", "used"]
Facet = Annotated[str | None, Query(max_length=100)]


@router.get("/resources", summary="检索资源")
async def search(
    caller: Caller,
    session: ReadSession,
    resources: Res,
    q: Annotated[
        str, Query(max_length=100, description="关键词，以空格或标点分隔，可为部分文字、字段名或资源代码")
    ] = "",
    kind: Facet = None,
    theme: Facet = None,
    organisation: Facet = None,
    share_type: Facet = None,
    share_way: Facet = None,
    open_type: Facet = None,
    level: Annotated[int | None, Query(ge=1, le=5)] = None,
    favourite: Annotated[bool, Query(description="只看我关注的")] = False,
    sort: Annotated[Sort, Query(description="newest 最近更新，rows 行数最多，used 授权最多")] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> SearchResult:
    choices: dict[str, str | int | None] = {
        "kind": kind,
        "theme": theme,
        "organisation": organisation,
        "share_type": share_type,
        "share_way": share_way,
        "open_type": open_type,
        "level": level,
    }
    chosen = {name: value for name, value in choices.items() if value not in (None, "")}
    asked = Question(words_of(q), chosen, caller.id, favourite)
    return await service.search(session, asked, sort, cursor, limit, resources.settings.internal_key)


@router.get("/resources/{resource_id}", summary="资源详情")
async def detail(resource_id: str, caller: Caller, session: ReadSession, resources: Res) -> ResourceDetail:
    return await service.detail(session, resource_id, resources.standards, caller.id)


@router.get("/summary", dependencies=[allow("overview", "read")], summary="目录概况")
async def summary(session: ReadSession) -> Summary:
    return Summary(**await repository.summary(session))
