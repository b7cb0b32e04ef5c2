"""From a governed version to a served one: what is published, what is refused, what is repeated."""

import asyncio
from typing import Any

import orjson
import polars as pl
import pytest
from edulake.share_gateway.publication.decisions import retry
from edulake.share_gateway.publication.jobs import JobLoop
from edulake.share_gateway.publication.schemas import Job
from edulake.share_gateway.publication.service import is_made_on

JOBS = "SELECT * FROM gateway.publication_job ORDER BY job_id"
ANNOUNCED = """SELECT payload::json ->> 'version' v, payload::json ->> 'batch_id' b FROM bus.log
    WHERE name = 'published.dataset.updated.v1'"""
REFUSED = "SELECT payload FROM bus.log WHERE name = 'published.dataset.refused.v1' ORDER BY pos"


async def publish(govern: Any, queue: Any, loop: Any, batch: str, rows: Any, **more: Any) -> None:
    await queue(await govern(batch, rows, **more))
    assert await loop.run_once()


class TestPublish:
    async def test_a_governed_version_is_served_whole(
        self, govern: Any, queue: Any, loop: Any, reader: Any, admin: Any, make_school: Any
    ) -> None:
        await publish(govern, queue, loop, "b1", [make_school(n) for n in range(1, 31)])
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 30
        current = await reader.fetchrow('SELECT dataset, version FROM published."_current"')
        assert tuple(current) == ("school_base", 1)
        [job] = await admin.fetch(JOBS)
        assert (job["status"], job["version"], job["worker"]) == ("published", 1, None)
        assert "publish" in job["seconds_by_step"]
        [event] = await admin.fetch("SELECT * FROM bus.log WHERE name = 'published.dataset.updated.v1'")
        facts = orjson.loads(event["payload"])
        assert facts["batch_id"] == "b1"
        assert (facts["version"], facts["governed_version"], facts["row_count"]) == (1, 1, 30)
        assert facts["rolled_back"] is False
        assert "第1中学" not in event["payload"]

    async def test_only_declared_fields_are_served(
        self, govern: Any, queue: Any, loop: Any, reader: Any, make_school: Any
    ) -> None:
        """P8: no sealed value, no provenance, nothing that the contract does not declare or drops."""
        extra = {"remark": "秘密备注", "school_name_sealed": "v1.k.x.y", "unexpected": "1"}
        await publish(govern, queue, loop, "b1", [make_school(1, **extra)])
        for table in ('published."school_base__v1"', "published.school_base"):
            row = dict(await reader.fetchrow(f"SELECT * FROM {table}"))
            assert not row.keys() & {*extra, "_provenance", "_sources", "_row_key", "serial"}
            assert "旧名" not in str(row)
        assert not [
            n for n in dict(await reader.fetchrow("SELECT * FROM published.school_base")) if n[0] == "_"
        ]

    async def test_values_arrive_as_they_are(
        self, govern: Any, queue: Any, loop: Any, reader: Any, make_school: Any
    ) -> None:
        names = [
            "",
            "\\N",
            "NULL",
            'a"b',
            "a,b",
            "a\nb\r\n",
            "甲，乙",
            "'; --",
            " x ",
            "\\.",
            "a\\b",
            "\t",
            "🏫",
        ]
        rows = [make_school(n, school_name=name) for n, name in enumerate(names, 1)]
        rows += [make_school(99, school_name=None, estimated_pupils=None, stage=None)]
        await publish(govern, queue, loop, "b1", rows)
        found = await reader.fetch("SELECT school_name FROM published.school_base ORDER BY school_key")
        assert [row["school_name"] for row in found] == [*names, None]
        assert await reader.fetchval("SELECT sum(estimated_pupils) FROM published.school_base") == sum(
            row["estimated_pupils"] or 0 for row in rows
        )

    async def test_an_empty_version_is_served_as_empty(
        self, govern: Any, queue: Any, loop: Any, reader: Any, make_school: Any
    ) -> None:
        await publish(govern, queue, loop, "b1", pl.DataFrame([make_school(1)]).clear())
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 0

    async def test_five_versions_are_kept(
        self, govern: Any, queue: Any, loop: Any, admin: Any, make_school: Any
    ) -> None:
        for number in range(1, 9):
            await publish(govern, queue, loop, f"b{number}", [make_school(number)])
        tables = await admin.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'published' ORDER BY 1"
        )
        assert [row[0] for row in tables] == [f"school_base__v{n}" for n in range(4, 9)]
        kept = await admin.fetch(
            "SELECT version FROM gateway.publication WHERE dropped_at IS NULL ORDER BY 1"
        )
        assert [row[0] for row in kept] == [4, 5, 6, 7, 8]


