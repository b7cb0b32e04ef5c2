"""What must never be told: keys of persons, tokens, words of broken programs. Planted, then looked for everywhere."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from edulake.common.telemetry import JsonFormatter
from redis.asyncio import Redis

Give = Callable[..., Awaitable[Any]]
#: A key of the right form, so that it comes as far as an honest one.
KEY = "t1.k1.Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmE"
NAME, NUMBER = "金丝雀甲", "310199201202290017"
STUDENT = f"/share/v1/student?student_key={KEY}"


@pytest.fixture
async def open_gateway(give: Give, gateway: Any) -> Any:
    await give()
    await give(api="student")
    await gateway.plane.follower.look()
    return gateway


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Every line as the process writes it, at the finest level."""
    caplog.set_level("DEBUG")
    return lambda: "\n".join(JsonFormatter().format(record) for record in caplog.records)


def broken(kind: type[Exception]) -> Exception:
    return kind(f'duplicate key value: Key (student_key)=({KEY}) "{NAME}" {NUMBER}')


async def provoke(gateway: Any, issuer: Any) -> list[str]:
    """Ask for a person in every way that succeeds, is refused or breaks; what was answered."""
    token = issuer.token()
    bearer = {"Authorization": f"Bearer {token}"}
    answers = []
    asked = [
        (STUDENT, {}),
        (f"{STUDENT}&nobody={NUMBER}", {}),
        (f"/share/v1/student?student_key={NUMBER}", {}),
        (f"/share/v1/schools?name={NAME}&name={NAME}", {}),
        (f"/share/v1/schools?cursor={KEY}", {}),
        (f"/share/v1/{NUMBER}", {}),
        (f"/{NUMBER}//x", {}),
        (STUDENT, {"Authorization": f"Bearer {token}x"}),
        (STUDENT, {"Authorization": f"Basic {NUMBER}"}),
        (STUDENT, {"Host": NUMBER}),
    ]
    for path, headers in asked:
        answers.append(await gateway.http.get(path, headers={**bearer, **headers}))
    for kind in (asyncpg.UniqueViolationError, RuntimeError, OSError, ValueError, TimeoutError):
        gateway.engine.error = broken(kind)
        answers.append(await gateway.http.get(STUDENT, headers=bearer))
        assert answers[-1].status_code >= 500
    gateway.engine.error = None
    refused = [answer.text + str(answer.headers) for answer in answers if answer.status_code != 200]
    assert len(refused) == len(answers) - 1, "one of them was good"
    return [*refused, token]


class TestNothingIsTold:
    async def test_in_errors_and_logs(
        self, open_gateway: Any, issuer: Any, logged: Callable[[], str]
    ) -> None:
        *refused, token = await provoke(open_gateway, issuer)
        lines = logged()
        assert "request ended in a defect" in lines, "logs are looked at"
        for canary in (KEY, NAME, NUMBER, token, token.rpartition(".")[2]):
            assert canary not in lines
            assert not [text for text in refused if canary in text]

    async def test_in_redis_and_in_the_audit(
        self, open_gateway: Any, issuer: Any, redis_url: str, postgres_admin_url: str
    ) -> None:
        await provoke(open_gateway, issuer)
        await open_gateway.plane.audit.flush_counts()
        redis, connection = Redis.from_url(redis_url), await asyncpg.connect(postgres_admin_url)
        held = b"".join([key + (await dump(redis, key)) for key in await redis.keys()]).decode("latin-1")
        rows = await connection.fetch("SELECT a::text AS row FROM gateway.audit a")
        await redis.aclose()
        await connection.close()
        assert held
        assert [row for row in rows if "student" in row["row"]]
        for canary in (KEY, NAME.encode().decode("latin-1"), NUMBER):
            assert canary not in held
            assert not [row for row in rows if canary in row["row"]]


async def dump(redis: Redis, key: bytes) -> bytes:
    return await redis.dump(key) or b""


class TestTwoProcessesAndTwoPrincipals:
    async def test_share_answers_of_one_principal_and_never_between_two(
        self, settings: Any, start_gateway: Any, give: Give, issuer: Any
    ) -> None:
        await give("one")
        await give("two")
        async with start_gateway(settings) as first, start_gateway(settings) as second:

            async def body(gateway: Any, client: str) -> bytes:
                answer = await gateway.http.get("/share/v1/schools", headers=issuer.bearer(client))
                assert answer.status_code == 200, answer.text
                content: bytes = answer.content
                return content

            mine = await body(first, "one")
            await first.plane.cache.close()  # what it puts into Redis is there
            assert await body(second, "one") == mine
            assert second.engine.asked == [], "from the other process, through Redis"
            await body(second, "two")
            assert len(second.engine.asked) == 1, "asked anew for another principal"
