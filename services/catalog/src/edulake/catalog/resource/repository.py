"""Resources in the database."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edulake.catalog.models import Application, Favourite, GrantRow, Publication, Resource
from edulake.common.policy import Care
from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

FACETS = ("kind", "theme", "organisation", "share_type", "share_way", "open_type", "level")
_used = (
    select(func.count())
    .where(GrantRow.resource_id == Resource.id, GrantRow.status == "active")
    .correlate(Resource)
    .scalar_subquery()
)
#: What a list may be ordered by, the largest first.
SORTS: dict[str, Any] = {"newest": Resource.published_at, "rows": Resource.row_count, "used": _used}


@dataclass(frozen=True)
class Question:
    """What is looked for: every word must occur somewhere (a part of one is enough), every choice must hold.

    With `pieces` half of them are enough instead of every word.
    """

    words: list[str]
    chosen: dict[str, str | int]
    follower: str
    followed_only: bool = False
    pieces: Sequence[str] = ()

    def but(self, facet: str) -> "Question":
        """The same without the choice of one facet."""
        return replace(self, chosen={name: value for name, value in self.chosen.items() if name != facet})

    def holds(self) -> list[ColumnElement[bool]]:
        words = [_in(Resource.search_text, word) for word in self.words]
        if self.pieces:
            words = [2 * _number_in(Resource.search_text, self.pieces) >= len(self.pieces)]
        choices = [getattr(Resource, facet) == value for facet, value in self.chosen.items()]
        stands = [Resource.withdrawn_at.is_(None)]
        return stands + words + choices + ([_follows(self.follower)] if self.followed_only else [])


def _in(text: Any, word: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = text.contains(word, autoescape=True)
    return found


def _number_in(text: Any, pieces: Sequence[str]) -> ColumnElement[int]:
    """How many of the pieces occur."""
    return functools.reduce(operator.add, [case((_in(text, piece), 1), else_=0) for piece in pieces])


def _order(asked: Question, sort: str) -> ColumnElement[Any]:
    """By closeness where pieces are looked for, one in the title counting more; else as chosen."""
    if not asked.pieces:
        by: ColumnElement[Any] = SORTS[sort]
        return by
    title = func.lower(Resource.title)
    return 2 * _number_in(Resource.search_text, asked.pieces) + _number_in(title, asked.pieces)


def cared_for(care: Care) -> ColumnElement[bool]:
    """The rule of `Care.has` over resources."""
    own = Resource.contact.in_(care.contacts)
    return own if care.organisation is None else or_(own, Resource.organisation == care.organisation)


def _follows(subject: str) -> ColumnElement[bool]:
    own = select(Favourite.resource_id).where(
        and_(Favourite.resource_id == Resource.id, Favourite.subject == subject)
    )
    return own.correlate(Resource).exists()


async def search(
    session: AsyncSession, asked: Question, sort: str, after: tuple[Any, str] | None, limit: int
) -> list[tuple[Resource, bool, Any]]:
    """Resource, whether it is followed, and the value it is sorted by; the largest first."""
    by = _order(asked, sort)
    query = select(Resource, _follows(asked.follower), by).where(*asked.holds())
    if after is not None:
        query = query.where(tuple_(by, Resource.id) < tuple_(literal(after[0]), literal(after[1])))
    query = query.order_by(by.desc(), Resource.id.desc()).limit(limit)
    return [(row[0], row[1], row[2]) for row in await session.execute(query)]


async def count_facets(session: AsyncSession, asked: Question) -> dict[str, dict[str, int]]:
    """Hits by value of each facet, most first; a facet's own choice does not narrow its own counts."""
    counts: dict[str, dict[str, int]] = {}
    for facet in FACETS:
        column = getattr(Resource, facet)
        query = select(column, func.count()).where(*asked.but(facet).holds()).group_by(column)
        query = query.order_by(column) if facet == "level" else query.order_by(func.count().desc(), column)
        counts[facet] = {str(value): number for value, number in await session.execute(query)}
    return counts


async def count(session: AsyncSession, asked: Question) -> int:
    return await session.scalar(select(func.count()).select_from(Resource).where(*asked.holds())) or 0


async def find(session: AsyncSession, resource_id: str) -> Resource | None:
    found: Resource | None = await session.get(Resource, resource_id)
    return found


async def next_serial(session: AsyncSession) -> int:
    return int(await session.scalar(text("SELECT nextval('catalog.resource_serial')")) or 0)


async def upsert(session: AsyncSession, facts: dict[str, Any]) -> None:
    """Add a resource or bring it up to date; its code and first publication stay."""
    fixed = {"id", "code", "first_published_at"}
    statement = insert(Resource).values(**facts)
    changes = {name: statement.excluded[name] for name in facts if name not in fixed}
    await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes))


async def lock_listing(session: AsyncSession) -> None:
    """One listing at a time until the transaction ends: two processes may start, or an event come, at once."""
    await session.execute(text("LOCK TABLE catalog.publication IN SHARE ROW EXCLUSIVE MODE"))


async def put_publication(session: AsyncSession, facts: dict[str, Any]) -> None:
    statement = insert(Publication).values(**facts)
    await session.execute(statement.on_conflict_do_update(index_elements=["dataset"], set_=facts))


async def publications(session: AsyncSession) -> list[Publication]:
    return list(await session.scalars(select(Publication).order_by(Publication.dataset)))


async def resources_of(session: AsyncSession, dataset: str | None = None) -> list[Resource]:
    """Every resource as it stands now, withdrawn ones too; of one dataset where one is named."""
    query = select(Resource).order_by(Resource.id).execution_options(populate_existing=True)
    return list(await session.scalars(query.where(Resource.dataset == dataset) if dataset else query))


async def withdraw(session: AsyncSession, ids: Sequence[str], at: datetime) -> list[Resource]:
    """Take resources out of the catalogue; who knows their id still finds them, and since when they are gone."""
    rows = list(await session.scalars(select(Resource).where(Resource.id.in_(ids)))) if ids else []
    for row in rows:
        row.withdrawn_at = at
    await session.flush()
    return rows


async def summary(session: AsyncSession) -> dict[str, int]:
    listed = (
        select(Resource.kind, func.count()).where(Resource.withdrawn_at.is_(None)).group_by(Resource.kind)
    )
    kinds = dict((await session.execute(listed)).all())
    pending = select(func.count()).where(Application.status == "pending")
    active = select(func.count()).where(GrantRow.status == "active")
    return {
        "resources": sum(kinds.values()),
        "datasets": kinds.get("dataset", 0),
        "apis": kinds.get("api", 0),
        "applications_pending": await session.scalar(pending) or 0,
        "grants_active": await session.scalar(active) or 0,
    }
