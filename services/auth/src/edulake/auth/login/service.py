"""A login from its beginning in one browser to a session in the same browser."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from edulake.auth import opaque
from edulake.auth.login import repository
from edulake.auth.login.errors import BadResponse, CodeRefused, LoginRefused, NotAdmitted, NotBelieved
from edulake.auth.login.providers.port import Begin, Identity, Kind, LoginProvider
from edulake.auth.logout import repository as logouts
from edulake.auth.models import LoginAttempt, Person
from edulake.auth.person import repository as people
from edulake.auth.person import service as person_service
from edulake.auth.session.service import AtProvider, open_session
from edulake.auth.settings import AuthSettings
from edulake.auth.trail.repository import record
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.gm import KeyRing
from sqlalchemy.ext.asyncio import AsyncSession

#: Binds a begun login to the browser that began it (CVE-2025-68158, CVE-2025-64100).
BROWSER_COOKIE = "__Host-edulake-login"
MAX_RETURN_CHARS = 1024
MAX_STATE_CHARS = 2048
_LOOPS = ("/login", "/login/callback", "/logout", "/logout/done")


@dataclass(frozen=True)
class Begun:
    redirect: str
    browser: str


@dataclass(frozen=True)
class Callback:
    """What came back in the address, and what the browser holds."""

    answer: Mapping[str, str]
    browser: str | None
    former_session: str | None
    agent: str


@dataclass(frozen=True)
class LoggedIn:
    cookie: str
    return_to: str


def local_path(wanted: str | None) -> str:
    """The wanted path when it stays on this site, else `/`.

    `//host`, backslashes and control characters are how browsers are talked into leaving; login and
    logout would loop.
    """
    path = wanted or "/"
    is_plain = path.isprintable() and path.isascii() and "\\" not in path and len(path) <= MAX_RETURN_CHARS
    is_local = path.startswith("/") and not path.startswith("//")
    loops = path.split("?")[0].split("#")[0].rstrip("/") in _LOOPS
    return path if is_plain and is_local and not loops else "/"


async def begin(
    database: Database,
    settings: AuthSettings,
    provider: LoginProvider,
    return_to: str | None,
    browser: str | None,
    kind: Kind = "natural",
) -> Begun:
    """Note a login and say where the browser goes; `browser` keeps two tabs of one browser together."""
    fresh = Begin(state=opaque.fresh(), nonce=opaque.fresh(), code_verifier=opaque.fresh(), kind=kind)
    holder = browser if browser and len(browser) == len(fresh.state) else opaque.fresh()
    redirect = await provider.authorize_url(fresh)
    attempt = LoginAttempt(
        state_digest=opaque.digest(fresh.state),
        browser_digest=opaque.digest(holder),
        nonce=fresh.nonce,
        code_verifier=fresh.code_verifier,
        return_to=local_path(return_to),
        expires_at=now() + timedelta(seconds=settings.login_ttl_s),
    )
    async with database.transaction() as session:
        await repository.add(session, attempt)
    return Begun(redirect, holder)


async def finish(
    database: Database, settings: AuthSettings, seal_ring: KeyRing, provider: LoginProvider, back: Callback
) -> LoggedIn:
    """A session for a login that passes every check; raises LoginRefused and then opens none."""
    attempt = await _take(database, back)
    try:
        identity = await provider.identify(back.answer, attempt)
        cookie = await _admit(database, settings, seal_ring, identity, back)
    except LoginRefused as refused:
        refused.return_to = attempt.return_to
        raise
    return LoggedIn(cookie, attempt.return_to)


async def _take(database: Database, back: Callback) -> LoginAttempt:
    """The begun login of this state and browser, used up whatever follows."""
    state = back.answer.get("state")
    if not state or len(state) > MAX_STATE_CHARS:
        raise BadResponse("no state")
    async with database.transaction() as session:
        attempt = await repository.take(session, opaque.digest(state))
    if attempt is None:
        raise BadResponse("unknown state")
    if attempt.expires_at <= now():
        raise BadResponse("expired state")
    holder = opaque.digest(back.browser or "")
    if not hmac.compare_digest(holder.encode(), attempt.browser_digest.encode()):
        raise BadResponse("another browser")
    return attempt


async def _admit(
    database: Database, settings: AuthSettings, seal_ring: KeyRing, identity: Identity, back: Callback
) -> str:
    """Open the session of an active person; raises NotAdmitted after noting a new one."""
    at_provider = AtProvider(identity.issuer, identity.session, identity.id_token, identity.acr)
    async with database.transaction() as session:
        if at_provider.session_digest:
            await logouts.lock(session, at_provider.session_digest)
            if await logouts.is_ended(session, at_provider.session_digest):
                raise CodeRefused("provider ended this session meanwhile")
        person = await _meet(session, settings, identity)
        outcome = "done" if person.status == "active" else person.status
        await record(session, "login", by=person.id, about=person.id, outcome=outcome)
        if person.status == "active":
            await people.mark_login(session, person.id, identity.name[: person_service.MAX_NAME_CHARS], now())
            return await open_session(
                session,
                settings,
                seal_ring,
                person.id,
                at_provider,
                agent=back.agent,
                former=back.former_session,
            )
    raise NotAdmitted(f"person {person.status}")


async def _meet(session: AsyncSession, settings: AuthSettings, identity: Identity) -> Person:
    try:
        return await person_service.meet(
            session,
            settings,
            issuer=identity.issuer,
            subject=identity.subject,
            name=identity.name,
            former_subjects=identity.former_subjects,
            kind=identity.kind,
            id_hashes=identity.id_hashes,
        )
    except person_service.IdentityChanged as changed:
        raise NotBelieved(str(changed)) from changed
