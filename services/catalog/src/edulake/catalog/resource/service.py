"""From a published dataset to what people find."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from edulake.catalog.favourite.repository import follows
from edulake.catalog.models import Resource
from edulake.catalog.resource import repository
from edulake.catalog.resource.repository import Question
from edulake.catalog.resource.schemas import ResourceDetail, ResourceSummary, SearchResult
from edulake.catalog.resource.words import pieces_of, plain
from edulake.common.errors import NotFound
from edulake.common.events import PublishedDatasetUpdated
from edulake.common.paging import BadCursor, decode_cursor, page_of
from edulake.common.standards import ApiDefinition, Contract, FieldContract, Standards
from sqlalchemy.ext.asyncio import AsyncSession

#: 分类码 of the guide: 3 = 部门类; 07 is our own number for education until the city gives one.
CLASS_CODE = "307"
#: The order of what is found by pieces; nobody asks for it by name.
CLOSEST = "closest"
#: 数据类型 of the guide.
ITEM_TYPES = {"string": "C", "code": "C", "integer": "I", "decimal": "N", "date": "D", "boolean": "L"}


async def list_published(session: AsyncSession, facts: PublishedDatasetUpdated, standards: Standards) -> None:
    """Bring the dataset and every API over it into the catalogue, or up to date."""
    contract = standards.datasets.get(facts.dataset)
    if contract is None:
        return
    apis = [api for api in standards.apis.values() if api.dataset == facts.dataset]
    own = f"dataset:{contract.name}"
    related = [f"api:{api.name}" for api in apis]
    await repository.upsert(session, await _facts(session, own, contract, facts, None, related))
    for api in apis:
        await repository.upsert(
            session, await _facts(session, f"api:{api.name}", contract, facts, api, [own])
        )


async def _facts(
    session: AsyncSession,
    resource_id: str,
    contract: Contract,
    facts: PublishedDatasetUpdated,
    api: ApiDefinition | None,
    related: list[str],
) -> dict[str, Any]:
    known = await repository.find(session, resource_id)
    code = known.code if known else f"{CLASS_CODE}/{await repository.next_serial(session):06d}"
    kind = "api" if api else "dataset"
    title = api.title if api else contract.title
    summary = (api.summary if api else contract.summary)[:256]
    wanted = set(api.columns) if api else None
    items = [
        {
            "name": field.name,
            "title": field.title,
            "type": ITEM_TYPES[field.type],
            "level": field.level,
            "description": field.description,
        }
        for field in contract.fields
        if field.protect.share != "drop" and (wanted is None or field.name in wanted)
    ]
    words = [title, summary, contract.title, contract.theme, contract.domain, resource_id]
    words += [contract.owner.organisation, code]
    words += [str(item[part]) for item in items for part in ("title", "name")]
    return {
        "id": resource_id,
        "code": code,
        "kind": kind,
        "name": api.name if api else contract.name,
        "dataset": contract.name,
        "title": title,
        "summary": summary,
        "domain": contract.domain,
        "theme": contract.theme,
        "organisation": contract.owner.organisation,
        "contact": contract.owner.contact,
        "share_type": contract.share_type,
        "share_condition": contract.share_condition,
        "share_way": "调用在线服务" if api else "联机查询",
        "open_type": contract.open_type,
        "update_cycle": contract.update_cycle,
        "level": max(api.level, facts.level) if api else facts.level,
        "items": items,
        "related": related,
        "published_version": facts.version,
        "row_count": facts.row_count,
        "content_digest": facts.content_digest,
        "first_published_at": facts.published_at,
        "published_at": facts.published_at,
        "search_text": plain(" ".join(words)),
    }


async def search(
    session: AsyncSession, asked: Question, sort: str, cursor: str | None, limit: int, key: bytes
) -> SearchResult:
    """One page with counts by facet; BadCursor when the cursor belongs to another order.

    Words that nothing holds, whatever is chosen, are looked for by their pieces, the closest first.
    """
    everywhere = replace(asked, chosen={}, followed_only=False)
    if asked.words and not await repository.count(session, everywhere):
        asked = replace(asked, pieces=pieces_of(asked.words))
        sort = CLOSEST if asked.pieces else sort
    rows = await repository.search(session, asked, sort, _place(cursor, sort, key), limit + 1)
    page = page_of(rows, limit, lambda row: [sort, row[2], row[0].id], key)
    items = []
    for row, is_followed, _ in page.items:
        item = ResourceSummary.model_validate(row)
        item.favourite = is_followed
        items.append(item)
    total = await repository.count(session, asked)
    return SearchResult(
        items=items,
        next=page.next,
        approximate=bool(asked.pieces and total),
        total=total,
        facets=await repository.count_facets(session, asked),
        favourites=await repository.count(session, replace(asked, followed_only=True)),
    )


def _place(cursor: str | None, sort: str, key: bytes) -> tuple[Any, str] | None:
    if not cursor:
        return None
    ordered, value, last = decode_cursor(
        cursor, key, str, datetime.fromisoformat if sort == "newest" else int, str
    )
    if ordered != sort:
        raise BadCursor(
            "游标属于另一种排序或列表", "the cursor is of another order or list", where="query.cursor"
        )
    return value, last


async def get(session: AsyncSession, resource_id: str) -> Resource:
    """The resource; NotFound when nothing was published under this id."""
    found = await repository.find(session, resource_id)
    if found is None:
        raise NotFound(
            f"目录中没有资源 {resource_id}",
            f"no resource {resource_id} in the catalogue",
            mend_zh="资源在首次发布后进入目录",
            mend_en="a resource appears with its first publication",
            where="path.resource_id",
        )
    return found


def approvals_for(level: int, standards: Standards) -> list[str]:
    """Roles that must approve, in order: the grading scheme's; a person decides even where it names none."""
    return list(standards.grading.level(level).approvals) or ["owner"]


async def detail(
    session: AsyncSession, resource_id: str, standards: Standards, subject: str
) -> ResourceDetail:
    row = await get(session, resource_id)
    api = standards.apis.get(row.name) if row.kind == "api" else None
    facts = {name: getattr(row, name) for name in ResourceDetail.model_fields if hasattr(row, name)}
    facts["items"] = _protected(row, standards)
    return ResourceDetail(
        **facts,
        favourite=await follows(session, subject, resource_id),
        approvals=approvals_for(row.level, standards),
        columns=list(api.columns) if api else [],
    )


def _protected(row: Resource, standards: Standards) -> list[dict[str, Any]]:
    """The items with what the contract says today of their class, code table and masks."""
    contract = standards.datasets.get(row.dataset)
    known = {field.name: field for field in contract.fields} if contract else {}
    return [{**item, **_protection(known.get(str(item["name"])))} for item in row.items]


def _protection(field: FieldContract | None) -> dict[str, Any]:
    """A field that left the contract is shown as hidden: what is not declared is not served."""
    if field is None:
        return {"category": "", "code_table": None, "share": "hide", "minor": None, "identifies": "none"}
    return {
        "category": field.category,
        "code_table": field.code_table,
        "share": field.protect.share,
        "minor": field.protect.minor,
        "identifies": field.identifies,
    }
