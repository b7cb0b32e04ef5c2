"""People in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from edulake.auth.models import Person, RoleAssignment
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession


async def find(session: AsyncSession, person_id: str) -> Person | None:
    found: Person | None = await session.get(Person, person_id)
    return found


async def status_of(session: AsyncSession, person_id: str) -> str | None:
    """As committed now, whatever was read in this transaction before."""
    found: str | None = await session.scalar(select(Person.status).where(Person.id == person_id))
    return found


async def names_of(session: AsyncSession, ids: Sequence[str]) -> dict[str, str]:
    """Display names by id, of those that are known."""
    query = select(Person.id, Person.name).where(Person.id.in_(ids))
    return {row.id: row.name for row in await session.execute(query)}


async def lock(session: AsyncSession, person_id: str) -> Person | None:
    query = select(Person).where(Person.id == person_id).with_for_update()
    found: Person | None = await session.scalar(query)
    return found


async def find_identity(session: AsyncSession, issuer: str, subjects: Sequence[str]) -> Person | None:
    """The person whom this issuer calls by one of these names, the newest first."""
    query = select(Person).where(Person.issuer == issuer, Person.subject.in_(subjects))
    found: Person | None = await session.scalar(query.order_by(Person.created_at.desc()).limit(1))
    return found


async def add_if_absent(session: AsyncSession, row: dict[str, Any]) -> bool:
    """True when the person was new."""
    statement = insert(Person).values(row).on_conflict_do_nothing().returning(Person.id)
    return (await session.execute(statement)).first() is not None


async def set_id_hash(session: AsyncSession, person_id: str, id_hash: str) -> None:
    await session.execute(update(Person).where(Person.id == person_id).values(id_hash=id_hash))


async def set_status(session: AsyncSession, person_id: str, status: str) -> None:
    await session.execute(update(Person).where(Person.id == person_id).values(status=status))


async def mark_login(session: AsyncSession, person_id: str, name: str, at: datetime) -> None:
    """Take over the name the provider gives now."""
    await session.execute(update(Person).where(Person.id == person_id).values(name=name, last_seen_at=at))


async def set_place(
    session: AsyncSession, person_id: str, *, organisation: str | None, district: str | None
) -> None:
    values = {"organisation": organisation, "district": district}
    await session.execute(update(Person).where(Person.id == person_id).values(values))


async def list_after(
    session: AsyncSession,
    *,
    status: str | None = None,
    name: str | None = None,
    roles: Sequence[str] = (),
    organisation: str | None = None,
    after: str | None,
    limit: int,
) -> list[Person]:
    """People by id. `name`: whose name contains it; `roles`: who hold one of these (none: all)."""
    query = select(Person).order_by(Person.id).limit(limit)
    if status is not None:
        query = query.where(Person.status == status)
    if name:
        query = query.where(Person.name.contains(name, autoescape=True))
    if roles:
        held = select(RoleAssignment.holder).where(RoleAssignment.role.in_(roles))
        query = query.where(Person.id.in_(held))
    if organisation is not None:
        query = query.where(Person.organisation == organisation)
    if after is not None:
        query = query.where(Person.id > after)
    return list(await session.scalars(query))
