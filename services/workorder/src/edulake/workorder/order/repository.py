"""Orders in the database."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from edulake.common.policy import Scope
from edulake.workorder.models import Entry, Order
from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession


class Mine(NamedTuple):
    """A subject and the sources whose contact it is now."""

    subject: str
    sources: frozenset[str]


async def open_once(session: AsyncSession, facts: dict[str, Any]) -> bool:
    """Add an order unless this source and rule have one; True when it was added."""
    statement = insert(Order).values(**facts).on_conflict_do_nothing().returning(Order.id)
    return (await session.scalar(statement)) is not None


async def lock_of_rule(session: AsyncSession, dataset: str, source_id: str, rule_id: str) -> Order | None:
    query = select(Order).where(
        Order.dataset == dataset, Order.source_id == source_id, Order.rule_id == rule_id
    )
    found: Order | None = await session.scalar(query.with_for_update())
    return found


async def lock_unclosed(session: AsyncSession, dataset: str, source_id: str) -> list[Order]:
    """The orders of a source that a batch of it could close."""
    query = select(Order).where(
        Order.dataset == dataset, Order.source_id == source_id, Order.status != "closed"
    )
    return list(await session.scalars(query.order_by(Order.id).with_for_update()))


async def lock_closed_by(session: AsyncSession, dataset: str, source_id: str, batch_id: str) -> list[Order]:
    """The orders that a batch closed, and that nothing has opened again since."""
    query = select(Order).where(
        Order.dataset == dataset, Order.source_id == source_id, Order.closed_by_batch == batch_id
    )
    return list(await session.scalars(query.order_by(Order.id).with_for_update()))


async def lock(session: AsyncSession, order_id: UUID) -> Order | None:
    found: Order | None = await session.scalar(select(Order).where(Order.id == order_id).with_for_update())
    return found


async def find(session: AsyncSession, order_id: UUID) -> Order | None:
    found: Order | None = await session.get(Order, order_id)
    return found


async def add_entry(session: AsyncSession, entry: Entry) -> None:
    session.add(entry)
    await session.flush()


async def history(session: AsyncSession, order_id: UUID) -> list[Entry]:
    return list(await session.scalars(select(Entry).where(Entry.order_id == order_id).order_by(Entry.id)))


async def list_after(
    session: AsyncSession,
    *,
    scope: Scope,
    mine: Mine | None,
    unclosed: bool,
    late_at: datetime | None,
    chosen: dict[str, str],
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Order]:
    """Last changed first, within the scope. `mine`: only those for this subject or of its sources."""
    query = select(Order).where(scope.within(Order.dataset, Order.source_id)).limit(limit)
    query = query.order_by(Order.updated_at.desc(), Order.id.desc())
    if mine is not None:
        query = query.where(or_(Order.assignee == mine.subject, Order.source_id.in_(mine.sources)))
    if unclosed:
        query = query.where(Order.status != "closed")
    if late_at is not None:
        query = query.where(_late(late_at))
    for name, value in chosen.items():
        query = query.where(getattr(Order, name) == value)
    if after is not None:
        query = query.where(tuple_(Order.updated_at, Order.id) < after)
    return list(await session.scalars(query))


def _late(at: datetime) -> ColumnElement[bool]:
    return and_(Order.status.in_(("open", "assigned")), Order.due_at < at)


async def summary(session: AsyncSession, at: datetime) -> dict[str, Any]:
    """Counts over all orders: `by_status`, `unclosed_by_dataset`, `overdue`."""
    by_status = await session.execute(select(Order.status, func.count()).group_by(Order.status))
    unclosed = select(Order.dataset, func.count()).where(Order.status != "closed").group_by(Order.dataset)
    late = select(func.count()).select_from(Order).where(_late(at))
    return {
        "by_status": {row[0]: row[1] for row in by_status},
        "unclosed_by_dataset": {row[0]: row[1] for row in await session.execute(unclosed)},
        "overdue": await session.scalar(late) or 0,
    }