class TestRepetition:
    async def test_a_repeated_event_publishes_nothing_twice(
        self, govern: Any, queue: Any, loop: Any, admin: Any, make_school: Any
    ) -> None:
        ready = await govern("b1", [make_school(1)])
        assert await queue(ready)
        assert not await queue(ready)
        assert await loop.run_once()
        assert not await queue(ready)
        assert not await loop.run_once()
        assert len(await admin.fetch(ANNOUNCED)) == 1

    async def test_another_batch_of_the_same_version_is_announced_without_a_new_table(
        self, govern: Any, queue: Any, loop: Any, admin: Any, make_school: Any
    ) -> None:
        ready = await govern("b1", [make_school(1)])
        await queue(ready)
        await queue(ready.model_copy(update={"batch_id": "b2"}))
        assert await loop.run_once()
        assert await loop.run_once()
        assert {tuple(row) for row in await admin.fetch(ANNOUNCED)} == {("1", "b1"), ("1", "b2")}
        assert await admin.fetchval("SELECT count(*) FROM gateway.publication") == 1

    async def test_a_late_older_version_does_not_replace_a_newer_one(
        self, govern: Any, queue: Any, loop: Any, admin: Any, reader: Any, make_school: Any
    ) -> None:
        older = await govern("b1", [make_school(1)])
        await publish(govern, queue, loop, "b2", [make_school(1), make_school(2)])
        await queue(older)
        assert await loop.run_once()
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 2
        assert {tuple(row) for row in await admin.fetch(ANNOUNCED)} == {("1", "b2"), ("1", "b1")}

    async def test_an_older_version_is_not_looked_at_when_a_newer_one_is_published(
        self, govern: Any, queue: Any, loop: Any, admin: Any, make_school: Any
    ) -> None:
        """It must not be served by itself, but what is served holds it: its batch is published."""
        older = await govern("b1", [make_school(1)], level=5)
        await publish(govern, queue, loop, "b2", [make_school(1), make_school(2)])
        await queue(older)
        assert await loop.run_once()
        assert {tuple(row) for row in await admin.fetch(ANNOUNCED)} == {("1", "b2"), ("1", "b1")}
        assert await admin.fetch(REFUSED) == []

    async def test_an_older_version_that_a_restore_has_undone_is_neither_served_nor_called_published(
        self, govern: Any, restore: Any, queue: Any, loop: Any, admin: Any, reader: Any, make_school: Any
    ) -> None:
        await publish(govern, queue, loop, "b1", [make_school(1)])
        undone = await govern("b2", [make_school(1), make_school(2)])
        await queue(await restore(1))
        assert await loop.run_once()
        await queue(undone)
        assert await loop.run_once()
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 1
        assert {row["b"] for row in await admin.fetch(ANNOUNCED)} == {"b1"}
        [refused] = [orjson.loads(row["payload"]) for row in await admin.fetch(REFUSED)]
        assert (refused["batch_id"], "恢复操作撤销" in refused["reason_zh"]) == ("b2", True)

        await queue(await restore(2))  # and back again: now what is served holds it
        assert await loop.run_once()
        async with loop._database.transaction() as session:
            await retry(session, "school_base", "person:li")
        assert await loop.run_once()
        assert ("3", "b2") in {tuple(row) for row in await admin.fetch(ANNOUNCED)}


class TestWhatAVersionIsMadeOn:
    @pytest.mark.parametrize(
        ("version", "base", "restores", "made_on"),
        [
            (5, 2, {}, True),
            (3, 2, {3: 1}, False),
            (4, 2, {3: 1}, False),
            (3, 2, {3: 2}, True),
            (4, 2, {3: 1, 4: 2}, True),
            (6, 2, {3: 1, 5: 3}, False),
            (6, 3, {3: 1, 5: 3}, True),
        ],
    )
    def test_follows_what_restored_versions_repeat(
        self, version: int, base: int, restores: dict[int, int], made_on: bool
    ) -> None:
        assert is_made_on(version, base, restores) is made_on


