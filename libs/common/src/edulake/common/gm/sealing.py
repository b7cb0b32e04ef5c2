"""Values: sealed so that only the key opens them, or tokenised so that equal values still join.

Sealing is deterministic (ADR 0003): the nonce is a keyed digest of place and plaintext, so the same
value in the same place gives the same text and reprocessing changes nothing (P2). What shows is only
that two texts of one place hold the same value; name the row in `aad` to hide even that.
Formats: `v1.<kid>.<nonce 12 bytes>.<ciphertext and tag 16>` and `t1.<kid>.<HMAC-SM3 32 bytes>`,
bytes as unpadded URL-safe base64.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM
from edulake.common.gm.errors import SealBroken
from edulake.common.gm.keys import Key, KeyRing

NONCE_BYTES = 12
TAG_BYTES = 16


def encrypt(key: SM4, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """SM4-GCM (GB/T 32907, RFC 8998): ciphertext followed by the 16-byte tag."""
    encryptor = Cipher(key, GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag


def decrypt(key: SM4, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    """The inverse of `encrypt`; raises SealBroken."""
    if len(sealed) < TAG_BYTES:
        raise SealBroken("shorter than its authentication tag")
    decryptor = Cipher(key, GCM(nonce, sealed[-TAG_BYTES:])).decryptor()
    decryptor.authenticate_additional_data(aad)
    try:
        return decryptor.update(sealed[:-TAG_BYTES]) + decryptor.finalize()
    except InvalidTag:
        raise SealBroken("damaged, or sealed for another place") from None


def seal(ring: KeyRing, plaintext: bytes, aad: bytes) -> str:
    """Seal one value for one place; `aad` names the place (dataset|field|row) and is not stored."""
    return _sealer(ring.current)(plaintext, aad)


def seal_many(ring: KeyRing, values: Sequence[str | None], aad: bytes | Sequence[bytes]) -> list[str | None]:
    """Seal a column; None stays None. `aad` is one place for all or one place for each value."""
    sealer = _sealer(ring.current)
    if isinstance(aad, bytes):
        return [None if value is None else sealer(value.encode(), aad) for value in values]
    return [
        None if value is None else sealer(value.encode(), place)
        for value, place in zip(values, aad, strict=True)
    ]


def _sealer(key: Key) -> Callable[[bytes, bytes], str]:
    cipher, mac = SM4(key.cipher_key("seal/cipher/v1")), key.mac("seal/nonce/v1")
    head = f"v1.{key.kid}."

    def seal_one(plaintext: bytes, aad: bytes) -> str:
        # The length keeps ("ab", "c") and ("a", "bc") apart: one nonce for two messages would break GCM.
        nonce = mac.digest(len(aad).to_bytes(8, "big") + aad + plaintext)[:NONCE_BYTES]
        return f"{head}{_text(nonce)}.{_text(encrypt(cipher, nonce, plaintext, aad))}"

    return seal_one


def open_sealed(ring: KeyRing, text: str, aad: bytes) -> bytes:
    """Open a sealed value; raises SealBroken (damaged, other place) or UnknownKey."""
    version, kid, nonce, sealed = _parts(text)
    if version != "v1":
        raise SealBroken("not a sealed text of version 1")
    cipher = SM4(ring.get(kid).cipher_key("seal/cipher/v1"))
    return decrypt(cipher, _bytes(nonce, NONCE_BYTES), _bytes(sealed), aad)


def tokenise(ring: KeyRing, value: str, domain: str) -> str:
    """A keyed one-way token: equal values of one domain and key are equal, other domains never join."""
    return _tokeniser(ring.current, domain)(value)


def tokenise_with_all(ring: KeyRing, value: str, domain: str) -> list[str]:
    """The tokens of a value under every key of the ring, the current one's last: for finding what was
    tokenised before a rotation."""
    return [_tokeniser(key, domain)(value) for key in ring.all]


def tokenise_many(ring: KeyRing, values: Sequence[str | None], domain: str) -> list[str | None]:
    """Tokenise a column; None stays None."""
    token = _tokeniser(ring.current, domain)
    return [None if value is None else token(value) for value in values]


def _tokeniser(key: Key, domain: str) -> Callable[[str], str]:
    mac, head = key.mac(f"token/{domain}/v1"), f"t1.{key.kid}."
    return lambda value: head + _text(mac.digest(value.encode()))


def _parts(text: str) -> list[str]:
    parts = text.split(".")
    if len(parts) != 4:
        raise SealBroken("not a sealed text")
    return parts


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bytes(text: str, length: int | None = None) -> bytes:
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise SealBroken("not base64") from None
    if _text(data) != text:  # the decoder skips foreign characters: one value must have one text
        raise SealBroken("not base64")
    if length is not None and len(data) != length:
        raise SealBroken("nonce of the wrong length")
    return data
