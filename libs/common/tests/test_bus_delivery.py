"""One event, one group: what counts as a try, what a dead letter says, how it is replayed."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from edulake.common import faults
from edulake.common.bus import announce, list_dead_letters, metrics, replay_dead_letter
from edulake.common.bus.delivery import Delivery, describe
from edulake.common.bus.limits import BusLimits
from edulake.common.bus.port import Handler
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.errors import NotFound, Unavailable, Unprocessable
from edulake.common.events import Event, QualityRuleFailed, RawBatchWithdrawn
from edulake.common.telemetry import adopt_trace, trace_id
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

LIMITS = BusLimits(tries=2, backoff_ms=3_600_000, backoff_max_ms=3_600_000, handler_timeout_s=5)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("{role}", "edulake_governance"))
    yield database
    await database.close()


@pytest.fixture
async def event(database: Database) -> Event:
    async with database.transaction() as session:
        return await announce(session, RawBatchWithdrawn(dataset="d", batch_id="b", source_id="s", by="张三"))


async def accept(_session: AsyncSession, _data: RawBatchWithdrawn, _event: Event, _resources: Any) -> None:
    return None


async def refuse(_session: AsyncSession, data: RawBatchWithdrawn, _event: Event, _resources: Any) -> None:
    raise ValueError(f"{data.by} 11010519491231002X")


def delivery(database: Database, handler: Handler, group: str = "g", limits: BusLimits = LIMITS) -> Delivery:
    return Delivery(database, group, {RawBatchWithdrawn: handler}, None, limits)  # type: ignore[arg-type]


async def letters(database: Database, **scope: Any) -> list[Any]:
    async with database.read() as session:
        return await list_dead_letters(session, **scope)


async def make_due(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("UPDATE bus.attempt SET next_try_at = now() - interval '1 s'"))


class TestDeliver:
    async def test_an_event_nobody_handles_is_settled_without_a_trace(
        self, database: Database, event: Event
    ) -> None:
        other = event.model_copy(update={"name": QualityRuleFailed.name})
        assert await delivery(database, refuse).deliver(other) is None
        assert await letters(database) == []

    async def test_a_second_delivery_does_not_call_the_handler(
        self, database: Database, event: Event
    ) -> None:
        calls: list[str] = []

        async def handle(_s: AsyncSession, data: RawBatchWithdrawn, _e: Event, _r: Any) -> None:
            calls.append(data.batch_id)

        done = metrics.DELIVERIES.labels("g", event.name, "done")
        before = done._value.get()
        for _ in range(2):
            assert await delivery(database, handle).deliver(event) is None
        assert calls == ["b"]
        assert done._value.get() == before + 1

    async def test_a_try_left_behind_by_a_crash_does_not_unsettle_the_event(
        self, database: Database, event: Event
    ) -> None:
        """Two processes overlapped: one settled the event, the other ended right after it had begun."""
        await delivery(database, accept).deliver(event)
        async with database.transaction() as session:
            await session.execute(
                text("INSERT INTO bus.attempt VALUES ('g', :id, 'd', 1, now())"), {"id": event.event_id}
            )
        assert await delivery(database, refuse).deliver(event) is None
        assert await letters(database) == []

    async def test_two_deliveries_at_once_have_one_effect(self, database: Database, event: Event) -> None:
        calls: list[str] = []

        async def handle(_s: AsyncSession, data: RawBatchWithdrawn, _e: Event, _r: Any) -> None:
            calls.append(data.batch_id)
            await asyncio.sleep(0.1)

        one = delivery(database, handle)
        assert await asyncio.gather(one.deliver(event), one.deliver(event)) == [None, None]
        assert calls == ["b"]

    async def test_a_failed_try_names_the_moment_of_the_next(self, database: Database, event: Event) -> None:
        calls: list[int] = []

        async def count(*args: Any) -> None:
            calls.append(1)
            await refuse(*args)

        one = delivery(database, count)
        until = await one.deliver(event)
        assert until is not None
        assert abs(until - now() - timedelta(hours=1)) < timedelta(seconds=10)
        assert await one.deliver(event) == until
        assert len(calls) == 1, "before its moment the event is not tried"

    async def test_the_handler_runs_in_the_trace_of_the_event(self, database: Database) -> None:
        trace = adopt_trace("b" * 32)
        async with database.transaction() as session:
            event = await announce(
                session, RawBatchWithdrawn(dataset="d", batch_id="b", source_id="s", by="x")
            )
        adopt_trace("c" * 32)
        seen: list[str] = []

        async def handle(*_args: Any) -> None:
            seen.append(trace_id())

        await delivery(database, handle).deliver(event)
        assert seen == [trace]

    async def test_facts_that_cannot_be_read_die_at_once(self, database: Database, event: Event) -> None:
        broken = event.model_copy(update={"data": {"by": "张三"}})
        assert await delivery(database, accept).deliver(broken) is None
        (letter,) = await letters(database)
        assert letter.tries == 1
        assert letter.reason.startswith("ValidationError")
        assert "张三" not in letter.reason

    async def test_what_a_handler_announces_rides_with_its_effect(
        self, database: Database, event: Event
    ) -> None:
        async def announce_and_fail(
            session: AsyncSession, data: RawBatchWithdrawn, _e: Event, _r: Any
        ) -> None:
            await announce(session, data)
            raise ValueError

        await delivery(database, announce_and_fail).deliver(event)
        async with database.read() as session:
            assert await session.scalar(text("SELECT count(*) FROM bus.log")) == 1

    async def test_a_lost_database_is_the_readers_affair(self, event: Event, tmp_path: Any) -> None:
        nowhere = Database(f"postgresql://nobody@/nothing?host={tmp_path}")
        try:
            with pytest.raises(Unavailable):
                await delivery(nowhere, accept).deliver(event)
        finally:
            await nowhere.close()

    @pytest.mark.parametrize(("point", "effects"), [("bus.before_commit", 0), ("bus.after_commit", 1)])
    async def test_the_pause_points_stand_on_both_sides_of_the_commit(
        self,
        database: Database,
        event: Event,
        point: str,
        effects: int,
        make_settings: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        settings = make_settings()
        monkeypatch.setenv(faults.VARIABLE, point)
        faults.configure(settings)
        try:
            task = asyncio.create_task(delivery(database, accept).deliver(event))
            async with asyncio.timeout(60):
                while not faults.mark_of(settings.home, point).exists():
                    await asyncio.sleep(0.01)
            async with database.read() as session:
                assert await session.scalar(text("SELECT count(*) FROM bus.inbox")) == effects
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        finally:
            monkeypatch.delenv(faults.VARIABLE)
            faults.configure(settings)


class TestDeadLetter:
    async def dead(self, database: Database, event: Event, group: str = "g") -> Any:
        one = delivery(database, refuse, group)
        await one.deliver(event)
        await make_due(database)
        assert await one.deliver(event) is None
        return (await letters(database, consumer=group))[0]

    async def test_it_says_what_and_where_but_repeats_no_value(
        self, database: Database, event: Event
    ) -> None:
        letter = await self.dead(database, event)
        assert (letter.consumer, letter.event_id, letter.key) == ("g", str(event.event_id), "d")
        assert (letter.tries, letter.state) == (2, "dead")
        assert letter.reason.startswith("ValueError at ")
        assert "张三" not in letter.reason

    async def test_a_dead_event_is_settled_until_it_is_replayed(
        self, database: Database, event: Event
    ) -> None:
        letter = await self.dead(database, event)
        calls: list[int] = []

        async def count(*_args: Any) -> None:
            calls.append(1)

        await delivery(database, count).deliver(event)
        assert calls == []
        async with database.transaction() as session:
            await replay_dead_letter(session, letter.id)
        await delivery(database, count).deliver(event)
        assert calls == [1]

    async def test_only_what_is_dead_can_be_replayed(self, database: Database, event: Event) -> None:
        letter = await self.dead(database, event)
        async with database.transaction() as session:
            await replay_dead_letter(session, letter.id)
            for unknown in (letter.id, 0):
                with pytest.raises(NotFound):
                    await replay_dead_letter(session, unknown)

    async def test_the_list_pages_and_filters_by_group(self, database: Database, event: Event) -> None:
        groups = ["g1", "g2", "g3"]
        for group in groups:
            await self.dead(database, event, group)
        assert [letter.consumer for letter in await letters(database)] == groups[::-1]
        assert [letter.consumer for letter in await letters(database, consumer="g2")] == ["g2"]
        newest = (await letters(database, limit=1))[0]
        assert [letter.consumer for letter in await letters(database, before=newest.id)] == ["g2", "g1"]


class TestDescribe:
    def raised(self, error: Exception) -> BaseException:
        try:
            raise error
        except Exception as caught:  # noqa: BLE001 - any error is described here
            return caught

    def test_a_problem_is_named_by_its_code(self) -> None:
        found = describe(self.raised(Unprocessable("某人", "somebody")))
        assert re.fullmatch(r"Unprocessable \(unprocessable\) at \S*test_bus_delivery:\d+", found)
        assert "somebody" not in found

    def test_the_cause_is_named_where_there_is_one(self) -> None:
        error = self.raised(Unavailable("x", "x"))
        error.__cause__ = FileNotFoundError("/srv/zhangsan/secret.csv")
        assert describe(error) == "Unavailable (unavailable) from FileNotFoundError"

    async def test_a_refused_statement_is_named_by_its_sqlstate(self, database: Database) -> None:
        with pytest.raises(DBAPIError) as refused:
            async with database.transaction() as session:
                await session.execute(text("SELECT CAST('张三' AS int)"))
        found = describe(refused.value)
        assert found.startswith("DBAPIError (22P02)")
        assert "张三" not in found
