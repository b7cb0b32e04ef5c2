"""Ending sessions: by the person, who is then led on to the provider, or by the provider's word."""

from datetime import timedelta

from edulake.auth import opaque
from edulake.auth.jose import TokenRefused
from edulake.auth.login.errors import LoginRefused
from edulake.auth.login.providers.port import LoginProvider
from edulake.auth.logout import repository
from edulake.auth.person import repository as people
from edulake.auth.session import repository as session_rows
from edulake.auth.session import service as sessions
from edulake.auth.session.service import AtProvider
from edulake.auth.settings import AuthSettings
from edulake.auth.trail.repository import record
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.gm import KeyRing
from edulake.common.telemetry import logger

log = logger(__name__)
#: Who ended a session, in the trail, when the provider did.
BY_PROVIDER = "service:identity-provider"


async def leave(
    database: Database, seal_ring: KeyRing, provider: LoginProvider, cookie: str, state: str
) -> str | None:
    """End the session here, whatever follows; then say where to sign out at the provider, if anywhere."""
    async with database.transaction() as session:
        id_token = await sessions.end(session, seal_ring, cookie)
    try:
        return await provider.logout_url(id_token=id_token, state=state)
    except LoginRefused as refused:
        log.warning("provider not told of a logout", reason=refused.reason)
        return None


async def heed(database: Database, settings: AuthSettings, provider: LoginProvider, token: str) -> int:
    """End what a believed logout token names, at once and everywhere; returns how many sessions ended.

    Raises TokenRefused, also for a token that was used before, and LoginRefused when the provider's keys cannot
    be read. A notice about nobody we know ends nothing and is no error (Back-Channel Logout 1.0 §2.6).
    """
    notice = await provider.judge_logout(token)
    of_session = AtProvider(notice.issuer, notice.session).session_digest
    # Kept at least as long as a login may be on its way, so that one begun in the ended session is refused.
    until = max(notice.expires_at, now() + timedelta(seconds=settings.login_ttl_s)) + timedelta(
        seconds=settings.clock_leeway_s
    )
    async with database.transaction() as session:
        if of_session:
            await repository.lock(session, of_session)
        digest = opaque.digest(f"{notice.issuer}\n{notice.notice}")
        if not await repository.add(session, digest, of_session, until):
            raise TokenRefused("used before")
        person = None
        if notice.subject is not None:
            found = await people.find_identity(session, notice.issuer, (notice.subject,))
            if found is None:
                return 0
            person = found.id
            await people.lock(
                session, person
            )  # a login of theirs holds the same lock while it opens a session
        ended = await session_rows.end_at_provider(session, person=person, provider_session=of_session)
        for one in ended:
            await record(session, "session.ended", by=BY_PROVIDER, about=one)
    return len(ended)
