"""From a published dataset to what people find."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from edulake.catalog.favourite.repository import follows
from edulake.catalog.models import Publication, Resource
from edulake.catalog.resource import repository
from edulake.catalog.resource.listing import Facts, reconcile
from edulake.catalog.resource.repository import Question
from edulake.catalog.resource.schemas import ResourceDetail, ResourceSummary, SearchResult
from edulake.catalog.resource.words import pieces_of, plain
from edulake.common.clock import now
from edulake.common.errors import Conflict, NotFound
from edulake.common.events import PublishedDatasetUpdated
from edulake.common.paging import BadCursor, decode_cursor, page_of
from edulake.common.standards import ApiDefinition, Contract, FieldContract, Standards
from sqlalchemy.ext.asyncio import AsyncSession

#: 分类码 of the guide: 3 = 部门类; 07 is our own number for education until the city gives one.
CLASS_CODE = "307"
#: What is remembered of a publication.
PUBLISHED = ("dataset", "version", "row_count", "content_digest", "level", "published_at")
#: The order of what is found by pieces; nobody asks for it by name.
CLOSEST = "closest"


async def list_published(session: AsyncSession, facts: PublishedDatasetUpdated, standards: Standards) -> None:
    """Remember what is published, and bring the dataset and every API over it into the catalogue or up to date."""
    published = {name: getattr(facts, name) for name in PUBLISHED}
    await repository.lock_listing(session)
    await repository.put_publication(session, published)
    known = await repository.resources_of(session, facts.dataset)
    changes = reconcile(standards, [Publication(**published)], {row.id: row for row in known})
    await _list(session, changes.listed)


async def follow_standards(session: AsyncSession, standards: Standards) -> list[Resource]:
    """Bring the whole catalogue to what the standards say now; the resources that were withdrawn by this."""
    await repository.lock_listing(session)
    known = {row.id: row for row in await repository.resources_of(session)}
    changes = reconcile(standards, await repository.publications(session), known)
    await _list(session, changes.listed)
    return await repository.withdraw(session, changes.withdrawn, now())


async def _list(session: AsyncSession, listed: list[Facts]) -> None:
    for facts in listed:
        known = await repository.find(session, facts["id"])
        code = known.code if known else f"{CLASS_CODE}/{await repository.next_serial(session):06d}"
        words = [facts[part] for part in ("id", "title", "summary", "theme", "domain", "organisation")]
        words += [code, *(str(item[part]) for item in facts["items"] for part in ("title", "name"))]
        own = {
            "code": code,
            "first_published_at": now(),
            "withdrawn_at": None,
            "search_text": plain(" ".join(words)),
        }
        await repository.upsert(session, {**facts, **own})


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


class ResourceWithdrawn(Conflict):
    code, title_zh, title_en = "resource-withdrawn", "资源已撤下", "The resource was withdrawn"


def contract_of(resource: Resource, standards: Standards) -> Contract:
    """The contract of its dataset; ResourceWithdrawn when the standards no longer have it."""
    contract = standards.datasets.get(resource.dataset)
    if contract is None or resource.withdrawn_at is not None:
        raise _withdrawn(resource)
    return contract


def api_of(resource: Resource, standards: Standards) -> ApiDefinition:
    """The definition of an API; ResourceWithdrawn when the standards no longer have it."""
    contract_of(resource, standards)
    api = standards.apis.get(resource.name)
    if api is None:
        raise _withdrawn(resource)
    return api


def _withdrawn(resource: Resource) -> ResourceWithdrawn:
    return ResourceWithdrawn(
        f"{resource.title} 已从共享目录撤下",
        f"{resource.id} was withdrawn from the catalogue",
        mend_zh="在资源目录中查找替代的资源",
        mend_en="look for another resource in the catalogue",
    )


def approvals_for(level: int, standards: Standards) -> list[str]:
    """Roles that must approve, in order: the grading scheme's; a person decides even where it names none."""
    return list(standards.grading.level(level).approvals) or ["owner"]


async def detail(
    session: AsyncSession, resource_id: str, standards: Standards, subject: str
) -> ResourceDetail:
    row = await get(session, resource_id)
    api = standards.apis.get(row.name) if row.kind == "api" and row.withdrawn_at is None else None
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