class TestRefusal:
    async def blocked(self, admin: Any, reader: Any) -> str:
        [job] = await admin.fetch(JOBS)
        assert job["status"] == "blocked"
        assert await reader.fetchval("SELECT to_regclass('published.school_base')") is None
        assert await admin.fetch(ANNOUNCED) == []
        [event] = await admin.fetch(REFUSED)
        told = orjson.loads(event["payload"])
        assert (told["outcome"], told["batch_id"], told["governed_version"]) == ("blocked", "b1", 1)
        assert (told["reason_zh"], told["reason_en"]) == (job["reason_zh"], job["reason_en"])
        return f"{job['reason_zh']}|{job['reason_en']}"

    async def test_data_graded_above_the_contract_are_not_published(
        self, govern: Any, queue: Any, loop: Any, admin: Any, reader: Any, make_school: Any
    ) -> None:
        await publish(govern, queue, loop, "b1", [make_school(1)], level=4)
        assert "above the declared" in await self.blocked(admin, reader)

    async def test_a_repeated_business_key_is_not_published(
        self, govern: Any, queue: Any, loop: Any, admin: Any, reader: Any, make_school: Any
    ) -> None:
        await publish(govern, queue, loop, "b1", [make_school(1), make_school(1, school_name="另一所")])
        reason = await self.blocked(admin, reader)
        assert "业务主键重复" in reason
        assert make_school(1)["school_key"] not in reason

    async def test_values_of_another_type_are_not_published(
        self, govern: Any, queue: Any, loop: Any, admin: Any, reader: Any, make_school: Any
    ) -> None:
        await publish(govern, queue, loop, "b1", [make_school(1, estimated_pupils="很多")])
        reason = await self.blocked(admin, reader)
        assert "estimated_pupils" in reason
        assert "很多" not in reason

    async def test_a_dataset_without_contract_is_not_published(
        self, govern: Any, queue: Any, loop: Any, admin: Any, reader: Any, make_school: Any
    ) -> None:
        await publish(govern, queue, loop, "b1", [make_school(1)], dataset="unknown_base")
        assert "no contract" in await self.blocked(admin, reader)

    async def test_a_blocked_version_does_not_hold_up_the_next(
        self, govern: Any, queue: Any, loop: Any, reader: Any, make_school: Any
    ) -> None:
        await publish(govern, queue, loop, "b1", [make_school(1)], level=5)
        await publish(govern, queue, loop, "b2", [make_school(1)])
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 1

    async def test_a_lake_that_differs_from_its_manifest_is_not_published(
        self, govern: Any, queue: Any, loop: Any, admin: Any, reader: Any, make_school: Any
    ) -> None:
        await queue(await govern("b1", [make_school(1)]))
        await admin.execute("UPDATE lake.manifest SET content_digest = repeat('0', 64)")
        assert await loop.run_once()
        assert "verify the lake" in await self.blocked(admin, reader)


