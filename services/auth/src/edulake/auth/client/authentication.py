"""Who is this client: a secret or a signed assertion, judged in one place for every endpoint.

Every failure is the same `invalid_client` for the caller; the reason stands in our log only.
"""

from dataclasses import dataclass
from datetime import datetime

from edulake.auth import jose, opaque
from edulake.auth.client import assertion, repository
from edulake.auth.client.credentials import ByAssertion, BySecret, Shown
from edulake.auth.client.throttle import Throttle
from edulake.auth.models import Client, ClientSecret
from edulake.auth.role import repository as roles
from edulake.auth.settings import AuthSettings
from edulake.auth.token.errors import InvalidClient, TooManyFailures
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.gm import KeyProvider, KeyRing
from edulake.common.telemetry import logger
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)
FAILURES = Counter("edulake_auth_client_failures_total", "Client authentications that failed", ["reason"])


@dataclass(frozen=True)
class AuthenticatedClient:
    """A client that proved itself just now."""

    client_id: str
    name: str
    organisation: str | None
    district: str | None
    roles: frozenset[str]
    #: Who answers for it: its owner, or itself where nobody owns it.
    accountable: str
    #: The database's time of the proof: what was decided about the client later does not hold for this one.
    at: datetime


class _Refused(Exception):
    """Why, for the log."""


class ClientAuthenticator:
    """Checks what was shown; counts failures per client and address."""

    def __init__(
        self, settings: AuthSettings, database: Database, keys: KeyProvider, throttle: Throttle
    ) -> None:
        self._settings = settings
        self._database = database
        self._keys = keys
        self._throttle = throttle
        # Compared against when there is nothing to compare with, so that time tells nothing.
        self._decoy = opaque.keyed_digest(keys.ring("token"), opaque.fresh())

    async def authenticate(self, shown: Shown, address: str) -> AuthenticatedClient:
        """The client behind a proof; raises InvalidClient or TooManyFailures.

        Runs in a transaction of its own: a used `jti` stays used whatever happens afterwards.
        """
        claimed = _claimed(shown)
        if await self._throttle.is_full(claimed, address):
            raise TooManyFailures("too many failures, wait", retry_after_s=self._throttle.window_s)
        try:
            async with self._database.transaction() as session:
                return await self._judge(session, shown, claimed)
        except (_Refused, jose.TokenRefused) as error:
            reason = str(error)
        FAILURES.labels(type(shown).__name__).inc()
        log.warning("client authentication failed", client_id=claimed[:63], reason=reason)
        await self._throttle.count(claimed, address)
        raise InvalidClient("client authentication failed")

    async def _judge(self, session: AsyncSession, shown: Shown, claimed: str) -> AuthenticatedClient:
        found = await repository.find_settled(session, claimed)
        client = found[0] if found else None
        if isinstance(shown, BySecret):
            await self._judge_secret(session, shown, client)
        elif client is not None:
            await assertion.check(
                session, self._settings, shown.assertion, client_id=claimed, keys=client.keys
            )
        if found is None:
            raise _Refused("unknown client")
        client, at = found
        if client.status != "active":
            raise _Refused("disabled client")
        subject = f"client:{client.client_id}"
        return AuthenticatedClient(
            client_id=client.client_id,
            name=client.name,
            organisation=client.organisation,
            district=client.district,
            roles=await roles.roles_of(session, subject),
            accountable=client.owner or subject,
            at=at,
        )

    async def _judge_secret(self, session: AsyncSession, shown: BySecret, client: Client | None) -> None:
        at, ring = now(), self._keys.ring("token")
        alive = await repository.secrets_of(session, [shown.client_id], at)
        matching = _matching(ring, shown.secret, alive[shown.client_id], self._decoy)
        if client is None or matching is None:
            raise _Refused("no such client and secret")
        if matching.last_used_at is None or (at - matching.last_used_at).total_seconds() > 60:
            await repository.mark_used(session, matching.id, at)


def _matching(ring: KeyRing, secret: str, stored: list[ClientSecret], decoy: str) -> ClientSecret | None:
    if not stored:
        opaque.matches(ring, secret, decoy)
    found = [row for row in stored if opaque.matches(ring, secret, row.digest)]
    return found[0] if found else None


def _claimed(shown: Shown) -> str:
    if isinstance(shown, BySecret):
        return shown.client_id
    return _claimed_by_assertion(shown)


def _claimed_by_assertion(shown: ByAssertion) -> str:
    try:
        claimed = assertion.claimed_client(shown.assertion)
    except jose.TokenRefused:
        raise InvalidClient("client authentication failed") from None
    if shown.client_id not in (None, claimed):
        raise InvalidClient("client authentication failed")
    return claimed
