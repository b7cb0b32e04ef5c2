"""Quotas over real Redis: one bound for all processes, one truth about the day."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import pytest
from edulake.share_gateway.limits import leases as leases_of
from edulake.share_gateway.limits import shared
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


@dataclass
class Clocks:
    """The calendar of the quotas and the clock of the leases; both stand still until a test moves them."""

    today: datetime
    seconds: float = 1000.0

    def now(self, zone: tzinfo) -> datetime:
        return self.today.astimezone(zone)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """No midnight and no pause of the machine comes between two calls of a test."""
    found = Clocks(datetime(2028, 2, 29, 12, tzinfo=shared.BEIJING))
    monkeypatch.setattr(shared, "datetime", found)
    monkeypatch.setattr(leases_of, "time", found)
    return found


def process(redis: Redis, **over: Any) -> Leases:
    """The quota part of one gateway process."""
    return Leases(SharedQuota(redis), **{"lease_s": 1.0, "timeout_s": 60.0, "processes": 2, **over})


async def use(leases: Leases, limit: Limit, level: int = 1) -> None:
    taken = leases.take(KEY, limit, level)
    if not isinstance(taken, Allowance):
        await taken


async def call(leases: Leases, limit: Limit, level: int = 1) -> bool:
    try:
        await use(leases, limit, level)
    except QuotaExceeded:
        return False
    return True


async def refusal(leases: Leases, limit: Limit) -> QuotaExceeded:
    """The first refusal of calls that all come at once, more than even a slow second could refill."""
    calls = [use(leases, limit) for _ in range(60)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    return next(end for end in ends if isinstance(end, QuotaExceeded))


class TestTheRate:
    async def test_two_processes_together_keep_it_and_give_all_of_it(
        self, redis: Redis, clocks: Clocks
    ) -> None:
        limit, began = Limit(200, 10**6), time.monotonic()
        both = (process(redis), process(redis))
        passed = 0
        async with asyncio.timeout(60):
            while passed < 3 * limit.burst:  # more than the burst: the patient get what comes after it, too
                clocks.seconds = time.monotonic()
                results = await asyncio.gather(*(call(leases, limit) for leases in both for _ in range(20)))
                passed += sum(results)
                await asyncio.sleep(0.005)
        seconds = time.monotonic() - began
        assert passed <= 200 * seconds + limit.burst + 2 * limit.chunk

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
        found = await refusal(process(redis), Limit(1, 10**6))
        assert found.headers["Retry-After"] == "1"
        assert found.headers["RateLimit-Remaining"] == "0"

    async def test_a_raised_limit_counts_at_once(self, redis: Redis) -> None:
        leases = process(redis)
        assert await refusal(leases, Limit(1, 10**6))
        await asyncio.sleep(0.01)  # Redis refills the bucket by its own clock, at the new rate
        assert await call(leases, Limit(1000, 10**6)), "though the closed second is not over"


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

    async def test_unused_calls_are_given_back_to_the_day(self, redis: Redis, clocks: Clocks) -> None:
        leases, limit = process(redis), Limit(1000, 1000)
        assert await call(leases, limit)
        day = next(key for key in await redis.keys() if b":day:" in key)
        assert int(await redis.get(day)) == limit.chunk
        clocks.seconds += 1.0
        await leases.give_back()
        assert int(await redis.get(day)) == 1
        assert await call(leases, limit), "giving back does not close the door"

    @pytest.mark.parametrize(
        ("moment", "seconds"),
        [
            ("2026-11-26T12:00:00", 43_200),
            ("2026-12-31T23:59:59", 1),
            ("2028-02-29T00:00:00", 86_400),
        ],
    )
    async def test_the_refusal_of_a_used_up_day_names_midnight_in_beijing(
        self, redis: Redis, clocks: Clocks, moment: str, seconds: int
    ) -> None:
        clocks.today = datetime.fromisoformat(moment).replace(tzinfo=shared.BEIJING)
        leases, limit = process(redis), Limit(1000, 3)
        assert [await call(leases, limit) for _ in range(4)] == [True, True, True, False]
        with pytest.raises(QuotaExceeded) as found:
            leases.take(KEY, limit, 1)
        assert int(found.value.headers["Retry-After"]) == seconds

    @pytest.mark.parametrize(
        ("last", "next_one"),
        [
            ("2026-12-31T23:59:59", "2027-01-01T00:00:00"),
            ("2028-02-28T23:59:59", "2028-02-29T00:00:00"),
        ],
    )
    async def test_a_new_day_in_beijing_begins_anew(
        self, redis: Redis, clocks: Clocks, last: str, next_one: str
    ) -> None:
        leases, limit = process(redis), Limit(1000, 1)
        clocks.today = datetime.fromisoformat(last).replace(tzinfo=shared.BEIJING)
        assert [await call(leases, limit) for _ in range(2)] == [True, False]
        clocks.today = datetime.fromisoformat(next_one).replace(tzinfo=shared.BEIJING)
        clocks.seconds += 1.0
        assert [await call(leases, limit) for _ in range(2)] == [True, False]

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
    async def test_general_calls_use_a_share_and_are_told_to_redis_later(
        self, redis: Redis, clocks: Clocks
    ) -> None:
        leases, limit = process(redis), Limit(10, 1000)
        lease = leases._shared.lease

        async def lost(*_: Any, **__: Any) -> Any:
            raise ConnectionError

        leases._shared.lease = lost  # type: ignore[method-assign]
        results = [await call(leases, limit) for _ in range(20)]
        assert sum(results) == 5, "half of ten a second, for two processes"
        leases._shared.lease = lease  # type: ignore[method-assign]
        clocks.seconds += leases_of.REDIS_REST_S
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
        leases, asked = process(redis, timeout_s=0.1), []

        async def silent(*_: Any, **__: Any) -> Any:
            asked.append("lease")
            await asyncio.Event().wait()

        leases._shared.lease = silent  # type: ignore[method-assign]
        assert all([await call(leases, Limit(100, 1000)) for _ in range(3)])
        assert asked == ["lease"]


class TestThroughTheGateway:
    async def test_429_with_the_headers_a_client_needs(self, give: Give, gateway: Any, issuer: Any) -> None:
        await give(rate_per_s=1)
        await gateway.plane.follower.look()
        calls = [gateway.http.get("/share/v1/schools", headers=issuer.bearer()) for _ in range(60)]
        answers = await asyncio.gather(*calls)
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
