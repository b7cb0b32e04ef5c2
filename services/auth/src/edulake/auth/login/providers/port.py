"""The port of login (docs/adr/0020): what the flow asks of whoever vouches for people.

An adapter sends a browser away, believes or refuses what it comes back with, and knows how to sign
out. State, browser binding, admission and sessions are the flow's own and the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from edulake.auth.models import LoginAttempt

Kind = Literal["natural", "legal"]


@dataclass(frozen=True)
class Begin:
    """A login about to be begun. `kind`: who wants in, a natural or a legal person (法人)."""

    state: str
    nonce: str
    code_verifier: str
    kind: Kind = "natural"


@dataclass(frozen=True)
class Identity:
    """Who logged in: only issuer and subject identify, a name never does.

    `former_subjects`: what the same person was called under older keys of ours. `id_hashes`: keyed hashes of
    the identity number, the current key's first; the number itself goes nowhere. `acr`: how sure the provider is.
    `session` and `id_token`: the provider's own session and its proof, needed to sign out there.
    """

    issuer: str
    subject: str
    name: str
    former_subjects: tuple[str, ...] = ()
    kind: Kind = "natural"
    id_hashes: tuple[str, ...] = ()
    acr: str | None = None
    session: str | None = None
    id_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LogoutNotice:
    """A provider's word that somebody's sessions are over: one (`session`), or all of a `subject`."""

    issuer: str
    notice: str
    subject: str | None
    session: str | None
    expires_at: datetime


class LoginProvider(Protocol):
    """Whoever vouches for people. Every method may raise a `LoginRefused`."""

    @property
    def issuer(self) -> str:
        """The name under which this provider's subjects are unique."""

    async def authorize_url(self, begin: Begin) -> str:
        """Where the browser goes to log in."""

    async def identify(self, answer: Mapping[str, str], attempt: LoginAttempt) -> Identity:
        """Who is behind what the browser came back with; the state has been judged already."""

    async def logout_url(self, *, id_token: str | None, state: str) -> str | None:
        """Where the browser goes to sign out there too; None when there is no such place."""

    async def judge_logout(self, token: str) -> LogoutNotice:
        """The notice in a logout token that is believed; raises TokenRefused."""
