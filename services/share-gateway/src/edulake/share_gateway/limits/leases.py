"""Quotas where they are asked: calls leased from Redis in chunks, spent without a round trip.

Bound: Redis mints every call, so the whole of all processes never passes `rate × T + burst` plus what
was leased before T began (`chunk` a process). A killed process loses at most one chunk of a day's quota.
While Redis is lost, general reads go on with this process's share of the rate, counted and told to
Redis later; personal data (level ≥3) is refused with 503.
"""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from edulake.common.standards import PERSONAL_LEVEL
from edulake.common.telemetry import logger
from edulake.share_gateway.limits.bucket import TokenBucket
from edulake.share_gateway.limits.shared import Granted, Limit, SharedQuota, seconds_to_midnight
from edulake.share_gateway.problems import QuotaExceeded, QuotaUnknown
from prometheus_client import Counter
from redis.exceptions import RedisError

log = logger(__name__)
ALERTS_PERCENT = (50, 80, 90, 100)
#: After Redis failed, it is left alone for this long.
REDIS_REST_S = 0.5
#: Leases untouched for this long are given back and forgotten.
IDLE_S = 120.0
ALERTS = Counter("edulake_gateway_quota_alerts_total", "Day quotas that passed a threshold", ["percent"])
LOCAL_CALLS = Counter("edulake_gateway_quota_local_total", "Calls let through by the local share of a quota")
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the answer tells of the quota: `RateLimit-Limit`, `-Remaining`, `-Reset` (seconds)."""

    limit: int
    remaining: int
    reset_s: int = 1


class _Lease:
    __slots__ = (
        "bucket",
        "bucket_left",
        "calls",
        "closed_until",
        "day_used",
        "limit",
        "lock",
        "owed",
        "touched",
        "until",
    )

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.calls = 0
        self.until = 0.0
        self.closed_until = 0.0
        self.bucket_left = 0
        self.day_used = 0
        #: Calls used without asking; below zero: leased, unused and not yet given back.
        self.owed = 0
        self.touched = 0.0
        self.bucket: TokenBucket | None = None
        self.lock = asyncio.Lock()


class Leases:
    """The quotas of one process. Keys are (client, API)."""

    def __init__(self, shared: SharedQuota, *, lease_s: float, timeout_s: float, processes: int) -> None:
        self._shared = shared
        self._lease_s = lease_s
        self._timeout_s = timeout_s
        self._processes = processes
        self._leases: dict[Key, _Lease] = {}
        self._redis_rests_until = 0.0

    def take(self, key: Key, limit: Limit, level: int) -> Allowance | Awaitable[Allowance]:
        """Use one call. Raises QuotaExceeded (429) or, for level ≥3 without Redis, QuotaUnknown (503)."""
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = _Lease(limit)
        now = time.monotonic()
        lease.touched = now
        if lease.limit is not limit and lease.limit != limit:
            lease.limit, lease.closed_until, lease.bucket = limit, 0.0, None
        if lease.calls > 0 and now < lease.until:
            return self._spend(lease)
        if now < lease.closed_until:
            raise _exceeded(lease, lease.closed_until - now)
        return self._renew(key, lease, level)

    def _spend(self, lease: _Lease) -> Allowance:
        lease.calls -= 1
        left_today = lease.limit.day_quota - lease.day_used + lease.calls
        return Allowance(lease.limit.rate_per_s, max(0, min(lease.calls + lease.bucket_left, left_today)))

    async def _renew(self, key: Key, lease: _Lease, level: int) -> Allowance:
        async with lease.lock:
            now = time.monotonic()
            if lease.calls > 0 and now < lease.until:
                return self._spend(lease)
            if now < lease.closed_until:
                raise _exceeded(lease, lease.closed_until - now)
            if not await self._ask(key, lease, lease.limit.chunk):
                return self._spend_local_share(lease, level)
            if lease.calls <= 0:
                raise _exceeded(lease, lease.closed_until - time.monotonic())
            return self._spend(lease)

    async def _ask(self, key: Key, lease: _Lease, wanted: int) -> bool:
        """Lease anew, giving back what is left and settling what is owed; False when Redis is lost."""
        if time.monotonic() < self._redis_rests_until:
            return False
        balance, lease.calls = lease.owed - lease.calls, 0
        owed, returned = max(0, balance), max(0, -balance)
        try:
            async with asyncio.timeout(self._timeout_s):
                granted = await self._shared.lease(key, lease.limit, wanted, owed=owed, returned=returned)
        except (RedisError, OSError, TimeoutError) as error:
            self._redis_rests_until = time.monotonic() + REDIS_REST_S
            log.warning("quota store lost", error=type(error).__name__)
            lease.owed = balance
            return False
        self._learn(key, lease, granted, balance)
        if wanted and not granted.calls:
            _close(lease, granted)
        return True

    def _learn(self, key: Key, lease: _Lease, granted: Granted, settled: int) -> None:
        now = time.monotonic()
        lease.calls = granted.calls
        lease.owed = 0
        lease.bucket_left = granted.bucket_left
        lease.until = now + self._lease_s
        lease.bucket = None
        self._alert(key, lease.limit, granted.day_used - granted.calls - settled, granted.day_used)
        lease.day_used = granted.day_used

    def _spend_local_share(self, lease: _Lease, level: int) -> Allowance:
        if level >= PERSONAL_LEVEL:
            raise QuotaUnknown(
                "额度服务不可用，个人数据暂停提供",
                "personal data is not served without the quota store",
                mend_zh="稍后重试",
                mend_en="retry shortly",
            )
        now = time.monotonic()
        if lease.bucket is None:
            share = max(lease.limit.rate_per_s / self._processes, 0.001)
            lease.bucket = TokenBucket.full(share, max(1.0, share), now)
        wait_s = lease.bucket.take(now)
        if wait_s or lease.day_used + lease.owed >= lease.limit.day_quota:
            raise _exceeded(lease, wait_s or 60.0)
        lease.owed += 1
        LOCAL_CALLS.inc()
        return Allowance(lease.limit.rate_per_s, int(lease.bucket.level))

    def _alert(self, key: Key, limit: Limit, before: int, after: int) -> None:
        """Redis counts for all processes, so exactly one of them sees a threshold passed."""
        for percent in ALERTS_PERCENT:
            mark = limit.day_quota * percent / 100
            if before < mark <= after:
                ALERTS.labels(percent).inc()
                log.warning("day quota threshold passed", client_id=key[0], api=key[1], percent=percent)

    async def give_back(self, *, everything: bool = False) -> None:
        """Return leases past their time (all of them at the end of the process); forget idle ones."""
        now = time.monotonic()
        for key, lease in list(self._leases.items()):
            late = lease.calls > 0 and now >= lease.until
            if (late or lease.owed or (everything and lease.calls > 0)) and not lease.lock.locked():
                async with lease.lock:
                    await self._ask(key, lease, 0)
            if lease.calls <= 0 and not lease.owed and now - lease.touched > IDLE_S:
                self._leases.pop(key, None)


def _close(lease: _Lease, granted: Granted) -> None:
    """Do not ask again before there can be a call: the bucket's wait, or a second when the day is used up."""
    pause_s = granted.wait_ms / 1000 if granted.wait_ms else 1.0
    lease.closed_until = time.monotonic() + pause_s


def _exceeded(lease: _Lease, wait_s: float) -> QuotaExceeded:
    retry_s = max(1, int(wait_s + 0.999))
    if lease.day_used >= lease.limit.day_quota:
        retry_s = seconds_to_midnight()
    return QuotaExceeded(
        "调用次数超出授权额度",
        "more calls than the grant allows",
        mend_zh="按 Retry-After 等待后重试",
        mend_en="wait as Retry-After says",
        headers={
            "Retry-After": str(retry_s),
            "RateLimit-Limit": str(lease.limit.rate_per_s),
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(retry_s),
        },
    )
