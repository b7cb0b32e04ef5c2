"""Keys of one purpose: one current, older ones still readable.

A ring is live: rotation adds a key where the provider keeps it, and every process follows without
a restart - at once for a key id it has never seen, within `REFRESH_S` for the current one.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from edulake.common.gm.errors import GmError, UnknownKey
from edulake.common.gm.hashing import HmacSm3

PURPOSES = ("seal", "token", "audit", "page")
REFRESH_S = 3.0
#: A flood of forged key ids must not become a flood of reads.
UNKNOWN_PAUSE_S = 0.2
KEY_BYTES = 32
_KID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Key:
    """A 32-byte secret and the id that ciphertexts carry."""

    kid: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KID.fullmatch(self.kid):
            raise GmError("a key id is 1-32 of a-z, 0-9 and hyphen")
        if len(self.secret) != KEY_BYTES:
            raise GmError(f"key {self.kid} must hold {KEY_BYTES} bytes")

    def mac(self, label: str) -> HmacSm3:
        """HMAC-SM3 under the subkey of a label; subkeys of different labels are independent."""
        return _mac(self.secret, label)

    def cipher_key(self, label: str) -> bytes:
        """A 16-byte SM4 key of a label."""
        return _subkey(self.secret, label)[:16]


@lru_cache(maxsize=256)
def _subkey(secret: bytes, label: str) -> bytes:
    return HmacSm3(secret).digest(b"edulake:" + label.encode())


@lru_cache(maxsize=256)
def _mac(secret: bytes, label: str) -> HmacSm3:
    return HmacSm3(_subkey(secret, label))


class KeyRing:
    """The keys of one purpose; the last loaded is current.

    `load` returns {key id: secret} in order of age and is called again as described above.
    """

    def __init__(
        self, load: Callable[[], Mapping[str, bytes]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}
        self._loaded_at = -REFRESH_S

    @classmethod
    def of(cls, **secrets: bytes) -> Self:
        """A fixed ring, for tests and one-off work; the last argument is current."""
        return cls(lambda: secrets)

    @property
    def current(self) -> Key:
        """The key new texts are made with; at most `REFRESH_S` behind the provider."""
        self._refresh(REFRESH_S)
        return next(reversed(self._keys.values()))

    @property
    def all(self) -> tuple[Key, ...]:
        """Every key in order of age, the current one last."""
        self._refresh(REFRESH_S)
        return tuple(self._keys.values())

    def get(self, kid: str) -> Key:
        """The key of an id; raises UnknownKey."""
        if kid not in self._keys:
            self._refresh(UNKNOWN_PAUSE_S)
        try:
            return self._keys[kid]
        except KeyError:
            raise UnknownKey(f"the key ring holds no key {kid[:32]!r}") from None

    def _refresh(self, older_than_s: float) -> None:
        with self._lock:
            if self._clock() - self._loaded_at < older_than_s:
                return
            loaded = {kid: Key(kid, secret) for kid, secret in self._load().items()}
            if not loaded:
                raise UnknownKey("the key ring is empty")
            self._keys, self._loaded_at = loaded, self._clock()