class TestTries:
    async def test_a_failure_is_tried_again_and_given_up_with_a_reason(
        self,
        govern: Any,
        queue: Any,
        loop: Any,
        settings: Any,
        admin: Any,
        monkeypatch: Any,
        make_school: Any,
    ) -> None:
        await queue(await govern("b1", [make_school(1)]))

        async def broken(*_: Any) -> None:
            raise RuntimeError("a value of a row")

        monkeypatch.setattr(loop._publisher, "prepare", broken)
        for _ in range(settings.publisher_tries):
            assert await admin.fetch(REFUSED) == []
            assert await loop.run_once()
        assert not await loop.run_once()
        [job] = await admin.fetch(JOBS)
        assert job["status"] == "failed"
        assert "RuntimeError" in job["reason_en"]
        [event] = await admin.fetch(REFUSED)
        assert orjson.loads(event["payload"])["outcome"] == "failed"
        assert "a value of a row" not in job["reason_en"] + event["payload"]

    async def test_a_damaged_lake_is_named_and_harms_no_other_job(
        self, govern: Any, queue: Any, loop: Any, lake: Any, settings: Any, admin: Any, make_school: Any
    ) -> None:
        """The reader would panic at a cut file; the loop must outlive even that."""
        await queue(await govern("b1", [make_school(1)]))
        folder = settings.home / "lake" / "governed" / "school_base"
        [file] = folder.glob("*.parquet")
        file.write_bytes(file.read_bytes()[:-5])
        for _ in range(settings.publisher_tries):
            assert await loop.run_once()
        [event] = await admin.fetch(REFUSED)
        told = orjson.loads(event["payload"])
        assert (told["outcome"], file.name in told["reason_zh"], file.name in told["reason_en"]) == (
            "failed",
            True,
            True,
        )

    async def test_a_panic_of_the_engine_is_a_failed_try(
        self, govern: Any, queue: Any, loop: Any, admin: Any, monkeypatch: Any, make_school: Any
    ) -> None:
        await queue(await govern("b1", [make_school(1)]))

        async def panics(*_: Any) -> None:
            raise pl.exceptions.PanicException("a value of a row")

        with monkeypatch.context() as patched:
            patched.setattr(loop._publisher, "prepare", panics)
            assert await loop.run_once()
        assert await loop.run_once()
        [job] = await admin.fetch(JOBS)
        assert (job["status"], job["tries"]) == ("published", 2)

    async def test_a_publisher_that_ends_in_every_try_is_given_up_and_told(
        self, govern: Any, queue: Any, loop: Any, settings: Any, admin: Any, make_school: Any
    ) -> None:
        await queue(await govern("b1", [make_school(1)]))
        await admin.execute(
            "UPDATE gateway.publication_job SET status = 'running', worker = 'dead', tries = $1, "
            "lease_until = now() - interval '1 s'",
            settings.publisher_tries,
        )
        assert await loop.run_once()
        [event] = await admin.fetch(REFUSED)
        assert orjson.loads(event["payload"])["reason_zh"] == "发布进程多次中断"

    async def test_a_refusal_that_another_worker_may_contradict_is_not_told(
        self, govern: Any, queue: Any, loop: Any, admin: Any, monkeypatch: Any, make_school: Any
    ) -> None:
        await queue(await govern("b1", [make_school(1)], level=5))
        original = loop._publisher.prepare

        async def slow(job: Job) -> Any:
            await admin.execute("UPDATE gateway.publication_job SET worker = 'another', tries = tries + 1")
            return await original(job)

        monkeypatch.setattr(loop._publisher, "prepare", slow)
        assert await loop.run_once()
        assert await admin.fetch(REFUSED) == []
        [job] = await admin.fetch(JOBS)
        assert (job["status"], job["worker"]) == ("running", "another")

    async def test_a_lost_lease_undoes_the_publication(
        self, govern: Any, queue: Any, loop: Any, admin: Any, reader: Any, monkeypatch: Any, make_school: Any
    ) -> None:
        await queue(await govern("b1", [make_school(1)]))
        original = loop._publisher.prepare

        async def slow(job: Job) -> Any:
            found = await original(job)
            await admin.execute("UPDATE gateway.publication_job SET worker = 'another', tries = tries + 1")
            return found

        monkeypatch.setattr(loop._publisher, "prepare", slow)
        assert await loop.run_once()
        assert await reader.fetchval("SELECT to_regclass('published.school_base')") is None
        [job] = await admin.fetch(JOBS)
        assert (job["status"], job["worker"]) == ("running", "another")

    async def test_a_job_whose_worker_died_is_taken_again(
        self, govern: Any, queue: Any, loop: Any, admin: Any, make_school: Any
    ) -> None:
        await queue(await govern("b1", [make_school(1)]))
        await admin.execute(
            "UPDATE gateway.publication_job SET status = 'running', worker = 'dead', tries = 1, "
            "lease_until = now() - interval '1 s'"
        )
        assert await loop.run_once()
        [job] = await admin.fetch(JOBS)
        assert (job["status"], job["tries"]) == ("published", 2)

    async def test_a_dataset_has_one_job_at_a_time_in_order(
        self, govern: Any, queue: Any, loop: Any, admin: Any, make_school: Any
    ) -> None:
        for number in (1, 2, 3):
            await queue(await govern(f"b{number}", [make_school(number)]))
        assert await asyncio.gather(loop.run_once(), loop.run_once(), loop.run_once())
        while await loop.run_once():
            pass
        rows = await admin.fetch("SELECT governed_version FROM gateway.publication ORDER BY version")
        assert [row[0] for row in rows] == [1, 2, 3]

    async def test_the_lease_is_kept_while_the_lake_is_read(
        self,
        resources: Any,
        lake: Any,
        settings: Any,
        govern: Any,
        queue: Any,
        admin: Any,
        monkeypatch: Any,
        make_school: Any,
    ) -> None:
        quick = settings.model_copy(update={"publisher_lease_s": 6.0})
        loop = JobLoop(resources, quick, lake)
        original = loop._publisher.prepare
        reading, read = asyncio.Event(), asyncio.Event()

        async def slow(job: Job) -> Any:
            reading.set()
            await read.wait()
            return await original(job)

        async def lease() -> Any:
            return await admin.fetchval("SELECT lease_until FROM gateway.publication_job")

        monkeypatch.setattr(loop._publisher, "prepare", slow)
        await queue(await govern("b1", [make_school(1)]))
        first = asyncio.create_task(loop.run_once())
        async with asyncio.timeout(60):
            await reading.wait()
            taken_until = await lease()
            while await lease() == taken_until:
                await asyncio.sleep(0.02)
        assert not await JobLoop(resources, quick, lake).run_once()
        read.set()
        assert await first
        assert (await admin.fetchrow(JOBS))["tries"] == 1
