"""The issuer's public keys: read from its JWKS address, kept, read again with restraint."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import aiohttp
import orjson
from edulake.common.telemetry import logger
from edulake.share_gateway.problems import IssuerUnknown
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

log = logger(__name__)
#: An unknown key id makes us look again, but a flood of invented ids must not become a flood of requests.
UNKNOWN_KEY_PAUSE_S = 60.0
#: While no key is known at all, the issuer is asked at most this often.
EMPTY_PAUSE_S = 1.0
#: Keys that could not be confirmed for this long are not believed any more.
BELIEVED_S = 3600.0
ANSWER_MAX_BYTES = 64 * 1024
KEYS_MAX = 16


class IssuerKeys:
    """Ed25519 verification keys by key id. One fetch at a time."""

    def __init__(self, url: str, *, refresh_s: float, timeout_s: float) -> None:
        self._url = url
        self._refresh_s = refresh_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._keys: dict[str, OKPKey] = {}
        self._confirmed = float("-inf")
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def are_known(self) -> bool:
        """True once keys were read, and for as long as they are believed."""
        return bool(self._keys) and time.monotonic() - self._confirmed <= BELIEVED_S

    async def look(self) -> None:
        """Read the keys now. Failing is logged, and `are_known` stays what it was."""
        await self._refresh(self._asked)

    async def follow(self, stop: asyncio.Event) -> None:
        """Have the keys before a caller needs them; until `stop`."""
        while not stop.is_set():
            pause_s = self._refresh_s if self.are_known else EMPTY_PAUSE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.05, self._asked + pause_s - time.monotonic()))
                return
            if time.monotonic() - self._asked >= pause_s:  # a caller may have asked meanwhile
                await self.look()

    async def key(self, kid: str) -> OKPKey | None:
        """The key of that id or None; raises IssuerUnknown (503) when no keys can be had."""
        found = self._keys.get(kid)
        pause_s = self._refresh_s if found else UNKNOWN_KEY_PAUSE_S if self._keys else EMPTY_PAUSE_S
        if time.monotonic() - self._asked >= pause_s:
            await self._refresh(self._asked)
        elif found is None and self._lock.locked():
            async with self._lock:  # somebody is asking right now: its answer is ours
                pass
        if not self.are_known:
            raise IssuerUnknown("签发方公钥不可用", "the issuer's keys are not reachable", mend_zh="稍后重试")
        return self._keys.get(kid)

    async def _refresh(self, seen: float) -> None:
        async with self._lock:
            if self._asked != seen:
                return  # another request has just asked
            self._asked = time.monotonic()
            try:
                self._keys = _readable(await self._fetch())
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                log.warning("issuer keys not read", error=type(error).__name__, known=len(self._keys))
                return
            self._confirmed = self._asked

    async def _fetch(self) -> bytes:
        session = aiohttp.ClientSession(timeout=self._timeout, trust_env=False)
        async with session, session.get(self._url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError("the issuer did not answer with keys")
            body = await answer.content.read(ANSWER_MAX_BYTES + 1)
            if len(body) > ANSWER_MAX_BYTES:
                raise ValueError("the issuer's keys are too large")
            return body


def _readable(body: bytes) -> dict[str, OKPKey]:
    """The Ed25519 signature keys of a JWKS document; every other key is passed over."""
    document = orjson.loads(body)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a key set")
    found = (_read(entry) for entry in listed[:KEYS_MAX] if isinstance(entry, dict))
    keys = {key.kid: key for key in found if key is not None and key.kid}
    if not keys:
        raise ValueError("no usable key")
    return keys


def _read(entry: dict[str, Any]) -> OKPKey | None:
    if entry.get("kty") != "OKP" or entry.get("crv") != "Ed25519" or entry.get("use", "sig") != "sig":
        return None
    try:
        return OKPKey.import_key({name: entry[name] for name in ("kty", "crv", "x", "kid") if name in entry})
    except (JoseError, ValueError, TypeError):
        return None
