"""Each dependency broken in turn: never a 2xx where there must be none (Authelia CVE-2021-32637)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from edulake.cli.embedded import start_redis
from edulake.common.locks import Space

Give = Callable[..., Awaitable[Any]]
STUDENT = "/share/v1/student?student_key=t1.k1.c2FtcGxlLXRva2VuLW5vdC1hLXBlcnNvbg"


@pytest.fixture
async def open_gateway(give: Give, gateway: Any) -> Any:
    """A gateway where client `app` may call `schools` (general) and `student` (personal)."""
    await give()
    await give(api="student")
    await gateway.plane.follower.look()
    return gateway


@pytest.fixture
async def own_redis(
    settings: Any, start_gateway: Any, give: Give, tmp_path: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """The same with a Redis of its own, which the test may stop."""
    redis = start_redis(tmp_path)
    await give()
    await give(api="student")
    async with start_gateway(settings.model_copy(update={"redis_url": redis.url})) as gateway:
        yield gateway, redis
    redis.stop()


class TestRedisLost:
    async def test_general_reads_go_on_with_the_local_share(self, own_redis: Any, issuer: Any) -> None:
        gateway, redis = own_redis
        redis.stop()
        answers = [await gateway.http.get("/share/v1/schools", headers=issuer.bearer()) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5

    async def test_personal_data_is_refused_with_503(self, own_redis: Any, issuer: Any) -> None:
        gateway, redis = own_redis
        assert (await gateway.http.get(STUDENT, headers=issuer.bearer())).status_code == 200
        redis.stop()
        gateway.plane.leases._leases.clear()
        answer = await gateway.http.get(STUDENT, headers=issuer.bearer())
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json()["type"].endswith("quota-unknown")

    async def test_the_local_share_is_a_share_and_not_without_end(
        self, own_redis: Any, give: Give, issuer: Any
    ) -> None:
        gateway, redis = own_redis
        await give(rate_per_s=1)
        await gateway.plane.follower.look()
        redis.stop()
        calls = [gateway.http.get("/share/v1/schools", headers=issuer.bearer()) for _ in range(60)]
        answers = await asyncio.gather(*calls)  # at once, so that no second passes between two of them
        assert {answer.status_code for answer in answers} == {200, 429}

    async def test_the_process_stays_ready_and_nobody_unknown_gets_in(
        self, own_redis: Any, issuer: Any
    ) -> None:
        gateway, redis = own_redis
        redis.stop()
        assert (await gateway.http.get("/readyz")).json() == {"status": "ok", "redis": "unreachable"}
        assert (await gateway.http.get("/share/v1/schools")).status_code == 401
        stranger = await gateway.http.get("/share/v1/schools", headers=issuer.bearer("stranger"))
        assert stranger.status_code == 403


async def cut_off(admin_url: str, database_name: str, *, allow: bool) -> None:
    """Refuse new connections to a database and end those it has; or let them in again."""
    connection = await asyncpg.connect(admin_url.replace(database_name, "postgres"))
    try:
        await connection.execute(f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS {str(allow).lower()}")
        if not allow:
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = $1",
                database_name,
            )
    finally:
        await connection.close()


class TestPostgresLost:
    async def test_stale_grants_close_everything_and_it_heals(
        self,
        open_gateway: Any,
        issuer: Any,
        postgres_admin_url: str,
        database_name: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        call, book = "/share/v1/schools", open_gateway.plane.access

        async def until(status: int) -> None:
            async with asyncio.timeout(60):
                while (await open_gateway.http.get(call, headers=issuer.bearer())).status_code != status:
                    await asyncio.sleep(0.05)

        assert (await open_gateway.http.get(call, headers=issuer.bearer())).status_code == 200
        await cut_off(postgres_admin_url, database_name, allow=False)
        try:
            personal = await open_gateway.http.get(STUDENT, headers=issuer.bearer())
            assert personal.status_code == 503, "a personal read without an audit row"
            monkeypatch.setattr(book, "_stale_s", 1.0)
            await until(503)
            for path in (call, STUDENT, "/api/catalog/resources", "/readyz"):
                answer = await open_gateway.http.get(path, headers=issuer.bearer())
                assert answer.status_code == 503, path
                assert answer.headers["retry-after"]
        finally:
            await cut_off(postgres_admin_url, database_name, allow=True)
        await until(200)

    async def test_the_query_engines_error_is_503_without_its_words(
        self, open_gateway: Any, issuer: Any
    ) -> None:
        open_gateway.engine.error = asyncpg.ConnectionDoesNotExistError("the canary 310101200001011234")
        answer = await open_gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        assert answer.status_code == 503
        assert "canary" not in answer.text

    async def test_an_unforeseen_error_is_500_without_its_words(self, open_gateway: Any, issuer: Any) -> None:
        open_gateway.engine.error = RuntimeError("the canary 310101200001011234")
        answer = await open_gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        assert answer.status_code == 500
        assert "canary" not in answer.text

    async def test_data_that_was_never_published_is_503(self, open_gateway: Any, issuer: Any) -> None:
        open_gateway.engine.version = None
        answer = await open_gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("not-published")


class TestTheAuditCannotBeWritten:
    async def test_a_personal_read_fails_and_general_reads_go_on(
        self, open_gateway: Any, issuer: Any, postgres_admin_url: str
    ) -> None:
        connection = await asyncpg.connect(postgres_admin_url)
        await connection.execute(
            "ALTER TABLE gateway.audit ADD CONSTRAINT nothing_more CHECK (false) NOT VALID"
        )
        personal = await open_gateway.http.get(STUDENT, headers=issuer.bearer())
        general = await open_gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        await connection.execute("ALTER TABLE gateway.audit DROP CONSTRAINT nothing_more")
        await connection.close()
        assert personal.status_code == 503
        assert personal.json()["type"].endswith("audit-unavailable")
        assert b"student_name" not in personal.content
        assert general.status_code == 200

    async def test_a_lock_that_is_held_too_long_fails_the_read_in_time(
        self, settings: Any, start_gateway: Any, give: Give, issuer: Any, postgres_admin_url: str
    ) -> None:
        await give(api="student")
        async with start_gateway(settings.model_copy(update={"audit_timeout_s": 0.3})) as gateway:
            connection = await asyncpg.connect(postgres_admin_url)
            await connection.execute("SELECT pg_advisory_lock($1, hashtext(''))", Space.AUDIT_CHAIN)
            answer = await gateway.http.get(STUDENT, headers=issuer.bearer())
            assert answer.status_code == 503
            await connection.close()
