"""Quotas over real Redis: one bound for all processes, one truth about the day."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from edulake.share_gateway.limits.leases import Allowance, Leases
from edulake.share_gateway.limits.shared import Limit, SharedQuota
from edulake.share_gateway.problems import QuotaExceeded, QuotaUnknown
from redis.asyncio import Redis

Give = Callable[..., Awaitable[Any]]
KEY = ("app", "schools")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


def process(redis: Redis, **over: Any) -> Leases:
    """The quota part of one gateway process."""
    return Leases(SharedQuota(redis), **{"lease_s": 1.0, "timeout_s": 1.0, "processes": 2, **over})


async def call(leases: Leases, limit: Limit, level: int = 1) -> bool:
    try:
        taken = leases.take(KEY, limit, level)
        if not isinstance(taken, Allowance):
            await taken
    except QuotaExceeded:
        return False
    return True


class TestTheRate:
    async def test_two_processes_together_keep_it(self, redis: Redis) -> None:
        limit, began = Limit(200, 10**6), time.monotonic()
        both = (process(redis), process(redis))
        passed = 0
        while time.monotonic() - began < 1.5:
            results = await asyncio.gather(*(call(leases, limit) for leases in both for _ in range(20)))
            passed += sum(results)
            await asyncio.sleep(0.005)
        seconds = time.monotonic() - began
        assert passed <= 200 * seconds + limit.burst + 2 * limit.chunk
        assert passed >= 100 * seconds, (
            "a patient caller gets what it was granted, less what a pause of the machine costs"
        )

    async def test_many_calls_at_once_cost_one_round_trip_a_lease(self, redis: Redis) -> None:
        leases, limit = process(redis), Limit(1000, 10**6)
        asked = 0
        lease = leases._shared.lease

        async def counted(*args: Any, **more: Any) -> Any:
            nonlocal asked
            asked += 1
            return await lease(*args, **more)

        leases._shared.lease = counted  # type: ignore[method-assign]
        assert all(await asyncio.gather(*(call(leases, limit) for _ in range(500))))
        assert asked == 500 // limit.chunk

    async def test_the_refusal_says_when_to_come_back(self, redis: Redis) -> None:
        leases, limit = process(redis), Limit(1, 10**6)
        assert await call(leases, limit)
        with pytest.raises(QuotaExceeded) as found:
            await leases.take(KEY, limit, 1)  # type: ignore[misc]
        assert found.value.headers["Retry-After"] == "1"
        assert found.value.headers["RateLimit-Remaining"] == "0"

    async def test_a_raised_limit_counts_at_once(self, redis: Redis) -> None:
        leases = process(redis)
        assert [await call(leases, Limit(1, 10**6)) for _ in range(3)] == [True, False, False]
        await asyncio.sleep(0.05)
        assert await call(leases, Limit(1000, 10**6))


class TestTheDay:
    async def test_the_quota_is_exact_across_processes(self, redis: Redis) -> None:
        limit = Limit(1000, 130)
        both = (process(redis), process(redis))
        passed = sum(await asyncio.gather(*(call(leases, limit) for leases in both for _ in range(200))))
        for leases in both:
            await leases.give_back(everything=True)
        for leases in both:  # what one held unused, the other gets after it was given back
            leases._leases.clear()
            passed += sum([await call(leases, limit) for _ in range(130)])
        assert passed == 130

    async def test_unused_calls_are_given_back_to_the_day(self, redis: Redis) -> None:
        leases, limit = process(redis, lease_s=0.05), Limit(1000, 1000)
        assert await call(leases, limit)
        day = next(key for key in await redis.keys() if b":day:" in key)
        assert int(await redis.get(day)) == limit.chunk
        await asyncio.sleep(0.06)
        await leases.give_back()
        assert int(await redis.get(day)) == 1
        assert await call(leases, limit), "giving back does not close the door"

    async def test_the_refusal_of_a_used_up_day_names_midnight_in_beijing(self, redis: Redis) -> None:
        leases, limit = process(redis), Limit(1000, 3)
        assert [await call(leases, limit) for _ in range(4)] == [True, True, True, False]
        with pytest.raises(QuotaExceeded) as found:
            leases.take(KEY, limit, 1)
        assert 1 <= int(found.value.headers["Retry-After"]) <= 86_400

    async def test_a_month_ends_calls_too(self, redis: Redis) -> None:
        leases = process(redis)
        assert [await call(leases, Limit(1000, 1000, 2)) for _ in range(3)] == [True, True, False]

    async def test_passing_half_eighty_ninety_and_all_of_it_is_told(
        self, redis: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        leases, limit = process(redis), Limit(20, 20)
        for _ in range(20):
            assert await call(leases, limit)
        told = [r.__dict__["facts"]["percent"] for r in caplog.records if "threshold" in r.getMessage()]
        assert told == [50, 80, 90, 100]


class TestWithoutRedis:
    async def test_general_calls_use_a_share_and_are_told_to_redis_later(self, redis: Redis) -> None:
        leases, limit = process(redis), Limit(10, 1000)
        lease = leases._shared.lease

        async def lost(*_: Any, **__: Any) -> Any:
            raise ConnectionError

        leases._shared.lease = lost  # type: ignore[method-assign]
        results = [await call(leases, limit) for _ in range(20)]
        assert sum(results) == 5, "half of ten a second, for two processes"
        leases._shared.lease = lease  # type: ignore[method-assign]
        await asyncio.sleep(0.6)
        assert await call(leases, limit)
        day = next(key for key in await redis.keys() if b":day:" in key)
        assert int(await redis.get(day)) == 6

    async def test_personal_calls_are_refused(self, redis: Redis) -> None:
        leases = process(redis)

        async def lost(*_: Any, **__: Any) -> Any:
            raise ConnectionError

        leases._shared.lease = lost  # type: ignore[method-assign]
        with pytest.raises(QuotaUnknown):
            await call(leases, Limit(10, 1000), level=3)

    async def test_a_silent_redis_costs_one_short_wait(self, redis: Redis) -> None:
        leases = process(redis, timeout_s=1)

        async def silent(*_: Any, **__: Any) -> Any:
            await asyncio.sleep(60)

        leases._shared.lease = silent  # type: ignore[method-assign]
        began = time.monotonic()
        for _ in range(3):
            await call(leases, Limit(100, 1000))
        assert time.monotonic() - began < 2, "one wait, not three"


class TestThroughTheGateway:
    async def test_429_with_the_headers_a_client_needs(self, give: Give, gateway: Any, issuer: Any) -> None:
        await give(rate_per_s=2)
        await gateway.plane.follower.look()
        answers = [await gateway.http.get("/share/v1/schools", headers=issuer.bearer()) for _ in range(6)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert {"retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} <= set(
            refused[0].headers
        )
        assert refused[0].json()["type"].endswith("quota-exceeded")

    async def test_an_administrators_figures_take_the_place_of_the_grants(
        self, give: Give, gateway: Any, issuer: Any
    ) -> None:
        await give()
        quota = {"rate_per_s": 7, "day_quota": 100, "month_quota": 1000}
        boss = issuer.bearer("boss", roles=["system_admin"])
        answer = await gateway.http.put("/api/gateway/quotas/app/schools", json=quota, headers=boss)
        assert answer.status_code == 200, answer.text
        await gateway.plane.follower.look()
        call = await gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        assert call.headers["ratelimit-limit"] == "7"
        assert (await gateway.http.delete("/api/gateway/quotas/app/schools", headers=boss)).status_code == 204
        await gateway.plane.follower.look()
        call = await gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        assert call.headers["ratelimit-limit"] == "1000"

    async def test_others_cannot_set_quotas(self, gateway: Any, issuer: Any) -> None:
        quota = {"rate_per_s": 7, "day_quota": 100, "month_quota": 1000}
        answer = await gateway.http.put(
            "/api/gateway/quotas/app/schools", json=quota, headers=issuer.bearer()
        )
        assert answer.status_code == 403
