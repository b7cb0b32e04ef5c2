"""A login from its beginning in one browser to a session in the same browser."""

import hmac
from dataclasses import dataclass
from datetime import timedelta

from edulake.auth import opaque
from edulake.auth.login import repository
from edulake.auth.login.errors import LoginRefused, NotAdmitted, bad_response
from edulake.auth.login.id_token import Identity
from edulake.auth.login.oidc import RelyingParty
from edulake.auth.models import LoginAttempt
from edulake.auth.person import repository as people
from edulake.auth.person import service as person_service
from edulake.auth.session.service import open_session
from edulake.auth.settings import AuthSettings
from edulake.auth.trail.repository import record
from edulake.common.clock import now
from edulake.common.db import Database

#: Binds a begun login to the browser that began it (CVE-2025-68158, CVE-2025-64100).
BROWSER_COOKIE = "__Host-edulake-login"
MAX_RETURN_CHARS = 1024
MAX_PARAMETER_CHARS = 2048


@dataclass(frozen=True)
class Begun:
    redirect: str
    browser: str


@dataclass(frozen=True)
class Callback:
    """What came back in the address, and what the browser holds."""

    state: str | None
    code: str | None
    error: str | None
    issuer: str | None
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
    loops = path.split("?")[0].split("#")[0].rstrip("/") in ("/login", "/login/callback", "/logout")
    return path if is_plain and is_local and not loops else "/"


async def begin(
    database: Database,
    settings: AuthSettings,
    provider: RelyingParty,
    return_to: str | None,
    browser: str | None,
) -> Begun:
    """Note a login and say where the browser goes; `browser` keeps two tabs of one browser together."""
    state, nonce, code_verifier = opaque.fresh(), opaque.fresh(), opaque.fresh()
    holder = browser if browser and len(browser) == len(state) else opaque.fresh()
    redirect = await provider.authorize_url(state=state, nonce=nonce, code_verifier=code_verifier)
    attempt = LoginAttempt(
        state_digest=opaque.digest(state),
        browser_digest=opaque.digest(holder),
        nonce=nonce,
        code_verifier=code_verifier,
        return_to=local_path(return_to),
        expires_at=now() + timedelta(seconds=settings.login_ttl_s),
    )
    async with database.transaction() as session:
        await repository.add(session, attempt)
    return Begun(redirect, holder)


async def finish(
    database: Database, settings: AuthSettings, provider: RelyingParty, back: Callback
) -> LoggedIn:
    """A session for a login that passes every check; raises LoginRefused and then opens none."""
    attempt = await _take(database, back)
    await provider.check_issuer(back.issuer)
    if back.error is not None:
        raise LoginRefused(
            "provider refused", "统一认证未完成登录或您已取消。", "The provider ended the login."
        )
    if not back.code or len(back.code) > MAX_PARAMETER_CHARS:
        raise bad_response("no code")
    identity = await provider.identify(back.code, attempt)
    cookie = await _admit(database, settings, identity, back)
    return LoggedIn(cookie, attempt.return_to)


async def _take(database: Database, back: Callback) -> LoginAttempt:
    """The begun login of this state and browser, used up whatever follows."""
    if not back.state or len(back.state) > MAX_PARAMETER_CHARS:
        raise bad_response("no state")
    async with database.transaction() as session:
        attempt = await repository.take(session, opaque.digest(back.state))
    if attempt is None:
        raise bad_response("unknown state")
    if attempt.expires_at <= now():
        raise bad_response("expired state")
    holder = opaque.digest(back.browser or "")
    if not hmac.compare_digest(holder.encode(), attempt.browser_digest.encode()):
        raise bad_response("another browser")
    return attempt


async def _admit(database: Database, settings: AuthSettings, identity: Identity, back: Callback) -> str:
    """Open the session of an active person; raises NotAdmitted after noting a new one."""
    async with database.transaction() as session:
        person = await person_service.meet(
            session, settings, issuer=identity.issuer, subject=identity.subject, name=identity.name
        )
        outcome = "done" if person.status == "active" else person.status
        await record(session, "login", by=person.id, about=person.id, outcome=outcome)
        if person.status == "active":
            await people.mark_login(session, person.id, identity.name[: person_service.MAX_NAME_CHARS], now())
            return await open_session(
                session, settings, person.id, agent=back.agent, former=back.former_session
            )
    raise NotAdmitted(
        f"person {person.status}",
        "您的身份已核验，但尚未获准使用本系统。请联系本单位的系统管理员办理准入。",
        "Your identity is verified, but you are not admitted yet. Ask your system administrator.",
    )
