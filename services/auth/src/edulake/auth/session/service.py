"""Sessions: an opaque id in a `__Host-` cookie, its digest in Postgres.

Idle 30 minutes, absolute 12 hours (reliability-security §3; GB/T 22239 §8.1.4.1 asks for log-out on
time-out). Roles are read at every resolve, so a change of role or status holds at once.
"""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from edulake.auth import opaque
from edulake.auth.models import Session
from edulake.auth.person import service as person_service
from edulake.auth.session import repository
from edulake.auth.session.schemas import Resolved
from edulake.auth.settings import AuthSettings
from edulake.auth.trail.repository import record
from edulake.common.clock import now
from edulake.common.errors import NotFound
from edulake.common.events import new_event_id
from edulake.common.gm import GmError, KeyRing, hmac_sm3, open_sealed, seal
from sqlalchemy.ext.asyncio import AsyncSession

COOKIE = "__Host-edulake"
#: How often the last use is written down; a page in between costs no write.
TOUCH_EVERY_S = 60
MAX_AGENT_CHARS = 120


class SessionEnded(NotFound):
    """404 and not 401: the asking service is authenticated, the thing it asks for is not there."""

    code, title_zh, title_en = "session-ended", "会话已结束", "The session has ended"


@dataclass(frozen=True)
class AtProvider:
    """What a login leaves to be known of the provider's side of a session."""

    issuer: str
    session: str | None = None
    id_token: str | None = field(default=None, repr=False)
    acr: str | None = None

    @property
    def session_digest(self) -> str | None:
        """How the provider's session is kept: nobody reads it out of the database."""
        return opaque.digest(f"{self.issuer}\n{self.session}") if self.session else None


async def open_session(
    session: AsyncSession,
    settings: AuthSettings,
    seal_ring: KeyRing,
    person: str,
    at_provider: AtProvider,
    *,
    agent: str,
    former: str | None,
) -> str:
    """A new session's cookie value; a session the browser had before ends (no fixation)."""
    if former:
        await repository.end_by_digest(session, opaque.digest(former))
    cookie, at, made = opaque.fresh(), now(), new_event_id()
    hint = at_provider.id_token
    row = Session(
        id=made,
        digest=opaque.digest(cookie),
        person=person,
        agent=_printable(agent),
        acr=at_provider.acr,
        provider_session=at_provider.session_digest,
        id_token=seal(seal_ring, hint.encode(), _place(made)) if hint else None,
        created_at=at,
        last_seen_at=at,
        expires_at=at + timedelta(seconds=settings.session_absolute_s),
    )
    await repository.add(session, row)
    await record(session, "session.opened", by=person, about=person)
    return cookie


async def resolve(session: AsyncSession, settings: AuthSettings, cookie: str) -> Resolved:
    """Whose cookie this is; raises SessionEnded. Counts as use of the session."""
    at, idle = now(), timedelta(seconds=settings.session_idle_s)
    found = await repository.find_alive(session, opaque.digest(cookie), at=at, idle=idle)
    if found is None:
        raise SessionEnded("请重新登录", "log in again", mend_zh="前往 /login", mend_en="go to /login")
    row, person = found
    if (at - row.last_seen_at).total_seconds() > TOUCH_EVERY_S:
        await repository.touch(session, row.id, at)
    subject = await person_service.subject_of(session, person)
    return Resolved(subject=subject, csrf=csrf_token(cookie), expires_at=row.expires_at)


async def end(session: AsyncSession, seal_ring: KeyRing, cookie: str) -> str | None:
    """Log out, and say what proves to the provider whose session it was, if anything does.

    Ending what has ended already is no error.
    """
    row = await repository.end_by_digest(session, opaque.digest(cookie))
    if row is None:
        return None
    await record(session, "session.ended", by=row.person, about=row.person)
    try:
        return open_sealed(seal_ring, row.id_token, _place(row.id)).decode() if row.id_token else None
    except GmError:  # its key was destroyed: the provider then asks the person
        return None


def _place(session_id: UUID) -> bytes:
    return b"auth.session|" + session_id.bytes


def csrf_token(cookie: str) -> str:
    """The token of a session's forms, a function of the cookie so that nothing more is stored."""
    mac = hmac_sm3(cookie.encode(), b"edulake/csrf/v1")
    return urlsafe_b64encode(mac).rstrip(b"=").decode()


def is_csrf_token(cookie: str, token: str) -> bool:
    return hmac.compare_digest(csrf_token(cookie).encode(), token.encode())


def _printable(agent: str) -> str:
    return "".join(letter for letter in agent if letter.isprintable())[:MAX_AGENT_CHARS]
