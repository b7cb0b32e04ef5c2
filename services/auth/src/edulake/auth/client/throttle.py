"""Counts failures in a span of time, so that guessing and floods meet a wall.

Counted per (what, address): counting per client alone would let anybody lock a client out, and
guessing from many addresses does not help against 256 random bits. Counters live in Redis, shared
by all processes; when Redis is lost each process counts for itself, so the wall stays (P7).
"""

import time
from collections import OrderedDict

from edulake.common.gm import sm3_hex
from edulake.common.telemetry import logger
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logger(__name__)
MAX_LOCAL_COUNTERS = 10_000
_COUNT = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return n
"""


class Throttle:
    """At most `limit` events of one key in `window_s` seconds from the first."""

    def __init__(self, redis: Redis, purpose: str, *, limit: int, window_s: int) -> None:
        self._redis = redis
        self._purpose = purpose
        self._limit = limit
        self._window_s = window_s
        self._local: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._count = redis.register_script(_COUNT)

    async def is_full(self, *what: str) -> bool:
        """True when this key has used up its events."""
        key = self._key(what)
        try:
            counted = int(await self._redis.get(key) or 0)
        except (RedisError, OSError):
            counted = 0
        # The local counter is asked too: what was counted while Redis was away still counts.
        return max(counted, self._local_count(key)) >= self._limit

    async def count(self, *what: str) -> bool:
        """Count one event; True when it was one too many."""
        key = self._key(what)
        try:
            counted = int(await self._count(keys=[key], args=[self._window_s * 1000]))
        except (RedisError, OSError):
            log.warning("throttle counts locally, redis is unreachable", purpose=self._purpose)
            counted = self._count_locally(key)
        return counted > self._limit

    @property
    def window_s(self) -> int:
        return self._window_s

    def _key(self, what: tuple[str, ...]) -> str:
        """Fixed length and nothing readable, whatever a caller sent."""
        return f"auth:throttle:{self._purpose}:{sm3_hex(chr(0).join(what).encode())[:32]}"

    def _local_count(self, key: str) -> int:
        count, ends_s = self._local.get(key, (0, 0.0))
        return count if ends_s > time.monotonic() else 0

    def _count_locally(self, key: str) -> int:
        counted = self._local_count(key) + 1
        ends_s = self._local[key][1] if counted > 1 else time.monotonic() + self._window_s
        self._local[key] = (counted, ends_s)
        self._local.move_to_end(key)
        while len(self._local) > MAX_LOCAL_COUNTERS:
            self._local.popitem(last=False)
        return counted
