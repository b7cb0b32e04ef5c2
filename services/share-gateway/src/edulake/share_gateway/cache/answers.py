"""Answers kept for a moment: in the process, shared through Redis, computed once when several wait.

A key names everything an answer depends on (API with its protection, data version, grant, parameters), each
part with its length, so no two callers and no two versions ever share an entry (Oathkeeper
CVE-2026-33496) and a new data version needs no purge. Personal data is never kept.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from typing import cast

from edulake.common.telemetry import logger
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logger(__name__)
HITS = Counter("edulake_gateway_cache_total", "Answers by where they came from", ["source"])
_LOCAL, _SHARED, _JOINED, _MISS = (HITS.labels(name) for name in ("local", "shared", "joined", "miss"))
#: After Redis failed, it is left alone for this long.
REDIS_REST_S = 0.5
_WRITES_MAX = 64


def answer_key(*parts: bytes) -> bytes:
    """The parts, each behind its length: no shift of bytes between parts gives the same key."""
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


class Flight:
    """One computation that others wait for; it always lands, with an answer or with None."""

    __slots__ = ("_cache", "_done", "_key")

    def __init__(self, cache: "AnswerCache", key: bytes) -> None:
        self._cache = cache
        self._key = key
        self._done: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    async def wait(self) -> bytes | None:
        """The answer, or None when whoever computed it failed."""
        return await asyncio.shield(self._done)

    def land(self, body: bytes | None) -> None:
        if not self._done.done():
            self._done.set_result(body)
            self._cache.landed(self._key)


class AnswerCache:
    """The cache of one process; every size and time has a bound."""

    def __init__(
        self, redis: Redis, *, max_bytes: int, entry_bytes: int, longest_s: int, timeout_s: float
    ) -> None:
        self._redis = redis
        self._max_bytes = max_bytes
        self._entry_bytes = entry_bytes
        self._longest_s = longest_s
        self._timeout_s = timeout_s
        self._entries: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0
        self._flights: dict[bytes, Flight] = {}
        self._rests_until = 0.0
        self._writes: set[asyncio.Task[None]] = set()

    def get(self, key: bytes) -> bytes | None:
        """An answer kept in this process."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= time.monotonic():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        _LOCAL.inc()
        return entry[1]

    def flight(self, key: bytes) -> Flight | None:
        """The computation of this answer under way, if any."""
        found = self._flights.get(key)
        if found is not None:
            _JOINED.inc()
        return found

    def lead(self, key: bytes) -> Flight:
        """Begin the computation that others join."""
        flight = self._flights[key] = Flight(self, key)
        return flight

    def landed(self, key: bytes) -> None:
        self._flights.pop(key, None)

    async def get_shared(self, key: bytes, keep_s: int) -> bytes | None:
        """An answer another process kept, at most `cache_timeout_ms` late; None when Redis is lost."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                body = cast(bytes | None, await self._redis.get(_name(key)))
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            return None
        (_SHARED if body is not None else _MISS).inc()
        if body is not None:
            self._keep(key, body, keep_s)
        return body

    def put(self, key: bytes, body: bytes, keep_s: int) -> None:
        """Keep an answer here, and in Redis without waiting for it."""
        keep_s = min(keep_s, self._longest_s)
        if keep_s <= 0 or len(body) > self._entry_bytes:
            return
        self._keep(key, body, keep_s)
        if len(self._writes) < _WRITES_MAX and time.monotonic() >= self._rests_until:
            task = asyncio.create_task(self._put_shared(key, body, keep_s))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)

    async def close(self) -> None:
        """Wait for writes under way."""
        await asyncio.gather(*self._writes)

    async def _put_shared(self, key: bytes, body: bytes, keep_s: int) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._redis.set(_name(key), body, ex=keep_s)
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)

    def _keep(self, key: bytes, body: bytes, keep_s: int) -> None:
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (time.monotonic() + min(keep_s, self._longest_s), body)
        self._bytes += len(key) + len(body)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        _, body = self._entries.pop(key)
        self._bytes -= len(key) + len(body)

    def _rest(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + REDIS_REST_S
        log.warning("shared cache lost", error=type(error).__name__)


def _name(key: bytes) -> bytes:
    return b"gw:answer:" + hashlib.sha256(key).digest()
