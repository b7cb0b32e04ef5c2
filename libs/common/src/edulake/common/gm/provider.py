"""Where keys come from: a port with a development adapter and a production one.

Both read `<folder>/<purpose>.keys`: one `key-id hex-secret` a line, oldest first, the last current.
The development adapter makes missing keys itself, warns once and refuses production. The production
adapter only reads what a key-management service mounted (KMS or HSM agent, CSI driver, Secret).
"""

import os
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from edulake.common.clock import now
from edulake.common.gm.errors import GmError, KeyProviderRefused
from edulake.common.gm.keys import KEY_BYTES, PURPOSES, KeyRing
from edulake.common.settings import Settings
from edulake.common.telemetry import logger

log = logger(__name__)
_warned: set[Path] = set()


class KeyProvider(Protocol):
    """Hands out the live ring of a purpose (one of `PURPOSES`); raises KeyProviderRefused."""

    def ring(self, purpose: str) -> KeyRing: ...


class MountedKeyProvider:
    """Keys mounted by the platform; a missing ring is an error at start, never a new key."""

    def __init__(self, folder: Path, purposes: Collection[str] = PURPOSES) -> None:
        self._folder = folder
        self._purposes = purposes
        self._rings: dict[str, KeyRing] = {}

    def ring(self, purpose: str) -> KeyRing:
        if purpose not in self._purposes:
            known = ", ".join(self._purposes) or "none"
            raise KeyProviderRefused(f"no key purpose {purpose!r} for this process; it has: {known}")
        if purpose not in self._rings:
            path = self._folder / f"{purpose}.keys"
            self._ensure(path)
            self._rings[purpose] = KeyRing(lambda: _read(path))
        return self._rings[purpose]

    def _ensure(self, path: Path) -> None:
        if not path.is_file():
            raise KeyProviderRefused(
                f"{path} is missing: mount the key ring there (`key-id hex-secret` a line)"
            )


class FileKeyProvider(MountedKeyProvider):
    """Development only: makes keys in files of mode 0600 beside the data they protect."""

    def __init__(self, folder: Path, env: str, purposes: Collection[str] = PURPOSES) -> None:
        if env == "production":
            raise KeyProviderRefused("file keys are for development; mount key rings from a KMS or HSM")
        super().__init__(folder, purposes)
        if folder not in _warned:
            _warned.add(folder)
            log.warning("development keys in files, not for real data", folder=str(folder))

    def rotate(self, purpose: str) -> str:
        """Add a new current key and return its id; the old ones stay readable."""
        path = self._folder / f"{purpose}.keys"
        self.ring(purpose)
        kid = _new_kid()
        _replace(path, path.read_text() + _line(kid))
        return kid

    def _ensure(self, path: Path) -> None:
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = _draft(path, _line(_new_kid()))
        try:
            path.hardlink_to(draft)  # of two processes that race, one wins and both read its key
        except FileExistsError:
            return
        finally:
            draft.unlink()


def open_keys(settings: Settings) -> KeyProvider:
    """The provider of this environment, for the rings the process says it needs.

    In production each of them must be mounted. Another ring is refused everywhere, so that what a process says
    it needs is what it must be given, and no more.
    """
    purposes = PURPOSES if settings.rings is None else settings.rings
    if settings.env == "development":
        return FileKeyProvider(settings.secrets, settings.env, purposes)
    provider = MountedKeyProvider(settings.secrets, purposes)
    for purpose in purposes:
        provider.ring(purpose)
    return provider


def _read(path: Path) -> Mapping[str, bytes]:
    try:
        pairs = [line.split() for line in path.read_text().splitlines() if line.strip()]
        return {kid: bytes.fromhex(secret) for kid, secret in pairs}
    except (ValueError, OSError) as error:
        raise GmError(f"{path} is not a key ring: `key-id hex-secret` a line") from error


def _new_kid() -> str:
    return f"k{now():%y%m%d}-{secrets.token_hex(2)}"


def _line(kid: str) -> str:
    return f"{kid} {secrets.token_hex(KEY_BYTES)}\n"


def _draft(path: Path, text: str) -> Path:
    draft = path.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _replace(path: Path, text: str) -> None:
    _draft(path, text).replace(path)
