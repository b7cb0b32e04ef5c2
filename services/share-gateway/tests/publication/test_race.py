"""Publishing and rolling back at the same time, and a publisher that loses its database."""

import asyncio
from typing import Any

import pytest
from edulake.common.errors import Problem, Unavailable
from edulake.share_gateway.publication import decisions, repository


async def current_is_what_is_seen(admin: Any, reader: Any) -> None:
    version, rows = await admin.fetchrow(
        "SELECT version, row_count FROM gateway.publication WHERE is_current"
    )
    assert await reader.fetchval("SELECT count(*) FROM published.school_base") == rows
    assert await reader.fetchval('SELECT version FROM published."_current"') == version


class TestTogether:
    async def test_the_view_and_the_record_never_disagree(
        self,
        govern: Any,
        queue: Any,
        loop: Any,
        database: Any,
        lake: Any,
        admin: Any,
        reader: Any,
        make_school: Any,
        standards: Any,
    ) -> None:
        """Each version has as many rows as its number, so a view left behind would show."""
        contract = standards.datasets["school_base"]

        def rows(count: int) -> list[dict[str, Any]]:
            return [make_school(n) for n in range(1, count + 1)]

        await queue(await govern("b1", rows(1)))
        await loop.run_once()
        done = asyncio.Event()

        async def roll_back_again_and_again() -> int:
            refused = 0
            while not done.is_set():
                kept = await admin.fetch(
                    "SELECT version FROM gateway.publication WHERE dropped_at IS NULL ORDER BY 1"
                )
                try:
                    async with database.transaction() as session:
                        await decisions.rollback(session, contract, kept[0][0], "person:li", kept[0][0])
                except Problem:
                    refused += 1
                await asyncio.sleep(0)
            return refused

        rolling = asyncio.create_task(roll_back_again_and_again())
        for number in range(2, 9):
            await queue(await govern(f"b{number}", rows(number)))
            assert await loop.run_once()
        done.set()
        await rolling
        await current_is_what_is_seen(admin, reader)
        events = await admin.fetch(
            "SELECT payload::json ->> 'rolled_back' r FROM bus.log WHERE topic = 'published'"
        )
        assert sum(row["r"] == "false" for row in events) == 8
        assert any(row["r"] == "true" for row in events)

    async def test_two_rollbacks_to_one_version_happen_once(
        self,
        govern: Any,
        queue: Any,
        loop: Any,
        database: Any,
        lake: Any,
        admin: Any,
        reader: Any,
        make_school: Any,
        standards: Any,
    ) -> None:
        contract = standards.datasets["school_base"]
        for number in (1, 2):
            await queue(await govern(f"b{number}", [make_school(n) for n in range(number)]))
            await loop.run_once()

        async def roll_back() -> None:
            async with database.transaction() as session:
                await decisions.rollback(session, contract, 1, "person:li", agreed_rows=1)

        ends = await asyncio.gather(roll_back(), roll_back(), return_exceptions=True)
        assert sorted(type(end).__name__ for end in ends) == ["NoneType", "VersionIsCurrent"]
        await current_is_what_is_seen(admin, reader)


class TestLostDatabase:
    async def test_a_job_under_way_is_left_to_its_lease(
        self,
        govern: Any,
        queue: Any,
        loop: Any,
        admin: Any,
        database: Any,
        monkeypatch: Any,
        make_school: Any,
    ) -> None:
        await queue(await govern("b1", [make_school(1)]))

        async def lost(*_: Any) -> None:
            raise Unavailable("数据库暂时不可用", "the database is not reachable")

        with monkeypatch.context() as patched:
            patched.setattr(loop._publisher, "publish", lost)
            with pytest.raises(Unavailable):
                await loop.run_once()
        async with database.transaction() as session:
            [job] = (await repository.last_jobs(session)).values()
        assert job.status == "running"
        assert not await loop.run_once()
        await admin.execute("UPDATE gateway.publication_job SET lease_until = now() - interval '1 s'")
        assert await loop.run_once()
        assert await admin.fetchval("SELECT status FROM gateway.publication_job") == "published"
