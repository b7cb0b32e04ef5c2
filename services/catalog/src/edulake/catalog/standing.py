"""Following the standards: what moved under open applications and active grants ends them, in words.

Before a process answers its first request; whoever reloads standards calls `follow` again. The gateway refuses such
calls by itself.
"""

from edulake.catalog.application import repository as applications
from edulake.catalog.grant import repository as grants
from edulake.catalog.grant.service import end
from edulake.catalog.resource import repository as resources_repository
from edulake.catalog.resource.listing import reason_to_end
from edulake.catalog.resource.service import follow_standards
from edulake.common.clock import now
from edulake.common.standards import Standards
from edulake.common.telemetry import logger
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)
#: Who ends what the standards no longer carry.
BY = "catalog"


async def follow(session: AsyncSession, standards: Standards) -> None:
    """List, refresh and withdraw, then end what can no longer be served."""
    datasets = {row.id: row.dataset for row in await resources_repository.resources_of(session)}
    withdrawn = await follow_standards(session, standards)
    known = {row.id: row for row in await resources_repository.resources_of(session)}
    ended = 0
    for asked in await applications.lock_pending(session):
        resource = known[asked.resource_id]
        reason = reason_to_end(
            standards, resource, level=asked.level, columns=asked.columns, dataset=datasets[resource.id]
        )
        if reason:
            asked.status, asked.ended_reason, asked.decided_at = "ended", reason, now()
            ended += 1
    await session.flush()
    for held in await grants.lock_active(session):
        reason = reason_to_end(
            standards, known[held.resource_id], level=held.level, columns=held.columns, dataset=held.dataset
        )
        if reason:
            await end(session, held, "revoked", BY, reason)
            ended += 1
    if withdrawn or ended:
        names = [row.id for row in withdrawn]
        log.warning("standards moved", withdrawn=names, applications_and_grants_ended=ended)
