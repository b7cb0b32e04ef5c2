"""Access tokens: EdDSA only, checked once, remembered by hash for at most a minute.

Everything a token says about its own verification is ignored except `kid`: an algorithm other than
EdDSA, a `jwk`, `jku`, `x5u`, `x5c` or `crit` is refused (Authlib CVE-2024-37568, CVE-2026-27962).
The claims follow RFC 9068 (`typ: at+jwt`).
"""

import hashlib
import time
import warnings
from collections import OrderedDict
from typing import Any

import orjson
from edulake.common.identity import ROLES, Subject
from edulake.share_gateway.exchange import Principal
from edulake.share_gateway.problems import BadToken
from edulake.share_gateway.tokens.keys import IssuerKeys
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode
from pydantic import ValidationError

AUDIENCE = "edulake"
ALGORITHM = "EdDSA"
TOKEN_MAX_BYTES = 4096
LIFETIME_MAX_S = 3600
_HEADER_MEMBERS = frozenset(("alg", "typ", "kid"))
#: What a client program can be; `service` is only ever said inside.
_CLIENT_ROLES = frozenset(ROLES) - {"service"}


class Tokens:
    """Verifies access tokens of one issuer."""

    def __init__(
        self, keys: IssuerKeys, *, issuer: str, leeway_s: int, memory_s: int, memory_tokens: int
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._leeway_s = leeway_s
        self._memory_s = memory_s
        self._memory_tokens = memory_tokens
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    def remembered(self, token: bytes) -> Principal | None:
        """The principal of a token verified less than `memory_s` ago and not expired."""
        entry = self._known.get(hashlib.sha256(token).digest())
        if entry is None:
            return None
        return entry[1] if time.time() < entry[0] else None

    async def verify(self, token: bytes) -> Principal:
        """The principal of a token; raises BadToken (401) or IssuerUnknown (503)."""
        key = await self._keys.key(_key_id(token))
        if key is None:
            raise refused("the signing key is not known")
        claims = _claims(token, key)
        principal = self._judge(claims)
        self._remember(token, principal)
        return principal

    def _remember(self, token: bytes, principal: Principal) -> None:
        until = min(time.time() + self._memory_s, principal.expires_at + self._leeway_s)
        self._known[hashlib.sha256(token).digest()] = (until, principal)
        while len(self._known) > self._memory_tokens:
            self._known.popitem(last=False)

    def _judge(self, claims: dict[str, Any]) -> Principal:
        now = time.time()
        issued, expires = _seconds(claims, "iat"), _seconds(claims, "exp")
        if claims.get("iss") != self._issuer or claims.get("aud") not in (AUDIENCE, [AUDIENCE]):
            raise refused("made by another issuer or for another audience")
        if now >= expires + self._leeway_s:
            raise refused("the token has expired")
        if issued > now + self._leeway_s or expires - issued > LIFETIME_MAX_S:
            raise refused("the times of the token do not hold")
        if "nbf" in claims and _seconds(claims, "nbf") > now + self._leeway_s:
            raise refused("the token is not valid yet")
        return _principal(claims, issued, expires)


def _key_id(token: bytes) -> str:
    if len(token) > TOKEN_MAX_BYTES or token.count(b".") != 2:
        raise refused("not a token")
    try:
        header = orjson.loads(urlsafe_b64decode(token.partition(b".")[0]))
    except ValueError:
        raise refused("unreadable token") from None
    if not isinstance(header, dict) or set(header) != _HEADER_MEMBERS:
        raise refused("the token header has other members than alg, typ, kid")
    if header["alg"] != ALGORITHM or header["typ"] != "at+jwt" or not isinstance(header["kid"], str):
        raise refused("another algorithm or type than this system issues")
    return header["kid"]


def _claims(token: bytes, key: OKPKey) -> dict[str, Any]:
    with warnings.catch_warnings():
        # RFC 9864 renames EdDSA to Ed25519; the key is pinned to Ed25519 already.
        warnings.simplefilter("ignore", SecurityWarning)
        try:
            payload = jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload
            claims = orjson.loads(payload)
        except (JoseError, ValueError, TypeError):
            raise refused("the signature does not hold") from None
    if not isinstance(claims, dict):
        raise refused("unreadable claims")
    return claims


def _principal(claims: dict[str, Any], issued: int, expires: int) -> Principal:
    client, token_id, roles = claims.get("client_id"), claims.get("jti"), claims.get("roles", [])
    named = isinstance(client, str) and client and isinstance(token_id, str) and token_id
    if not named or claims.get("sub") != f"client:{client}":
        raise refused("the token names no client")
    if not isinstance(roles, list) or not _CLIENT_ROLES.issuperset(map(str, roles)):
        raise refused("the token names a role that a client cannot have")
    try:
        subject = Subject(
            id=f"client:{client}",
            kind="client",
            name=str(client),
            roles=frozenset(roles),
            organisation=claims.get("org"),
            district=claims.get("district"),
            accountable=claims.get("accountable"),
        )
    except ValidationError:
        raise refused("unreadable claims") from None
    return Principal(subject, str(client), str(token_id), issued, expires)


def _seconds(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**40:
        raise refused(f"the claim {name} is missing or not a time")
    return int(value)


def refused(reason: str) -> BadToken:
    return BadToken(
        "访问令牌未通过核验",
        reason,
        mend_zh="向 /oauth/token 重新申请令牌",
        mend_en="get a new token from /oauth/token",
        where="header.authorization",
    )
