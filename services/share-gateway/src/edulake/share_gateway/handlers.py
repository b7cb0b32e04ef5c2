"""What the gateway learns from events: grants, revoked tokens, disabled clients; and what goes into its audit chain."""

from edulake.common.bus import Handlers
from edulake.common.events import (
    AccessClientChanged,
    AccessGrantChanged,
    AccessTokenRevoked,
    AccessValuesOpened,
    Event,
)
from edulake.common.service import Resources
from edulake.share_gateway.audit import repository as audit
from edulake.share_gateway.audit.chain import Record, extend
from edulake.share_gateway.grant.repository import put_client, put_grant, put_revocation
from sqlalchemy.ext.asyncio import AsyncSession


async def on_grant(session: AsyncSession, facts: AccessGrantChanged, event: Event, _: Resources) -> None:
    await put_grant(session, facts, event.occurred_at)


async def on_token_revoked(session: AsyncSession, facts: AccessTokenRevoked, _e: Event, _: Resources) -> None:
    await put_revocation(session, facts)


async def on_client(session: AsyncSession, facts: AccessClientChanged, event: Event, _: Resources) -> None:
    await put_client(session, facts, event.occurred_at)


async def on_values_opened(
    session: AsyncSession, facts: AccessValuesOpened, event: Event, resources: Resources
) -> None:
    """Who was shown which delivered cells stands in the same chain as who read what is shared."""
    rows = "、".join(map(str, facts.rows))
    where = f"第 {rows} 行" if rows else "表头"
    record = Record(
        at=event.occurred_at,
        kind="opened",
        client_id=facts.by,
        grant_id="",
        api="",
        purpose=f"改正批次 {facts.batch_id}（{facts.dataset}）：{where}的 {'、'.join(facts.fields)}",
        level=facts.level,
        status=200,
        calls=1,
        record="",
        client_ip="",
        trace_id=event.trace_id,
        version=0,
    )
    head = await audit.lock_head(session)
    await audit.append(session, *extend(resources.keys.ring("audit"), head, [record]))


#: What rights depend on: while one of these is announced and not applied, calls are refused (ADR 0012).
RIGHTS: Handlers = {
    AccessGrantChanged: on_grant,
    AccessTokenRevoked: on_token_revoked,
    AccessClientChanged: on_client,
}
HANDLERS: Handlers = {**RIGHTS, AccessValuesOpened: on_values_opened}
