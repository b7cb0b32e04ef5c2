"""A call of a shared API, the whole way through a real gateway process."""

from collections.abc import Awaitable, Callable
from typing import Any

Give = Callable[..., Awaitable[Any]]


async def looked(gateway: Any) -> None:
    """Wait for the follower's next look."""
    await gateway.plane.follower.look()


class TestACallWithAGrant:
    async def test_is_answered_with_the_engines_bytes_and_the_quota(
        self, give: Give, gateway: Any, issuer: Any
    ) -> None:
        await give()
        await looked(gateway)
        answer = await gateway.http.get("/share/v1/schools?district=310115", headers=issuer.bearer())
        assert answer.status_code == 200, answer.text
        assert answer.json()["version"] == 1
        assert answer.headers["ratelimit-limit"] == "1000"
        assert int(answer.headers["ratelimit-remaining"]) < 1000
        assert len(answer.headers["x-trace-id"]) == 32
        assert answer.headers["cache-control"] == "no-store"

    async def test_passes_only_the_granted_columns_districts_and_mask_to_the_engine(
        self, give: Give, gateway: Any, issuer: Any
    ) -> None:
        await give(
            columns=["school_name", "school_key", "teacher_pay"], districts=["310115"], mask_level="strict"
        )
        await looked(gateway)
        answer = await gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        assert answer.status_code == 200
        assert gateway.engine.asked == [("schools", ("school_key", "school_name"), ("310115",), "strict")]
