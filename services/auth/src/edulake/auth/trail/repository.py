"""The trail: written in the transaction of what it records, never rewritten."""

from edulake.auth.models import TrailEntry
from edulake.common.clock import now
from edulake.common.telemetry import trace_id
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession


async def record(session: AsyncSession, kind: str, *, by: str, about: str, outcome: str = "done") -> None:
    """Add one entry; `kind` and `outcome` are constant words, `by` and `about` subject ids."""
    entry = {"at": now(), "kind": kind, "by": by, "about": about, "outcome": outcome, "trace_id": trace_id()}
    await session.execute(insert(TrailEntry).values(entry))


async def entries(session: AsyncSession, *, before: int | None, limit: int) -> list[TrailEntry]:
    """The newest entries first."""
    query = select(TrailEntry).order_by(TrailEntry.id.desc()).limit(limit)
    if before is not None:
        query = query.where(TrailEntry.id < before)
    return list(await session.scalars(query))
