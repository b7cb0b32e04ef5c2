"""private_key_jwt: a client proves itself with a short signed statement (RFC 7523 §3).

The statement must name the client as issuer and subject, us as its only audience, expire soon and
carry a `jti` that was never used; used ones stand in Postgres, because a replay must fail even when
Redis is lost.
"""

import time
from binascii import Error as Base64Error
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from edulake.auth import jose
from edulake.auth.settings import AuthSettings
from edulake.auth.token import repository as tokens
from joserfc.util import urlsafe_b64decode
from sqlalchemy.ext.asyncio import AsyncSession

#: Curves and RSA by signature; HMAC is not among them, a shared secret would be a password again.
ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "RS256")
MAX_JTI_CHARS = 128


def claimed_client(assertion: str) -> str:
    """The client an assertion says it is from, not yet believed; raises TokenRefused."""
    try:
        claims = orjson.loads(urlsafe_b64decode(assertion.split(".")[1].encode()))
        subject = claims["sub"]
    except (IndexError, KeyError, TypeError, ValueError, Base64Error):
        raise jose.TokenRefused("unreadable assertion") from None
    if not isinstance(subject, str):
        raise jose.TokenRefused("unreadable assertion")
    return subject


async def check(
    session: AsyncSession,
    settings: AuthSettings,
    assertion: str,
    *,
    client_id: str,
    keys: list[dict[str, Any]],
) -> None:
    """Believe the assertion or raise TokenRefused; marks its `jti` as used in the same transaction."""
    claims = jose.decode(assertion, jose.public_keys(keys), ALGORITHMS).claims
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise jose.TokenRefused("issuer and subject must be the client")
    audience = claims.get("aud")
    sole = audience[0] if isinstance(audience, list) and len(audience) == 1 else audience
    if sole not in (settings.issuer, settings.token_endpoint):
        raise jose.TokenRefused("made for another audience")
    expires_at = _judge_times(claims, settings)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_CHARS:
        raise jose.TokenRefused("jti is missing")
    if not await tokens.use_assertion(session, client_id, jti, expires_at):
        raise jose.TokenRefused("jti was used before")


def _judge_times(claims: dict[str, Any], settings: AuthSettings) -> datetime:
    """Check exp (required, soon), iat and nbf (optional); returns when the jti may be forgotten."""
    present_s, leeway_s = time.time(), settings.clock_leeway_s
    expires_s = jose.numeric_date(claims, "exp")
    if expires_s + leeway_s <= present_s:
        raise jose.TokenRefused("expired")
    if expires_s > present_s + settings.assertion_max_ttl_s + leeway_s:
        raise jose.TokenRefused("good for too long")
    for name in ("iat", "nbf"):
        if name in claims and jose.numeric_date(claims, name) > present_s + leeway_s:
            raise jose.TokenRefused("not yet valid")
    return datetime.fromtimestamp(expires_s, UTC) + timedelta(seconds=leeway_s + 1)
