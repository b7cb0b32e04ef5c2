"""Signed tokens, read strictly: the algorithm is chosen by us, never by the token.

Headers that bring or point to a key (`jwk`, `jku`, `x5u`, `x5c`) and critical extensions are refused
before any signature is looked at (CVE-2024-37568, CVE-2026-27962 and relatives).
"""

import math
from collections.abc import Collection, Iterable
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.registry import JWS_HEADER_REGISTRY

MIN_RSA_BITS = 2048
MAX_TOKEN_CHARS = 16_384
_HEADERS = {name: JWS_HEADER_REGISTRY[name] for name in ("alg", "kid", "typ", "cty", "x5t", "x5t#S256")}


class TokenRefused(Exception):
    """A token that is not believed; the text is a fixed reason without any of its values."""


class UnknownKeyId(TokenRefused):
    """No known key has the token's key id; the signer may have rotated."""


class StrictRegistry(JWSRegistry):
    """Exactly the algorithms given, exactly the headers above.

    joserfc warns for `EdDSA` because RFC 9864 names the curve instead; RFC 9068 verifiers know
    the old name best, so it is allowed here where a caller lists it.
    """

    default_header_registry = _HEADERS

    def __init__(self, algorithms: Collection[str]) -> None:
        if not algorithms or any(name == "none" or name.startswith("HS") for name in algorithms):
            raise ValueError("only asymmetric algorithms are allowed")
        super().__init__(algorithms=tuple(algorithms))

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("this algorithm is not allowed")
        return self.algorithms[name]


def encode(claims: dict[str, Any], key: Key, *, alg: str, kid: str, typ: str) -> str:
    """Sign claims; `typ` tells what the token is for and is checked by who reads it."""
    header = {"alg": alg, "typ": typ, "kid": kid}
    return jwt.encode(header, claims, key, registry=StrictRegistry([alg]), default_type=None)


def decode(token: str, keys: KeySet, algorithms: Collection[str]) -> jwt.Token:
    """Header and claims of a token that one of `keys` signed with one of `algorithms`.

    Raises TokenRefused. Claims are NOT judged here; the caller knows what they must say.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenRefused("too long")
    try:
        return jwt.decode(token, keys, registry=StrictRegistry(algorithms))
    except InvalidKeyIdError as error:
        raise UnknownKeyId("unknown key id") from error
    except JoseError as error:
        raise TokenRefused(type(error).__name__) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TokenRefused("unreadable") from error


def public_keys(documents: Iterable[Any], *, alg: str | None = None) -> KeySet:
    """The usable signature keys of a JWKS; foreign, symmetric, weak and encryption keys are left out.

    `alg` leaves out keys that declare another algorithm.
    """
    usable: list[Key] = []
    for document in documents:
        if not isinstance(document, dict) or document.get("use", "sig") != "sig":
            continue
        if alg and document.get("alg", alg) != alg:
            continue
        try:
            usable.append(import_public(document))
        except TokenRefused:
            continue
    return KeySet(usable)


def import_public(document: dict[str, Any]) -> Key:
    """One public key; raises TokenRefused for private, symmetric, weak or unreadable ones."""
    if "d" in document or "k" in document:
        raise TokenRefused("a private or symmetric key does not belong here")
    kinds: dict[Any, type[ECKey | OKPKey | RSAKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
    kind = kinds.get(document.get("kty"))
    if kind is None:
        raise TokenRefused("unknown key type")
    # Measured before the import: joserfc only warns, and a warning is not a refusal.
    if kind is RSAKey and len(str(document.get("n", ""))) * 6 < MIN_RSA_BITS:
        raise TokenRefused(f"an RSA key needs {MIN_RSA_BITS} bits")
    try:
        return kind.import_key(document)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise TokenRefused("unreadable key") from error


def numeric_date(claims: dict[str, Any], name: str) -> float:
    """A required NumericDate claim (RFC 7519 §2); raises TokenRefused, also for NaN and booleans."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefused(f"claim {name} is missing or not a date")
    return float(value)


def check_times(claims: dict[str, Any], *, now_s: float, leeway_s: int, max_age_s: int) -> None:
    """Judge exp, iat and nbf; raises TokenRefused."""
    if numeric_date(claims, "exp") + leeway_s <= now_s:
        raise TokenRefused("expired")
    issued = numeric_date(claims, "iat")
    if issued > now_s + leeway_s:
        raise TokenRefused("issued in the future")
    if issued < now_s - max_age_s - leeway_s:
        raise TokenRefused("issued too long ago")
    if "nbf" in claims and numeric_date(claims, "nbf") > now_s + leeway_s:
        raise TokenRefused("not yet valid")
