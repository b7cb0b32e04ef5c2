"""Grants in the database."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from edulake.catalog.grant.access import Scope
from edulake.catalog.models import Application, Decision, GrantRow, Resource
from edulake.catalog.resource.repository import cared_for
from sqlalchemy import ColumnElement, and_, false, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession


class Held(NamedTuple):
    """A grant, what it is for, and who asked."""

    grant: GrantRow
    title: str
    requested_by_name: str
    organisation: str | None
    may_end: bool


async def add(session: AsyncSession, row: GrantRow) -> None:
    session.add(row)
    await session.flush()


async def lock(session: AsyncSession, grant_id: UUID) -> GrantRow | None:
    query = select(GrantRow).where(GrantRow.grant_id == grant_id).with_for_update()
    found: GrantRow | None = await session.scalar(query)
    return found


async def lock_active(session: AsyncSession) -> list[GrantRow]:
    """Every active grant, held for change."""
    query = select(GrantRow).where(GrantRow.status == "active").order_by(GrantRow.grant_id)
    return list(await session.scalars(query.with_for_update()))


async def ended(session: AsyncSession, at: datetime, limit: int) -> list[GrantRow]:
    """Active grants whose time is over, held for change; another process skips them."""
    query = select(GrantRow).where(GrantRow.status == "active", GrantRow.valid_until <= at)
    return list(await session.scalars(query.limit(limit).with_for_update(skip_locked=True)))


async def active_twin(session: AsyncSession, client_id: str, api: str) -> list[GrantRow]:
    """The client's active grants for the same API, held for change."""
    query = select(GrantRow).where(
        GrantRow.client_id == client_id, GrantRow.api == api, GrantRow.status == "active"
    )
    return list(await session.scalars(query.with_for_update()))


async def list_after(
    session: AsyncSession,
    *,
    seen: Scope,
    ends: Scope,
    chosen: dict[str, str],
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Held]:
    """Last changed first, within `seen`; `chosen` narrows by column."""
    query = _held(ends).where(_within(seen), *(getattr(GrantRow, name) == v for name, v in chosen.items()))
    query = query.order_by(GrantRow.changed_at.desc(), GrantRow.grant_id.desc()).limit(limit)
    if after is not None:
        query = query.where(tuple_(GrantRow.changed_at, GrantRow.grant_id) < after)
    return [Held._make(row) for row in await session.execute(query)]


async def find(session: AsyncSession, grant_id: UUID, seen: Scope, ends: Scope) -> Held | None:
    """The grant, when it is within `seen`."""
    query = _held(ends).where(GrantRow.grant_id == grant_id, _within(seen))
    row = (await session.execute(query)).one_or_none()
    return Held._make(row) if row else None


async def on_resource(session: AsyncSession, resource_id: str, limit: int) -> list[Held]:
    """Active grants of everybody on one resource, newest first; for those who decide on another."""
    query = _held(None).where(GrantRow.resource_id == resource_id, GrantRow.status == "active")
    query = query.order_by(GrantRow.valid_from.desc(), GrantRow.grant_id).limit(limit)
    return [Held._make(row) for row in await session.execute(query)]


def _held(ends: Scope | None) -> Any:
    may_end = and_(GrantRow.status == "active", _within(ends)) if ends else false()
    query = select(GrantRow, Resource.title, Application.requested_by_name, Application.organisation, may_end)
    query = query.join(Application, Application.id == GrantRow.application_id)
    return query.join(Resource, Resource.id == GrantRow.resource_id)


def _within(scope: Scope) -> ColumnElement[bool]:
    """The rule of `access.py` over grant, application and resource."""
    if scope.everything:
        return GrantRow.grant_id.is_not(None)
    ways: list[ColumnElement[bool]] = [false()]
    if scope.accountable is not None:
        ways.append(Application.accountable == scope.accountable)
    if scope.client_id is not None:
        ways.append(GrantRow.client_id == scope.client_id)
    if scope.asked_by_organisation is not None:
        ways.append(Application.organisation == scope.asked_by_organisation)
    if scope.decider is not None:
        own = select(Decision.application_id).where(
            Decision.application_id == Application.id, Decision.decided_by == scope.decider
        )
        ways.append(own.exists())
    if scope.care is not None:
        ways.append(cared_for(scope.care))
    return or_(*ways)
