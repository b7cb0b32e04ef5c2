"""The job table: who may start when, who holds a run, and what survives a worker's death."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from edulake.common.db import Database
from edulake.governance.models import Run
from edulake.governance.run import repository
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from .conftest import END_LEASES

Queue = Callable[..., Awaitable[None]]


async def change(database: Database, statement: str) -> None:
    """Let time pass in the job table."""
    async with database.transaction() as session:
        await session.execute(text(statement))


async def claim(database: Database, *, token: UUID | None = None) -> Run | None:
    async with database.transaction() as session:
        return await repository.claim(session, "worker", token or uuid4(), 30)


async def claimed(database: Database) -> Run:
    run = await claim(database)
    assert run is not None
    return run


async def finish(database: Database, run: Run, **facts: object) -> None:
    async with database.transaction() as session:
        assert await repository.hold(session, run)
        plain = {
            "state": "finished",
            "outcome": "governed",
            "version": 1,
            "content_digest": "d",
            "rows_in": 1,
            "rows_governed": 1,
            "rows_quarantined": 0,
            "quarantined_by_rule": {},
            "seconds_by_step": {},
            "reason_zh": "",
            "reason_en": "",
            "completeness": None,
        }
        await repository.end(session, run.batch_id, {**plain, **facts})


async def run_of(database: Database, batch_id: str) -> Run:
    async with database.read() as session:
        run = await repository.get(session, batch_id)
    assert run is not None
    return run


class TestClaim:
    async def test_takes_runs_of_a_dataset_in_landing_order_one_at_a_time(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("first")
        await queue("second")
        first = await claimed(database)
        assert first.batch_id == "first"
        assert await claim(database) is None
        await finish(database, first)
        assert (await claimed(database)).batch_id == "second"

    async def test_takes_the_batch_that_landed_first_though_it_was_heard_last(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("second", landed_no=8)
        await queue("first", landed_no=7)
        assert (await claimed(database)).batch_id == "first"

    async def test_takes_what_was_told_without_a_number_before_all_that_has_one(
        self, database: Database, queue: Queue
    ) -> None:
        """Numbers of ingest begin far above those that governance drew for itself."""
        await queue("numbered", landed_no=1_000_000_001)
        await queue("old")
        assert (await claimed(database)).batch_id == "old"

    async def test_takes_runs_of_different_datasets_side_by_side(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("a", dataset="one")
        await queue("b", dataset="two")
        assert {(await claimed(database)).batch_id, (await claimed(database)).batch_id} == {"a", "b"}

    async def test_many_workers_never_hold_one_dataset_twice(self, database: Database, queue: Queue) -> None:
        for number in range(6):
            await queue(f"b{number}", dataset=f"d{number % 2}")
        for _ in range(3):
            results = await asyncio.gather(*(claim(database) for _ in range(6)), return_exceptions=True)
            runs = [r for r in results if isinstance(r, Run)]
            assert all(isinstance(r, Run | IntegrityError | None) for r in results)
            assert sorted(run.dataset for run in runs) == ["d0", "d1"]
            for run in runs:
                await finish(database, run)

    async def test_waits_for_a_back_off_without_letting_later_runs_overtake(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("first")
        await queue("second")
        first = await claimed(database)
        async with database.transaction() as session:
            assert await repository.release(session, first, pause_s=3600)
        assert await claim(database) is None
        await change(database, "UPDATE governance.run SET not_before = now() WHERE batch_id = 'first'")
        again = await claimed(database)
        assert (again.batch_id, again.tries) == ("first", 2)

    async def test_the_database_refuses_a_second_running_run_of_a_dataset(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("first")
        await queue("second")
        await claimed(database)
        with pytest.raises(IntegrityError):
            async with database.transaction() as session:
                await session.execute(
                    text(
                        "UPDATE governance.run SET state = 'running', lease_token = gen_random_uuid() WHERE batch_id = 'second'"
                    )
                )


class TestLease:
    async def test_a_silent_worker_loses_its_run_to_the_next(self, database: Database, queue: Queue) -> None:
        await queue("b")
        lost = await claimed(database)
        assert await claim(database) is None
        await change(database, END_LEASES)
        taken = await claimed(database)
        assert (taken.batch_id, taken.tries) == ("b", 2)
        async with database.transaction() as session:
            assert not await repository.pulse(session, lost, 30, ("clean", 1, 8))
            assert await repository.hold(session, lost) is None
            assert not await repository.release(session, lost)
            assert await repository.hold(session, taken) is not None

    async def test_a_pulse_keeps_the_lease_and_shows_progress(self, database: Database, queue: Queue) -> None:
        await queue("b")
        run = await claimed(database)
        for done in range(4):
            await change(database, END_LEASES)
            async with database.transaction() as session:
                assert await repository.pulse(session, run, 30, ("clean", done, 8))
        assert await claim(database) is None
        seen = await run_of(database, "b")
        assert (seen.step, seen.step_done, seen.step_total) == ("clean", 3, 8)

    async def test_a_lost_run_starts_again_even_when_an_older_one_was_reopened(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("old")
        await finish(database, await claimed(database))
        await queue("new")
        await claimed(database)
        async with database.transaction() as session:
            assert await repository.reopen(session, "old")
        await change(database, END_LEASES)
        assert (await claimed(database)).batch_id == "new"

    async def test_a_run_given_back_does_not_count_as_a_try_when_it_was_not_one(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("b")
        run = await claimed(database)
        async with database.transaction() as session:
            assert await repository.release(session, run, is_a_try=False)
        assert (await claimed(database)).tries == 1


class TestWaitingForAReference:
    async def test_shows_what_it_waits_for_and_is_woken_by_it(self, database: Database, queue: Queue) -> None:
        await queue("b", dataset="quota")
        run = await claimed(database)
        async with database.transaction() as session:
            await repository.release(
                session,
                run,
                state="waiting_reference",
                pause_s=60,
                is_a_try=False,
                waiting_for=["schools"],
                reason=("等待", "waiting"),
            )
        waiting = await run_of(database, "b")
        assert (waiting.state, waiting.waiting_for, waiting.reason_en) == (
            "waiting_reference",
            ["schools"],
            "waiting",
        )
        assert await claim(database) is None
        async with database.transaction() as session:
            assert await repository.wake_waiting(session, "other") == []
            assert await repository.wake_waiting(session, "schools") == ["b"]
        again = await claimed(database)
        assert (again.batch_id, again.tries, again.waiting_since) == ("b", 1, waiting.waiting_since)


class TestWithdraw:
    async def test_cancels_a_run_that_has_not_started(self, database: Database, queue: Queue) -> None:
        await queue("b")
        async with database.transaction() as session:
            assert await repository.withdraw(session, "b") == "cancelled"
        assert await claim(database) is None

    async def test_marks_a_running_run_so_that_it_is_cancelled_at_its_end(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("b")
        run = await claimed(database)
        async with database.transaction() as session:
            assert await repository.withdraw(session, "b") == "running"
            held = await repository.hold(session, run)
            assert held is not None
            assert held.is_withdrawn

    async def test_leaves_a_decided_batch_alone(self, database: Database, queue: Queue) -> None:
        await queue("b")
        await finish(database, await claimed(database))
        async with database.transaction() as session:
            assert await repository.withdraw(session, "b") is None
        assert (await run_of(database, "b")).state == "finished"


class TestReopen:
    async def test_queues_a_decided_batch_under_a_new_revision(
        self, database: Database, queue: Queue
    ) -> None:
        await queue("b")
        await finish(database, await claimed(database))
        async with database.transaction() as session:
            assert await repository.reopen(session, "b")
            assert not await repository.reopen(session, "b")
        again = await claimed(database)
        assert (again.revision, again.tries) == (2, 1)


class TestAdd:
    async def test_knows_a_batch_only_once(self, database: Database, queue: Queue) -> None:
        await queue("b")
        with pytest.raises(AssertionError):
            await queue("b")
