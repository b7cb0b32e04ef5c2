"""Role assignments in the database; triggers record every change and guard who may make it."""

from collections.abc import Sequence

from edulake.auth.models import RoleAssignment, RoleChange
from edulake.common import locks
from edulake.common.clock import now
from edulake.common.locks import Space
from edulake.common.telemetry import trace_id
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession


async def roles_of(session: AsyncSession, holder: str) -> frozenset[str]:
    query = select(RoleAssignment.role).where(RoleAssignment.holder == holder)
    return frozenset(await session.scalars(query))


async def roles_by_holder(session: AsyncSession, holders: Sequence[str]) -> dict[str, list[str]]:
    """Sorted roles of each holder asked for."""
    found: dict[str, list[str]] = {holder: [] for holder in holders}
    query = select(RoleAssignment.holder, RoleAssignment.role).where(RoleAssignment.holder.in_(holders))
    for holder, role in (await session.execute(query)).all():
        found[holder].append(role)
    return {holder: sorted(roles) for holder, roles in found.items()}


async def act_as(session: AsyncSession, actor: str, reason: str) -> None:
    """Tell the database who changes roles in this transaction; without it no role changes."""
    facts = {"edulake.actor": actor, "edulake.reason": reason, "edulake.trace": trace_id()}
    for name, value in facts.items():
        await session.execute(select(func.set_config(name, value, True)))


async def grant(session: AsyncSession, holder: str, role: str, *, by: str) -> None:
    """Raises IntegrityError when the role would join another administrator's or is the actor's own."""
    row = {"holder": holder, "role": role, "granted_by": by, "granted_at": now()}
    await session.execute(insert(RoleAssignment).values(row))


async def withdraw(session: AsyncSession, holder: str, role: str) -> None:
    query = delete(RoleAssignment).where(RoleAssignment.holder == holder, RoleAssignment.role == role)
    await session.execute(query)


async def lock_holder(session: AsyncSession, holder: str) -> None:
    """Two changes of one holder happen one after the other."""
    await locks.lock(session, Space.ROLES, holder)


async def changes(
    session: AsyncSession, *, holder: str | None, before: int | None, limit: int
) -> list[RoleChange]:
    """The newest changes first."""
    query = select(RoleChange).order_by(RoleChange.id.desc()).limit(limit)
    if holder is not None:
        query = query.where(RoleChange.holder == holder)
    if before is not None:
        query = query.where(RoleChange.id < before)
    return list(await session.scalars(query))


async def holders_of(session: AsyncSession, role: str) -> list[str]:
    query = select(RoleAssignment.holder).where(RoleAssignment.role == role)
    return list(await session.scalars(query.order_by(RoleAssignment.holder)))
