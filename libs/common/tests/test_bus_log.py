"""The log: who may write it, in which order it is read, and that nothing is stepped over."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from edulake.common import clock
from edulake.common.bus import PositionGone, announce
from edulake.common.bus import log as event_log
from edulake.common.bus.announce import MAX_EVENT_BYTES
from edulake.common.db import Database
from edulake.common.events import Event, RawBatchWithdrawn
from edulake.common.telemetry import adopt_trace
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

announce_module = sys.modules["edulake.common.bus.announce"]  # the package shows its function by that name
NAMES = [RawBatchWithdrawn.name]


def fact(dataset: str, number: int = 0) -> RawBatchWithdrawn:
    return RawBatchWithdrawn(dataset=dataset, batch_id=str(number), source_id="s", by="tester")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("{role}", "edulake_ingest"), pool_size=5)
    yield database
    await database.close()


@pytest.fixture
async def admin(postgres_admin_url: str) -> AsyncIterator[Database]:
    database = Database(postgres_admin_url)
    yield database
    await database.close()


async def announced(database: Database, *datasets: str) -> list[Event]:
    async with database.transaction() as session:
        return [await announce(session, fact(dataset)) for dataset in datasets]


async def keys_after(database: Database, after: int = 0, limit: int = 100) -> list[str]:
    async with database.transaction() as session:
        page = await event_log.read_after(session, after, ["raw"], limit)
    return [event.key for event in page.events]


class TestAnnounce:
    async def test_the_row_tells_who_when_and_within_which_trace(self, database: Database) -> None:
        trace = adopt_trace("a" * 32)
        (event,) = await announced(database, "school_base")
        async with database.transaction() as session:
            page = await event_log.read_after(session, 0, ["raw"], 10)
        assert page.events == [event]
        assert (event.producer, event.trace_id, event.topic) == ("edulake_ingest", trace, "raw")

    async def test_its_time_is_the_databases_whatever_the_announcers_clock_says(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (clock, announce_module):
            monkeypatch.setattr(module, "now", lambda: datetime(2099, 1, 1, tzinfo=UTC), raising=False)
        async with database.transaction() as session:
            before = await session.scalar(text("SELECT clock_timestamp()"))
            event = await announce(session, fact("school_base"))
            after = await session.scalar(text("SELECT clock_timestamp()"))
        assert before <= event.occurred_at <= after

    async def test_no_service_writes_the_log_by_itself(self, database: Database) -> None:
        """Only through the function, so that every announcer holds the lock readers look at."""
        await announced(database, "a")
        for statement in (
            "INSERT INTO bus.log (event_id, topic, name, key, payload, trace_id, producer, created_at) "
            "VALUES (gen_random_uuid(), 'raw', 'x', 'k', '{}', '', 'someone_else', now())",
            "UPDATE bus.log SET producer = 'someone_else'",
            "DELETE FROM bus.log",
            "SELECT nextval('bus.log_pos_seq')",
        ):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with database.transaction() as session:
                    await session.execute(text(statement))

    async def test_the_reader_of_the_query_engine_sees_no_event(self, database_url: str) -> None:
        reader = Database(database_url.replace("{role}", "edulake_reader"))
        try:
            with pytest.raises(DBAPIError, match="permission denied"):
                async with reader.read() as session:
                    await session.execute(text("SELECT * FROM bus.log"))
        finally:
            await reader.close()

    async def test_an_event_that_carries_rows_is_refused(self, database: Database) -> None:
        with pytest.raises(ValueError, match=f"more than {MAX_EVENT_BYTES}"):
            await announced(database, "x" * MAX_EVENT_BYTES)
        assert await keys_after(database) == []


class TestHorizon:
    async def test_an_open_announcer_hides_what_comes_after_it_only(self, database: Database) -> None:
        await announced(database, "before")
        async with database.transaction() as slow:
            await announce(slow, fact("slow"))
            await announced(database, "after")
            assert await keys_after(database) == ["before"]
        assert await keys_after(database) == ["before", "slow", "after"]

    async def test_an_announcer_holds_its_place_before_it_draws_its_position(
        self, database: Database, admin: Database
    ) -> None:
        """Drawn first and locked after, a reader between the two would step over the event."""
        await announced(database, "earlier")
        async with database.transaction() as session:
            await announce(session, fact("mine"))
            pos = await session.scalar(text("SELECT pos FROM bus.log WHERE key = 'mine'"))
            async with admin.transaction() as other:
                held = await other.scalar(
                    text(
                        "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' "
                        "AND classid::bigint >> 16 = 3803 AND objsubid = 1"
                    )
                )
            assert held == pos - 1

    async def test_a_long_transaction_that_announces_nothing_delays_nobody(self, database: Database) -> None:
        """A publication copies for minutes; a revocation must pass it within seconds."""
        async with database.transaction() as long:
            await long.execute(text("SELECT pg_current_xact_id()"))
            await announced(database, "revocation")
            assert await keys_after(database) == ["revocation"]

    async def test_order_is_that_of_announcing_not_of_transaction_ids(self, database: Database) -> None:
        """An older transaction that waited for the newer one's lock announces after it."""
        async with database.transaction() as older:
            await older.execute(text("SELECT pg_current_xact_id()"))
            await announced(database, "first")
            await announce(older, fact("second"))
        assert await keys_after(database) == ["first", "second"]

    async def test_positions_hold_after_a_restore_into_a_new_server(
        self, database: Database, admin: Database
    ) -> None:
        """There the ids of transactions begin anew, far below those in the restored rows."""
        await announced(database, "old")
        async with admin.transaction() as session:
            await session.execute(text("UPDATE bus.log SET txid = '9000000000'"))
        await announced(database, "new")
        assert await keys_after(database) == ["old", "new"]

    async def test_an_announcement_undone_to_a_savepoint_still_leaves_the_next_one_safe(
        self, database: Database
    ) -> None:
        async with database.transaction() as session:
            with pytest.raises(RuntimeError, match="undone"):
                async with session.begin_nested():
                    await announce(session, fact("undone"))
                    raise RuntimeError("undone")
            await announce(session, fact("kept"))
            await announced(database, "after")
            assert await keys_after(database) == []
        assert await keys_after(database) == ["kept", "after"]

    async def test_a_row_that_a_hand_writes_is_not_stepped_over(
        self, database: Database, admin: Database
    ) -> None:
        """A large one takes a while between its position and its commit."""
        by_hand = text(
            "INSERT INTO bus.log (event_id, topic, name, key, payload, trace_id, producer, created_at) VALUES "
            "(gen_random_uuid(), 'raw', 'raw.batch.withdrawn.v1', 'hand', '{}', '', 'hand', now())"
        )
        async with admin.transaction() as hand:
            await hand.execute(by_hand)
            await announced(database, "after")
            assert await keys_after(database) == []
        assert await keys_after(database) == ["hand", "after"]

    async def test_the_horizon_of_another_database_does_not_count(
        self, database: Database, postgres_admin_url: str
    ) -> None:
        await announced(database, "a")
        elsewhere = Database(
            postgres_admin_url.replace(postgres_admin_url.split("/")[3].split("?", maxsplit=1)[0], "postgres")
        )
        try:
            async with elsewhere.transaction() as session:
                await session.execute(text("SELECT pg_advisory_xact_lock_shared((3803::bigint << 48) | 0)"))
                assert await keys_after(database) == ["a"]
        finally:
            await elsewhere.close()

    async def test_a_snapshot_cannot_read_the_log(self, database: Database) -> None:
        """Its rows would be older than the horizon, and what lies between would be lost."""
        await announced(database, "a")
        with pytest.raises(DBAPIError, match="READ COMMITTED"):
            async with database.read() as session:
                await event_log.read_after(session, 0, ["raw"], 10)

    async def test_readers_racing_many_announcers_step_over_nothing(self, database: Database) -> None:
        total, writers = 150, 5
        seen: list[str] = []

        async def announcer(writer: int) -> None:
            for number in range(total // writers):
                async with database.transaction() as session:
                    await announce(session, fact(f"{writer}-{number}"))
                    await asyncio.sleep(0.001 * ((writer + number) % 3))

        async def reader(done: asyncio.Event) -> None:
            at = 0
            while not (done.is_set() and len(seen) >= total):
                async with database.transaction() as session:
                    page = await event_log.read_after(session, at, ["raw"], 7)
                seen.extend(event.key for event in page.events)
                assert page.pos >= at
                at = page.pos

        done = asyncio.Event()
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            group.create_task(reader(done))
            await asyncio.gather(*(announcer(writer) for writer in range(writers)))
            done.set()
        assert len(seen) == len(set(seen)) == total


class TestReadAfter:
    async def test_pages_join_without_gap_or_repeat(self, database: Database) -> None:
        datasets = [f"d{n}" for n in range(7)]
        await announced(database, *datasets)
        seen: list[str] = []
        at, last = 0, -1
        while at != last:
            last = at
            async with database.transaction() as session:
                page = await event_log.read_after(session, at, ["raw"], 3)
            seen += [event.key for event in page.events]
            at = page.pos
        assert seen == datasets

    async def test_other_topics_are_passed_over(self, database: Database) -> None:
        await announced(database, "a", "b")
        async with database.transaction() as session:
            page = await event_log.read_after(session, 0, ["quality"], 10)
            assert page.events == []
            assert page.pos == await event_log.horizon(session)


class TestDue:
    async def due(self, database: Database, limit: int = 10, names: list[str] = NAMES) -> list[str]:
        async with database.transaction() as session:
            return [event.key for event in await event_log.due(session, "g", names, limit)]

    async def settle(self, database: Database, *events: Event) -> None:
        async with database.transaction() as session:
            for event in events:
                await session.execute(
                    text("INSERT INTO bus.inbox (consumer, event_id) VALUES ('g', :id)"),
                    {"id": event.event_id},
                )

    async def cursor(self, database: Database) -> int:
        async with database.transaction() as session:
            return await event_log.cursor(session, "g")

    async def test_the_cursor_stops_before_the_first_unsettled_event(self, database: Database) -> None:
        first, _second, third = await announced(database, "a", "b", "c")
        await self.settle(database, first, third)
        assert await self.due(database) == ["b"]
        assert await keys_after(database, await self.cursor(database)) == ["b", "c"]

    async def test_the_cursor_passes_what_the_group_has_no_handler_for(self, database: Database) -> None:
        await announced(database, "a", "b")
        assert await self.due(database, names=["quality.rule.failed.v1"]) == []
        assert await keys_after(database, await self.cursor(database)) == []

    async def test_a_key_that_waits_does_not_fill_the_batch(self, database: Database) -> None:
        events = await announced(database, "a", "a", "a", "a", "b")
        async with database.transaction() as session:
            await session.execute(
                text("INSERT INTO bus.attempt VALUES ('g', :id, 'a', 1, now() + interval '1 hour')"),
                {"id": events[0].event_id},
            )
        assert await self.due(database, limit=2) == ["b"]

    async def test_the_cursor_never_moves_back(self, database: Database) -> None:
        async with database.transaction() as session:
            await event_log.cursor(session, "g")
            await event_log.save_cursor(session, "g", 9)
            await event_log.save_cursor(session, "g", 4)
            assert await event_log.cursor(session, "g") == 9


class TestPosition:
    async def test_an_event_a_text_and_the_end_are_positions(self, database: Database) -> None:
        first, second = await announced(database, "a", "b")
        at_first = await event_log.position_of(database, first.event_id)
        assert await event_log.position_of(database, str(at_first)) == at_first
        assert await keys_after(database, at_first) == ["b"]
        assert await event_log.position_of(database, None) == await event_log.position_of(
            database, str(second.event_id)
        )

    @pytest.mark.parametrize(
        "after", ["00000000-0000-7000-8000-000000000000", "nonsense", "", "9" * 19, "-1", "²"]
    )
    async def test_what_is_not_in_the_log_is_gone(self, database: Database, after: Any) -> None:
        with pytest.raises(PositionGone) as gone:
            await event_log.position_of(database, after)
        assert gone.value.status == 410
