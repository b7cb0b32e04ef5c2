"""Issuing and revoking access tokens (RFC 6749 §4.4, RFC 9068, RFC 7009)."""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from edulake.auth import jose
from edulake.auth.client.authentication import AuthenticatedClient
from edulake.auth.models import Revocation
from edulake.auth.settings import AuthSettings
from edulake.auth.token import repository
from edulake.auth.token.errors import InvalidGrant, InvalidScope, TemporarilyUnavailable
from edulake.auth.token.schemas import RevocationOut
from edulake.auth.token.signing import ALGORITHM, SigningKeys
from edulake.auth.trail.repository import record
from edulake.common.bus import announce
from edulake.common.events import AccessTokenRevoked, new_event_id
from sqlalchemy.ext.asyncio import AsyncSession

AUDIENCE = "edulake"
#: RFC 9068 §2.1: an access token says so in its header, so that no id token passes for one.
TYPE = "at+jwt"


@dataclass(frozen=True)
class Issued:
    token: str
    jti: str
    scope: str


def granted_roles(held: frozenset[str], scope: str | None) -> frozenset[str]:
    """The roles a token shall carry: all that are held, or those of them the scope names.

    Raises InvalidScope when the scope is empty or names a role that is not held.
    """
    if scope is None:
        return held
    wanted = frozenset(scope.split(" "))
    if not wanted <= held:
        raise InvalidScope("the scope names a role this client does not hold")
    return wanted


async def issue(
    session: AsyncSession,
    keys: SigningKeys,
    settings: AuthSettings,
    client: AuthenticatedClient,
    scope: str | None,
) -> Issued:
    """A signed access token for an authenticated client.

    `iat` is the database's time of the client's proof, as `before` of a revocation is the database's: replicas
    whose clocks differ issue no token that outlives a revocation. Raises TemporarilyUnavailable so soon after
    one that the gateway, which allows for `token_leeway_s` of skew, would refuse the token for its whole life.
    """
    roles = sorted(granted_roles(client.roles, scope))
    await _refuse_void(session, settings, client)
    issued_at = int(client.at.timestamp())
    claims: dict[str, Any] = {
        "iss": settings.issuer,
        "sub": f"client:{client.client_id}",
        "client_id": client.client_id,
        "aud": AUDIENCE,
        "iat": issued_at,
        "exp": issued_at + settings.token_ttl_s,
        "jti": str(new_event_id()),
        "roles": roles,
        "scope": " ".join(roles),
        "name": client.name,
        "org": client.organisation,
        "accountable": client.accountable,
    }
    if client.district:
        claims["district"] = client.district
    token = await keys.sign(session, claims, typ=TYPE)
    return Issued(token, claims["jti"], claims["scope"])


async def _refuse_void(session: AsyncSession, settings: AuthSettings, client: AuthenticatedClient) -> None:
    revoked = await repository.last_revoked(session, client.client_id, client.at)
    if revoked is None:
        return
    # The gateway's rule, turned round: void is what was issued up to this second.
    wait_s = math.floor(revoked.timestamp() + settings.token_leeway_s) + 1 - int(client.at.timestamp())
    if wait_s > 0:
        raise TemporarilyUnavailable(
            "the tokens of this client were revoked just now: a new one would not be accepted yet",
            retry_after_s=wait_s,
        )


async def revoke_own(
    session: AsyncSession, keys: SigningKeys, settings: AuthSettings, client_id: str, token: str
) -> str | None:
    """Revoke a token of this client and return its jti; an unknown or expired one is no error (RFC 7009 §2.2).

    Raises InvalidGrant when the token was issued to another client.
    """
    try:
        decoded = jose.decode(token, await keys.key_set(session), [ALGORITHM])
        if decoded.header.get("typ") != TYPE or decoded.claims.get("iss") != settings.issuer:
            return None
        expires_s = jose.numeric_date(decoded.claims, "exp")
    except jose.TokenRefused:
        return None
    if decoded.claims["client_id"] != client_id:
        raise InvalidGrant("this token was issued to another client")
    if expires_s <= time.time():
        return None
    jti = str(decoded.claims["jti"])
    expires_at = datetime.fromtimestamp(expires_s, UTC)
    by, reason = f"client:{client_id}", "revoked by its client"
    await revoke(session, settings, jti=jti, expires_at=expires_at, by=by, reason=reason)
    return jti


async def revoke(
    session: AsyncSession,
    settings: AuthSettings,
    *,
    by: str,
    reason: str,
    jti: str | None = None,
    client_id: str | None = None,
    expires_at: datetime | None = None,
) -> RevocationOut:
    """Record and announce a revocation; both stand or fall with the caller's transaction.

    `before` is the database's time; without `expires_at` it is remembered until the last token issued by then
    has expired everywhere, clocks that differ included.
    """
    at = await repository.database_now(session)
    longest = timedelta(seconds=settings.token_ttl_s + settings.clock_leeway_s)
    revoked = RevocationOut(jti=jti, client_id=client_id, before=at, expires_at=expires_at or at + longest)
    row = Revocation(id=new_event_id(), **revoked.model_dump(), by=by, reason=reason)
    await repository.add_revocation(session, row)
    await record(session, "token.revoked", by=by, about=jti or f"client:{client_id}")
    await announce(session, AccessTokenRevoked.model_validate(revoked.model_dump()))
    return revoked


async def revoke_all_of(
    session: AsyncSession, settings: AuthSettings, client_id: str, *, by: str, reason: str
) -> RevocationOut:
    """Void every token a client holds now; it is given no other before that would be good."""
    return await revoke(session, settings, client_id=client_id, by=by, reason=reason)
