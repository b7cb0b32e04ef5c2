"""What the gateway learns from events: grants, revoked tokens, disabled clients."""

from edulake.common.bus import Handlers
from edulake.common.events import AccessClientChanged, AccessGrantChanged, AccessTokenRevoked, Event
from edulake.common.service import Resources
from edulake.share_gateway.grant.repository import put_client, put_grant, put_revocation
from sqlalchemy.ext.asyncio import AsyncSession


async def on_grant(session: AsyncSession, facts: AccessGrantChanged, event: Event, _: Resources) -> None:
    await put_grant(session, facts, event.occurred_at)


async def on_token_revoked(session: AsyncSession, facts: AccessTokenRevoked, _e: Event, _: Resources) -> None:
    await put_revocation(session, facts)


async def on_client(session: AsyncSession, facts: AccessClientChanged, event: Event, _: Resources) -> None:
    await put_client(session, facts, event.occurred_at)


HANDLERS: Handlers = {
    AccessGrantChanged: on_grant,
    AccessTokenRevoked: on_token_revoked,
    AccessClientChanged: on_client,
}
