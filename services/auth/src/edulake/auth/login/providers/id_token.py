"""Judging an id token (OpenID Connect Core §3.1.3.7, §3.1.3.8), every rule or no login."""

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from typing import Any

from edulake.auth.jose import TokenRefused, check_times
from edulake.auth.login.providers.port import Identity
from edulake.auth.settings import AuthSettings

#: An id token is read seconds after it was made; one this old was kept by somebody.
MAX_AGE_S = 600
MAX_SUBJECT_CHARS = 255
#: OpenID Connect Core §3.1.3.6: the hash of the signature's algorithm. Ed25519 hashes with SHA-512.
_HASHES = {
    "ES256": hashlib.sha256,
    "RS256": hashlib.sha256,
    "PS256": hashlib.sha256,
    "EdDSA": hashlib.sha512,
    "Ed25519": hashlib.sha512,
}


def judge(
    header: dict[str, Any],
    claims: dict[str, Any],
    settings: AuthSettings,
    *,
    nonce: str,
    access_token: str,
) -> Identity:
    """The identity in a token whose signature holds; raises TokenRefused with a constant reason."""
    if header.get("typ", "JWT") != "JWT":
        raise TokenRefused("not an id token")
    if claims.get("iss") != settings.provider_issuer:
        raise TokenRefused("other issuer")
    _judge_audience(claims, settings.oidc_client_id)
    check_times(claims, now_s=time.time(), leeway_s=settings.clock_leeway_s, max_age_s=MAX_AGE_S)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise TokenRefused("wrong nonce")
    _judge_access_token(claims, settings.oidc_id_token_alg, access_token)
    subject = optional_name(claims, "sub")
    if subject is None:
        raise TokenRefused("no subject")
    name = claims.get("name")
    return Identity(
        settings.provider_issuer,
        subject,
        name if isinstance(name, str) and name else "",
        acr=optional_name(claims, "acr"),
        session=optional_name(claims, "sid"),
    )


def optional_name(claims: dict[str, Any], name: str) -> str | None:
    """A claim that is a short text or absent; raises TokenRefused for anything else."""
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT_CHARS:
        raise TokenRefused(f"claim {name} is not a short text")
    return value


def _judge_audience(claims: dict[str, Any], client_id: str) -> None:
    listed = check_audience(claims, client_id)
    party = claims.get("azp")
    if party is None and len(listed) > 1:
        raise TokenRefused("several audiences and no authorised party")
    if party is not None and party != client_id:
        raise TokenRefused("other authorised party")


def check_audience(claims: dict[str, Any], client_id: str) -> list[Any]:
    """All audiences, of which we are one; raises TokenRefused."""
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    if client_id not in listed:
        raise TokenRefused("other audience")
    return listed


def _judge_access_token(claims: dict[str, Any], alg: str, access_token: str) -> None:
    if "at_hash" not in claims:
        return
    expected = access_token_hash(alg, access_token)
    if not hmac.compare_digest(expected.encode(), str(claims["at_hash"]).encode()):
        raise TokenRefused("access token was exchanged")


def access_token_hash(alg: str, access_token: str) -> str:
    """`at_hash`: the left half of the token's hash (OpenID Connect Core §3.1.3.6)."""
    digest = _HASHES[alg](access_token.encode("ascii", errors="replace")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
