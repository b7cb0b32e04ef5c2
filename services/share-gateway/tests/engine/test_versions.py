"""Following what is published: lost connections, a lost database, and the speed of noticing."""

import asyncio
from typing import Any

import asyncpg
import pytest
from edulake.common.standards import Standards
from edulake.share_gateway.engine.execute import Engine
from edulake.share_gateway.engine.versions import Versions

KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'edulake_reader' AND datname = current_database()"


@pytest.fixture
async def admin(postgres_admin_url: str) -> Any:
    connection = await asyncpg.connect(postgres_admin_url)
    yield connection
    await connection.close()


async def until(condition: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class TestFollowing:
    async def test_the_follower_comes_back_after_its_connection_was_cut(
        self, serve: Any, engine: Engine, admin: Any, make_school: Any
    ) -> None:
        first = await serve("school_base", [make_school(1)])
        await until(lambda: engine.data_version("school_base") == first)
        await admin.execute(KILL)
        second = await serve("school_base", [make_school(1)])
        await until(lambda: engine.data_version("school_base") == second)

    async def test_while_it_cannot_look_it_keeps_what_it_knows_and_tells_its_age(
        self, serve: Any, engine: Engine, admin: Any, make_school: Any
    ) -> None:
        version = await serve("school_base", [make_school(1)])
        await until(lambda: engine.data_version("school_base") == version)
        await admin.execute('REVOKE SELECT ON published."_current" FROM edulake_reader')
        await until(lambda: engine.versions.age_s > 0.5)
        assert engine.data_version("school_base") == version
        looked = engine.versions._looked_at
        await admin.execute('GRANT SELECT ON published."_current" TO edulake_reader')
        await until(lambda: engine.versions._looked_at > looked)

    async def test_what_is_no_longer_current_is_no_longer_served(
        self, serve: Any, engine: Engine, admin: Any, make_school: Any
    ) -> None:
        version = await serve("school_base", [make_school(1)])
        await until(lambda: engine.data_version("school_base") == version)
        await admin.execute("UPDATE gateway.publication SET is_current = false")
        await until(lambda: engine.data_version("school_base") is None)

    @pytest.mark.parametrize(
        "error", [asyncpg.InternalClientError("not connected"), RuntimeError("a defect of ours")]
    )
    async def test_no_error_ends_the_following(
        self, serve: Any, engine: Engine, make_school: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fetch, told = engine.versions._fetch, asyncio.Event()

        async def fail_once() -> Any:
            if not told.is_set():
                told.set()
                raise error
            return await fetch()

        monkeypatch.setattr(engine.versions, "_fetch", fail_once)
        await asyncio.wait_for(told.wait(), 60)
        version = await serve("school_base", [make_school(1)])
        await until(lambda: engine.data_version("school_base") == version)

    async def test_a_closed_engine_looks_no_more(self, database_url: str, standards: Standards) -> None:
        versions = Versions(database_url.replace("{role}", "edulake_reader"), poll_ms=20)
        stop = asyncio.Event()
        following = asyncio.create_task(versions.follow(stop))
        await until(lambda: versions.age_s < 1)
        stop.set()
        await following
        await versions.close()
        assert versions._connection is None


class TestLostDatabase:
    async def test_calls_fail_with_the_drivers_errors_and_work_again_afterwards(
        self, serve: Any, engine: Engine, ask: Any, admin: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 4)])
        await ask("schools")
        await admin.execute(KILL)
        api = engine.route("schools")
        assert api is not None
        failures = 0
        while failures <= 8:
            try:
                await engine.execute(api, engine.validate(api, b""), api.columns, (), "standard")
                break
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                failures += 1
        assert failures <= 8, "each lost connection costs one call"
        assert len((await ask("schools"))["data"]) == 3

    async def test_an_engine_does_not_start_without_its_database(self, standards: Standards) -> None:
        engine = Engine(
            reader_dsn="postgresql://edulake_reader@127.0.0.1:1/edulake",
            apis=standards.apis,
            contracts=standards.datasets,
            codes=standards.codes,
            page_ring=None,  # type: ignore[arg-type]
        )
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await engine.start()
        await engine.close()
