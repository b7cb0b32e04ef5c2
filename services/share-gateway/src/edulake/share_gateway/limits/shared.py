"""The quotas in Redis: one script leases calls to a process and counts them, atomically.

Redis holds per client and API a token bucket and the calls of the day and the month (Beijing time).
A lease moves calls from there to a process; what it does not use it gives back. Redis's clock is the
only one that fills the bucket.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from redis.asyncio import Redis

BEIJING = timezone(timedelta(hours=8))
_DAY_KEPT_S = 2 * 86_400
_MONTH_KEPT_S = 40 * 86_400

# KEYS bucket, day, month; ARGV rate, burst, wanted, day quota, month quota, owed, returned.
# `owed` were used without asking (Redis was lost), `returned` were leased and not used.
_LEASE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local day_quota, month_quota = tonumber(ARGV[4]), tonumber(ARGV[5])
local owed, returned = tonumber(ARGV[6]), tonumber(ARGV[7])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(kept[1]) or burst, tonumber(kept[2]) or now
level = math.min(burst, level + math.max(0, now - at) * rate / 1000 + returned)
local day = math.max(0, tonumber(redis.call('GET', KEYS[2]) or '0') + owed - returned)
local month = math.max(0, tonumber(redis.call('GET', KEYS[3]) or '0') + owed - returned)
local granted = math.max(0, math.min(wanted, math.floor(level), day_quota - day, month_quota - month))
level = level - granted
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', tostring(math.max(now, at)))
redis.call('PEXPIRE', KEYS[1], 60000 + math.ceil(burst / rate * 1000))
redis.call('SET', KEYS[2], day + granted, 'EX', ARGV[8])
redis.call('SET', KEYS[3], month + granted, 'EX', ARGV[9])
local wait = 0
if granted == 0 and level < 1 then wait = math.ceil((1 - level) / rate * 1000) end
return {granted, math.floor(level), day + granted, month + granted, wait}
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one client may call of one API. Calls a second, a day and a month (Beijing time)."""

    rate_per_s: int
    day_quota: int
    month_quota: int = 2**53

    @property
    def burst(self) -> int:
        """Calls that may come at once: one second's worth."""
        return max(1, self.rate_per_s)

    @property
    def chunk(self) -> int:
        """Calls leased at a time: a twentieth of a second's, so what a lost process holds stays small."""
        return max(1, self.rate_per_s // 20)


@dataclass(frozen=True, slots=True)
class Granted:
    """Redis's answer: calls leased, calls left in the bucket, calls of the day and month so far."""

    calls: int
    bucket_left: int
    day_used: int
    month_used: int
    wait_ms: int


class SharedQuota:
    """Leases from Redis. redis.RedisError and OSError pass through."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_LEASE)

    async def lease(
        self, key: tuple[str, str], limit: Limit, wanted: int, *, owed: int, returned: int
    ) -> Granted:
        """Lease up to `wanted` calls for (client, API) and settle what was owed or returned."""
        answer: list[Any] = await self._script(
            keys=_keys(key),
            args=[
                max(1, limit.rate_per_s),
                limit.burst,
                wanted,
                limit.day_quota,
                limit.month_quota,
                owed,
                returned,
                _DAY_KEPT_S,
                _MONTH_KEPT_S,
            ],
        )
        return Granted(*(int(part) for part in answer))


def _keys(key: tuple[str, str]) -> list[str]:
    today = datetime.now(BEIJING)
    name = f"gw:quota:{{{len(key[0])}:{key[0]}:{key[1]}}}"
    return [f"{name}:bucket", f"{name}:day:{today:%Y%m%d}", f"{name}:month:{today:%Y%m}"]


def seconds_to_midnight() -> int:
    """Seconds until the day's quota begins anew in Beijing."""
    today = datetime.now(BEIJING)
    midnight = (today + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, int((midnight - today).total_seconds()))
