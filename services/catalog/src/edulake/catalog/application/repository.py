"""Applications and decisions in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from edulake.catalog.application.access import Turn
from edulake.catalog.models import Application, Decision, GrantRow, Resource
from edulake.catalog.resource.repository import cared_for
from sqlalchemy import ColumnElement, and_, false, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession


async def add(session: AsyncSession, row: Application | Decision) -> None:
    """Raises IntegrityError when the application is pending already or the step was decided."""
    session.add(row)
    await session.flush()


async def find(session: AsyncSession, application_id: UUID) -> Application | None:
    found: Application | None = await session.get(Application, application_id)
    return found


async def lock(session: AsyncSession, application_id: UUID) -> Application | None:
    """The application, held until the transaction ends, so that two approvers decide one after another."""
    query = select(Application).where(Application.id == application_id).with_for_update()
    found: Application | None = await session.scalar(query)
    return found


async def lock_pending(session: AsyncSession) -> list[Application]:
    """Every open application, held for change."""
    query = select(Application).where(Application.status == "pending").order_by(Application.id)
    return list(await session.scalars(query.with_for_update()))


async def decisions_of(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, list[Decision]]:
    query = select(Decision).where(Decision.application_id.in_(ids)).order_by(Decision.decided_at)
    found: dict[UUID, list[Decision]] = {}
    for row in await session.scalars(query):
        found.setdefault(row.application_id, []).append(row)
    return found


async def grants_of(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    query = select(GrantRow.application_id, GrantRow.grant_id).where(GrantRow.application_id.in_(ids))
    return {row.application_id: row.grant_id for row in await session.execute(query)}


async def titles_of(session: AsyncSession, resource_ids: Sequence[str]) -> dict[str, str]:
    query = select(Resource.id, Resource.title).where(Resource.id.in_(resource_ids))
    return {row.id: row.title for row in await session.execute(query)}


async def list_after(
    session: AsyncSession,
    *,
    requested_by: str,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Application]:
    """What a requester asked for, newest first."""
    query = select(Application).where(Application.requested_by == requested_by).limit(limit)
    query = query.order_by(Application.created_at.desc(), Application.id.desc())
    return list(await session.scalars(query.where(_place < after) if after else query))


async def list_waiting(
    session: AsyncSession, turn: Turn, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[Application]:
    """What a decider can decide now, oldest first: the rule of `access.hindrance`."""
    query = select(Application).join(Resource, Resource.id == Application.resource_id).limit(limit)
    query = query.where(Application.status == "pending", _is_turn(turn), _other_hand(turn.answers))
    query = query.order_by(Application.created_at, Application.id)
    return list(await session.scalars(query.where(_place > after) if after else query))


_place = tuple_(Application.created_at, Application.id)


def _is_turn(turn: Turn) -> ColumnElement[bool]:
    done = select(func.count()).where(Decision.application_id == Application.id).scalar_subquery()
    present: Any = Application.steps[done + 1]
    return or_(present.in_(turn.steps), and_(present.in_(turn.steps_of_care), cared_for(turn.care)))


def _other_hand(answers: str | None) -> ColumnElement[bool]:
    """Neither his own request nor one on which he, or a client of his, decided; unknown is neither."""
    if answers is None:
        return false()
    took_part = select(Decision.step).where(
        Decision.application_id == Application.id, Decision.accountable == answers
    )
    return and_(Application.accountable != answers, ~took_part.exists())
