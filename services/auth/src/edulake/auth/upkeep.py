"""Forgets what has expired: begun logins, ended sessions, used assertions, heeded logouts."""

import asyncio
from datetime import timedelta
from typing import cast

from edulake.auth.login import repository as logins
from edulake.auth.logout import repository as logouts
from edulake.auth.session import repository as sessions
from edulake.auth.settings import AuthSettings
from edulake.auth.token import repository as tokens
from edulake.common.clock import now
from edulake.common.service import Resources

EVERY_S = 60


async def forget_expired(resources: Resources, stop: asyncio.Event) -> None:
    """Sweep until told to stop; a lost database is retried by whoever runs this."""
    settings = cast(AuthSettings, resources.settings)
    while not stop.is_set():
        await sweep(resources, settings)
        try:
            await asyncio.wait_for(stop.wait(), EVERY_S)
        except TimeoutError:
            continue


async def sweep(resources: Resources, settings: AuthSettings) -> None:
    """One pass, in one transaction."""
    at = now()
    async with resources.database.transaction() as session:
        await logins.forget_expired(session, at)
        await sessions.forget_ended(session, at=at, idle=timedelta(seconds=settings.session_idle_s))
        await logouts.forget_expired(session, at)
        await tokens.forget_assertions(session, at)
