"""Opaque random values that people and programs hold: made here, kept only as digests.

Every one has 256 bits from the operating system, so a fast digest is enough: guessing one is
2^256 work whatever the hash costs. Slow hashes (argon2, bcrypt) protect secrets that people choose;
here they would only let a flood of wrong secrets exhaust the processor. Client secrets, which live
for months, are digested with HMAC-SM3 under a key outside the database, so that reading the
database gives nothing to compare with and writing it cannot plant a working secret.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode

from edulake.common.gm import KeyRing, UnknownKey, sm3_hex

BYTES = 32
_LABEL = "auth/client-secret/v1"


def fresh() -> str:
    """256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(BYTES)


def digest(value: str) -> str:
    """SM3 of a short-lived random value (session, state), as hex; used to look it up."""
    return sm3_hex(value.encode())


def keyed_digest(ring: KeyRing, value: str) -> str:
    """The stored form of a client secret: `s1.<key id>.<HMAC-SM3>`."""
    key = ring.current
    return f"s1.{key.kid}.{_mac(ring, key.kid, value)}"


def matches(ring: KeyRing, value: str, stored: str) -> bool:
    """True when `stored` is the keyed digest of `value`; equal time whether or not it is."""
    kid = stored.split(".")[1]
    try:
        expected = f"s1.{kid}.{_mac(ring, kid, value)}"
    except UnknownKey:  # the key was destroyed: the secret is void, not an error of the caller
        return False
    return hmac.compare_digest(expected.encode(), stored.encode())


def _mac(ring: KeyRing, kid: str, value: str) -> str:
    return urlsafe_b64encode(ring.get(kid).mac(_LABEL).digest(value.encode())).rstrip(b"=").decode()
