"""The contract of the bus, inherited by every adapter. Real stores, real transactions."""

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from edulake.common.bus import BusLimits, PostgresBus, announce, list_dead_letters, replay_dead_letter
from edulake.common.bus.brokers import Brokers, ensure_topics
from edulake.common.bus.kafka import KafkaBus
from edulake.common.bus.lag import Standing, standings
from edulake.common.bus.port import Bus, Handlers
from edulake.common.bus.relay import Relay
from edulake.common.bus.watch import watch
from edulake.common.db import Database
from edulake.common.events import Event, EventData, RawBatchWithdrawn
from edulake.common.service import keep_running
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

TYPES = {"event_id": "uuid", "payload": "jsonb", "created_at": "timestamptz"}
LIMITS = BusLimits(
    poll_ms=10, batch_events=5, tries=3, backoff_ms=40, backoff_max_ms=100, upkeep_ms=20, handler_timeout_s=30
)
Hook = Callable[[RawBatchWithdrawn], Awaitable[None]]


def fact(dataset: str, number: int) -> RawBatchWithdrawn:
    return RawBatchWithdrawn(dataset=dataset, batch_id=str(number), source_id="s", by="tester")


async def nothing(_data: RawBatchWithdrawn) -> None:
    return None


class Crash(BaseException):
    """What ends a process: no `except Exception` sees it."""


#: What a hand, or a defect, may put into the log: columns of the row, and words of the reason it dies with.
NOT_READABLE: dict[str, tuple[dict[str, str], str]] = {
    "an array": ({"payload": "[1, 2]"}, "an array"),
    "a text": ({"payload": '"raw"'}, "a text"),
    "a number": ({"payload": "7"}, "a number"),
    "a truth value": ({"payload": "true"}, "a truth value"),
    "null": ({"payload": "null"}, "null"),
    "nested too deeply": ({"payload": f'{{"dataset": {"[" * 3000}{"]" * 3000}}}'}, "not JSON"),
    "a number of 6,000 digits": ({"payload": '{"dataset": 1e6000}'}, ""),
    "10 MB": ({"payload": f'{{"dataset": "{"x" * 10_000_000}"}}'}, "10000015 bytes"),
    "missing fields": ({"payload": "{}"}, "dataset missing"),
    "wrong types": (
        {"payload": '{"dataset": ["a"], "batch_id": {}, "source_id": 1, "by": "张三"}'},
        "dataset string_type",
    ),
    "a time without end": ({"created_at": "infinity"}, "occurred_at"),
    "a time without beginning": ({"created_at": "-infinity"}, "occurred_at"),
    "a time far away": ({"created_at": "200000-01-01"}, "occurred_at"),
    "a time long ago": ({"created_at": "4000-01-01 BC"}, "occurred_at"),
    "a key of 20,000 characters": ({"key": "".join(f"{n:05}" for n in range(4000))}, "the key"),
}
#: What no group here handles, so that nobody misses it.
NOT_OURS = {
    "another version": {"name": "raw.batch.withdrawn.v2"},
    "an unknown name": {"name": "raw.batch.exploded.v1"},
    "an unknown zone": {"name": "nonsense"},
    "no name": {"name": ""},
    "a name of 10 MB": {"name": "raw." + "x" * 10_000_000},
}
#: Odd, and readable all the same.
ODD: dict[str, dict[str, str]] = {
    "unknown fields": {"payload": '{"dataset":"a","batch_id":"2","source_id":"s","by":"t","more":{"n":[1]}}'},
    "no trace": {"trace_id": ""},
    "a bad trace": {"trace_id": "张三\t"},
    "a trace of 10 MB": {"trace_id": "x" * 10_000_000},
    "a producer of 10 MB": {"producer": "x" * 10_000_000},
    "a time to come": {"created_at": "2099-01-01"},
    "the time of the first computers": {"created_at": "1948-06-21"},
    "a topic that is not its zone": {"topic": "elsewhere"},
}

#: What is no event, straight into a topic.
NO_EVENT: dict[str, bytes | None] = {
    "no JSON": b"{not an event",
    "nothing": b"",
    "no value": None,
    "no text": b"\xff\xfe\x00",
    "half a character": b'{"name": "\\ud800"}',
    "an array": b"[1]",
    "no facts": b'{"name": "raw.batch.withdrawn.v1", "key": "a", "event_id": 7}',
    "facts that are none": b'{"name": "raw.batch.withdrawn.v1", "key": "a", "data": [1]}',
    "U+0000": b'{"name": "raw.batch.withdrawn.v1", "data": {"by": "\\u0000"}, "key": "\\u0000"}',
    "a bad id and a bad time": (
        '{"event_id": "张三", "name": "raw.batch.withdrawn.v1", "key": "a", "occurred_at": "yesterday", '
        '"producer": "x", "trace_id": 5, "data": {}}'
    ).encode(),
    "no envelope": b'{"name": "raw.batch.withdrawn.v1", "key": "a", "data": {}}',
    "10 MB": b"x" * 10_000_000,
}


def row(**columns: str) -> dict[str, str]:
    """A row of the log as `announce` would write it, but for these columns."""
    event_id, payload = str(uuid.uuid4()), '{"dataset":"a","batch_id":"2","source_id":"s","by":"t"}'
    usual = {"event_id": event_id, "topic": "raw", "name": RawBatchWithdrawn.name, "key": "a"}
    more = {"payload": payload, "trace_id": "a" * 32, "producer": "hand", "created_at": "now"}
    return {**usual, **more, **columns}


class BusContract:
    """What every adapter keeps."""

    wait_s: ClassVar[float] = 40

    @pytest.fixture
    async def database(self, postgres_admin_url: str, database_url: str) -> AsyncIterator[Database]:
        admin = Database(postgres_admin_url)
        async with admin.transaction() as session:
            # No unique constraint: a doubled effect must show.
            await session.execute(
                text("CREATE TABLE public.effect (n bigserial, dataset text, batch int, reader text)")
            )
            await session.execute(text("GRANT ALL ON public.effect TO edulake_catalog"))
            await session.execute(text("GRANT ALL ON SEQUENCE public.effect_n_seq TO edulake_catalog"))
        await admin.close()
        database = Database(database_url.replace("{role}", "edulake_catalog"), pool_size=10)
        yield database
        await database.close()

    @pytest.fixture
    async def bus(self, database: Database) -> Bus:
        raise NotImplementedError

    async def lose_progress(self, bus: Bus, group: str) -> None:
        """Make the group start over, as after a crash that lost what it had noted outside the inbox."""
        raise NotImplementedError

    # -- tools -----------------------------------------------------------------------------------

    async def announce(self, database: Database, *facts: EventData) -> list[Event]:
        async with database.transaction() as session:
            return [await announce(session, data) for data in facts]

    def handlers(self, before: Hook = nothing, after: Hook = nothing, reader: str = "r") -> Handlers:
        async def handle(
            session: AsyncSession, data: RawBatchWithdrawn, event: Event, resources: Any
        ) -> None:
            await before(data)
            await session.execute(
                text("INSERT INTO public.effect (dataset, batch, reader) VALUES (:d, :b, :r)"),
                {"d": data.dataset, "b": int(data.batch_id), "r": reader},
            )
            await after(data)

        return {RawBatchWithdrawn: handle}

    @asynccontextmanager
    async def consuming(
        self, bus: Bus, handlers: Handlers, group: str = "g"
    ) -> AsyncIterator["asyncio.Task[None]"]:
        stop = asyncio.Event()
        task = asyncio.create_task(bus.consume(group, handlers, None, stop))  # type: ignore[arg-type]
        try:
            yield task
        finally:
            stop.set()
            with suppress(Crash, asyncio.CancelledError):
                await asyncio.wait_for(task, self.wait_s)

    async def effects(self, database: Database) -> list[tuple[str, int]]:
        async with database.read() as session:
            found = await session.execute(text("SELECT dataset, batch FROM public.effect ORDER BY n"))
            return [(row.dataset, row.batch) for row in found]

    async def effects_when(self, database: Database, count: int) -> list[tuple[str, int]]:
        """The effects once there are `count`, and after a while in which a doubled one would show."""
        found: list[tuple[str, int]] = []
        async with asyncio.timeout(self.wait_s):
            while len(found) < count:
                await asyncio.sleep(0.02)
                found = await self.effects(database)
        await asyncio.sleep(0.3)
        return await self.effects(database)

    async def dead_when(self, database: Database, count: int) -> list[Any]:
        async with asyncio.timeout(self.wait_s):
            while True:
                async with database.read() as session:
                    found = await list_dead_letters(session)
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.02)

    async def put(self, admin_url: str, **columns: str) -> str:
        """Write a row of the log by hand and return its event id."""
        kept = row(**columns)
        connection = await asyncpg.connect(admin_url)
        names = ", ".join(kept)
        values = ", ".join(f"(${n}::text)::{TYPES.get(name, 'text')}" for n, name in enumerate(kept, 1))
        await connection.execute(f"INSERT INTO bus.log ({names}) VALUES ({values})", *kept.values())
        await connection.close()
        return kept["event_id"]

    async def behind(self, database: Database, group: str = "g") -> Standing:
        """Where the group stands once nothing waits for it any more; the last look when that does not come."""
        async with asyncio.timeout(self.wait_s):
            while True:
                async with database.read() as session:
                    (standing,) = await standings(session, [group])
                if not standing.events:
                    return standing
                await asyncio.sleep(0.02)

    # -- the contract ----------------------------------------------------------------------------

    @pytest.mark.parametrize("what", NOT_READABLE)
    async def test_what_cannot_be_read_dies_with_a_reason_and_the_rest_goes_on(
        self, bus: Bus, database: Database, postgres_admin_url: str, what: str
    ) -> None:
        columns, reason = NOT_READABLE[what]
        await self.announce(database, fact("a", 1))
        poison = await self.put(postgres_admin_url, **columns)
        await self.announce(database, fact("a", 2), fact("b", 3), fact("a", 4))
        async with self.consuming(bus, self.handlers()):
            found = await self.effects_when(database, 4)
            (letter,) = await self.dead_when(database, 1)
            standing = await self.behind(database)
        assert [n for key, n in found if key == "a"] == [1, 2, 4]
        assert (letter.event_id, letter.name) == (poison, RawBatchWithdrawn.name)
        assert reason in letter.reason
        assert "张三" not in letter.reason
        assert (standing.events, standing.dead) == (0, 1)

    @pytest.mark.parametrize("what", NOT_OURS)
    async def test_what_a_group_does_not_handle_is_passed_over(
        self, bus: Bus, database: Database, postgres_admin_url: str, what: str
    ) -> None:
        await self.put(postgres_admin_url, **NOT_OURS[what])
        await self.announce(database, fact("a", 1))
        async with self.consuming(bus, self.handlers()):
            assert await self.effects_when(database, 1) == [("a", 1)]
            standing = await self.behind(database)
        assert (standing.events, standing.dead) == (0, 0)

    @pytest.mark.parametrize("what", ODD)
    async def test_what_can_be_read_has_its_effect_however_odd_it_is(
        self, bus: Bus, database: Database, postgres_admin_url: str, what: str
    ) -> None:
        await self.announce(database, fact("a", 1))
        await self.put(postgres_admin_url, **ODD[what])
        await self.announce(database, fact("a", 3))
        async with self.consuming(bus, self.handlers()):
            assert await self.effects_when(database, 3) == [("a", 1), ("a", 2), ("a", 3)]
            standing = await self.behind(database)
        assert (standing.events, standing.dead) == (0, 0)

    async def test_what_was_mended_in_the_log_is_handled_by_a_replay(
        self, bus: Bus, database: Database, postgres_admin_url: str
    ) -> None:
        poison = await self.put(postgres_admin_url, payload="[1, 2]")
        async with self.consuming(bus, self.handlers()):
            (letter,) = await self.dead_when(database, 1)
            for payload, state in (("[3]", "dead"), (row()["payload"], "replayed")):
                connection = await asyncpg.connect(postgres_admin_url)
                await connection.execute(
                    "UPDATE bus.log SET payload = $1 WHERE event_id = $2", payload, uuid.UUID(poison)
                )
                await connection.close()
                async with database.transaction() as session:
                    await replay_dead_letter(session, letter.id)
                async with asyncio.timeout(self.wait_s):
                    while True:
                        async with database.read() as session:
                            (now_,) = await list_dead_letters(session, all_states=True)
                        if now_.state != "replaying":
                            break
                        await asyncio.sleep(0.02)
                assert now_.state == state
        assert await self.effects(database) == [("a", 2)]

    async def test_tail_passes_over_what_cannot_be_read(
        self, bus: Bus, database: Database, postgres_admin_url: str
    ) -> None:
        (first,) = await self.announce(database, fact("a", 1))
        for columns, _reason in NOT_READABLE.values():
            if "payload" not in columns or columns["payload"][0] != "{":
                await self.put(postgres_admin_url, **columns)
        (second,) = await self.announce(database, fact("a", 2))
        assert await self.tailed(bus, 2, after="0") == [first, second]

    async def test_an_announced_event_has_its_effect_once(self, bus: Bus, database: Database) -> None:
        (event,) = await self.announce(database, fact("a", 1))
        assert event.producer == "edulake_catalog"
        async with self.consuming(bus, self.handlers()):
            assert await self.effects_when(database, 1) == [("a", 1)]

    async def test_the_handler_gets_facts_and_envelope(self, bus: Bus, database: Database) -> None:
        seen: list[tuple[RawBatchWithdrawn, Event]] = []

        async def handle(
            session: AsyncSession, data: RawBatchWithdrawn, event: Event, resources: Any
        ) -> None:
            seen.append((data, event))

        (event,) = await self.announce(database, fact("a", 7))
        async with self.consuming(bus, {RawBatchWithdrawn: handle}), asyncio.timeout(self.wait_s):
            while not seen:
                await asyncio.sleep(0.02)
        assert seen == [(fact("a", 7), event)]

    async def test_every_group_gets_every_event(self, bus: Bus, database: Database) -> None:
        await self.announce(database, fact("a", 1))
        async with self.consuming(bus, self.handlers(), "g1"), self.consuming(bus, self.handlers(), "g2"):
            assert await self.effects_when(database, 2) == [("a", 1), ("a", 1)]

    async def test_events_of_one_key_are_handled_in_order(self, bus: Bus, database: Database) -> None:
        expected = [(key, n) for n in range(12) for key in ("a", "b", "c")]
        for key, n in expected:
            await self.announce(database, fact(key, n))
        async with self.consuming(bus, self.handlers()):
            found = await self.effects_when(database, len(expected))
        for key in ("a", "b", "c"):
            assert [n for k, n in found if k == key] == list(range(12))
        assert Counter(found) == Counter(expected)

    async def test_a_rollback_announces_nothing(self, bus: Bus, database: Database) -> None:
        with pytest.raises(RuntimeError, match="undone"):
            async with database.transaction() as session:
                await announce(session, fact("a", 1))
                raise RuntimeError("undone")
        await self.announce(database, fact("a", 2))
        async with self.consuming(bus, self.handlers()):
            assert await self.effects_when(database, 1) == [("a", 2)]

    async def test_commits_out_of_sequence_lose_nothing(self, bus: Bus, database: Database) -> None:
        """The first to draw a position commits last: a reader that trusts positions steps over it."""
        async with self.consuming(bus, self.handlers()):
            async with database.transaction() as slow:
                await announce(slow, fact("slow", 1))
                await self.announce(database, fact("fast", 2), fact("fast", 3))
                await asyncio.sleep(0.4)
            found = await self.effects_when(database, 3)
        assert sorted(found) == [("fast", 2), ("fast", 3), ("slow", 1)]

    async def test_many_concurrent_announcers_lose_nothing(self, bus: Bus, database: Database) -> None:
        async def announcer(key: str) -> None:
            for n in range(8):
                async with database.transaction() as session:
                    await announce(session, fact(key, n))
                    await asyncio.sleep((hash((key, n)) % 7) / 400)

        async with self.consuming(bus, self.handlers()):
            await asyncio.gather(*(announcer(f"k{i}") for i in range(6)))
            found = await self.effects_when(database, 48)
        assert Counter(found) == Counter((f"k{i}", n) for i in range(6) for n in range(8))
        for i in range(6):
            assert [n for key, n in found if key == f"k{i}"] == list(range(8))

    async def test_a_crash_before_the_commit_repeats_the_event(self, bus: Bus, database: Database) -> None:
        async def crash(_data: RawBatchWithdrawn) -> None:
            raise Crash

        await self.announce(database, fact("a", 1), fact("a", 2))
        async with self.consuming(bus, self.handlers(after=crash)) as crashing:
            await asyncio.wait([crashing], timeout=self.wait_s)
            assert isinstance(crashing.exception(), Crash)
        assert await self.effects(database) == []
        async with self.consuming(bus, self.handlers()):
            assert await self.effects_when(database, 2) == [("a", 1), ("a", 2)]

    async def test_a_cancelled_handler_leaves_no_half_effect(self, bus: Bus, database: Database) -> None:
        reached = asyncio.Event()

        async def hang(_data: RawBatchWithdrawn) -> None:
            reached.set()
            await asyncio.Event().wait()

        await self.announce(database, fact("a", 1))
        async with self.consuming(bus, self.handlers(after=hang)) as task:
            await asyncio.wait_for(reached.wait(), self.wait_s)
            task.cancel()
        assert await self.effects(database) == []
        async with self.consuming(bus, self.handlers()):
            assert await self.effects_when(database, 1) == [("a", 1)]

    async def test_a_crash_after_the_commit_does_not_double_the_effect(
        self, bus: Bus, database: Database
    ) -> None:
        await self.announce(database, *(fact("a", n) for n in range(4)))
        async with self.consuming(bus, self.handlers()):
            await self.effects_when(database, 4)
        await self.lose_progress(bus, "g")
        await self.announce(database, fact("a", 4))
        async with self.consuming(bus, self.handlers()):
            assert await self.effects_when(database, 5) == [("a", n) for n in range(5)]

    async def test_a_passing_failure_is_tried_again_in_order(self, bus: Bus, database: Database) -> None:
        failures = iter([ValueError("once"), ValueError("twice")])

        async def fail_twice(data: RawBatchWithdrawn) -> None:
            if data.batch_id == "1" and (failure := next(failures, None)):
                raise failure

        await self.announce(database, fact("a", 1), fact("a", 2))
        async with self.consuming(bus, self.handlers(before=fail_twice)):
            assert await self.effects_when(database, 2) == [("a", 1), ("a", 2)]
        assert await self.dead_when(database, 0) == []

    async def test_a_poison_event_dies_its_key_goes_on_and_it_can_be_replayed(
        self, bus: Bus, database: Database
    ) -> None:
        poison = [True]
        tries = Counter[str]()

        async def refuse(data: RawBatchWithdrawn) -> None:
            tries[data.batch_id] += 1
            if poison[0] and data.batch_id == "2":
                raise ValueError("张三 11010519491231002X")

        await self.announce(database, *(fact("a", n) for n in (1, 2, 3)), fact("b", 4))
        async with self.consuming(bus, self.handlers(before=refuse)):
            found = await self.effects_when(database, 3)
            assert [n for key, n in found if key == "a"] == [1, 3]
            (letter,) = await self.dead_when(database, 1)
            assert (letter.tries, tries["2"], letter.state) == (3, 3, "dead")
            assert letter.reason.startswith("ValueError at ")
            assert "张三" not in letter.reason
            assert "1949" not in letter.reason

            poison[0] = False
            async with database.transaction() as session:
                await replay_dead_letter(session, letter.id)
            found = await self.effects_when(database, 4)
        assert Counter(found) == Counter([("a", 1), ("a", 3), ("b", 4), ("a", 2)])
        async with database.read() as session:
            (after,) = await list_dead_letters(session, all_states=True)
        assert after.state == "replayed"

    async def test_lag_and_dead_letters_are_told_beside_the_reader_and_by_nobody_else(
        self, bus: Bus, database: Database
    ) -> None:
        group, stop = f"g{uuid.uuid4().hex[:6]}", asyncio.Event()

        def told(metric: str) -> float | None:
            return REGISTRY.get_sample_value(f"edulake_bus_{metric}", {"group": group})

        async def refuse_one(data: RawBatchWithdrawn) -> None:
            if data.batch_id == "1":
                raise ValueError

        assert told("lag_events") is None
        await self.announce(database, fact("a", 1), fact("b", 2))
        telling = asyncio.create_task(watch(database, LIMITS, group, stop))
        async with self.consuming(bus, self.handlers(before=refuse_one), group):
            async with asyncio.timeout(self.wait_s):
                while told("dead_letters") != 1 or told("lag_events") != 0:
                    await asyncio.sleep(0.02)
            assert (told("lag_seconds"), told("still_seconds")) == (0, 0)
        await self.announce(database, fact("a", 3))
        async with asyncio.timeout(self.wait_s):  # nobody reads any more, and the lag is told all the same
            while told("lag_events") != 1 or not told("still_seconds"):
                await asyncio.sleep(0.02)
        stop.set()
        await telling
        assert {told(name) for name in ("lag_events", "still_seconds", "dead_letters")} == {None}

    async def test_a_group_that_fails_at_one_event_stands_still_and_says_how_often_it_failed(
        self, bus: Bus, database: Database
    ) -> None:
        async def refuse(_data: RawBatchWithdrawn) -> None:
            raise ValueError

        bus.limits = LIMITS.model_copy(update={"backoff_ms": 3_600_000, "backoff_max_ms": 3_600_000})  # type: ignore[attr-defined]
        await self.announce(database, fact("a", 1), fact("a", 2))
        async with self.consuming(bus, self.handlers(before=refuse)), asyncio.timeout(self.wait_s):
            standing = Standing("g", 0, 0, 0)
            while not standing.tries:
                await asyncio.sleep(0.02)
                async with database.read() as session:
                    (standing,) = await standings(session, ["g"]) or (standing,)
        assert (standing.events, standing.tries, standing.dead) == (2, 1, 0)
        assert standing.is_stuck(standing.still_s)
        assert not standing.is_stuck(standing.still_s + 1)
        assert "g 有 2 条事件未处理" in standing.told[0]
        assert "g is 2 events behind" in standing.told[1]
        assert "tried 1 times" in standing.told[1]

    async def test_a_replay_that_fails_again_is_dead_again(self, bus: Bus, database: Database) -> None:
        calls: list[str] = []

        async def refuse(data: RawBatchWithdrawn) -> None:
            calls.append(data.batch_id)
            raise ValueError

        await self.announce(database, fact("a", 1))
        async with self.consuming(bus, self.handlers(before=refuse)):
            (letter,) = await self.dead_when(database, 1)
            async with database.transaction() as session:
                await replay_dead_letter(session, letter.id)
            async with asyncio.timeout(self.wait_s):
                while len(calls) < 6 or (await self.dead_when(database, 1))[0].state != "dead":
                    await asyncio.sleep(0.02)
        assert await self.effects(database) == []

    async def test_a_failing_key_does_not_stop_another_for_ever(self, bus: Bus, database: Database) -> None:
        async def refuse_a(data: RawBatchWithdrawn) -> None:
            if data.dataset == "a":
                raise ValueError

        await self.announce(database, *(fact("a", n) for n in range(4)), fact("b", 1))
        async with self.consuming(bus, self.handlers(before=refuse_a)):
            assert await self.effects_when(database, 1) == [("b", 1)]
            assert len(await self.dead_when(database, 4)) == 4

    async def test_a_handler_that_kills_the_process_is_given_up(self, bus: Bus, database: Database) -> None:
        """The tries are counted before the handler runs, so a crash loop ends."""

        async def crash_on_first(data: RawBatchWithdrawn) -> None:
            if data.batch_id == "1":
                raise Crash

        await self.announce(database, fact("a", 1), fact("a", 2))
        for _ in range(LIMITS.tries):
            async with self.consuming(bus, self.handlers(before=crash_on_first)) as crashing:
                await asyncio.wait([crashing], timeout=self.wait_s)
                assert isinstance(crashing.exception(), Crash)
        async with self.consuming(bus, self.handlers(before=crash_on_first)):
            assert await self.effects_when(database, 1) == [("a", 2)]
        (letter,) = await self.dead_when(database, 1)
        assert (letter.reason, letter.tries) == ("the process ended while it handled the event", LIMITS.tries)

    async def test_tries_survive_a_restart_between_them(self, bus: Bus, database: Database) -> None:
        calls: list[str] = []
        failed = asyncio.Event()

        async def refuse(data: RawBatchWithdrawn) -> None:
            calls.append(data.batch_id)
            failed.set()
            raise ValueError

        await self.announce(database, fact("a", 1))
        async with self.consuming(bus, self.handlers(before=refuse)):
            await asyncio.wait_for(failed.wait(), self.wait_s)
        async with self.consuming(bus, self.handlers(before=refuse)):
            await self.dead_when(database, 1)
        assert len(calls) == LIMITS.tries

    async def test_two_consumers_of_one_group_never_double_the_effect(
        self, bus: Bus, database: Database
    ) -> None:
        keys = [f"k{i}" for i in range(5)]
        async with (
            self.consuming(bus, self.handlers(reader="one")),
            self.consuming(bus, self.handlers(reader="two")),
        ):
            for n in range(8):
                await self.announce(database, *(fact(key, n) for key in keys))
            found = await self.effects_when(database, 40)
        assert Counter(found) == Counter((key, n) for key in keys for n in range(8))
        for key in keys:
            assert [n for k, n in found if k == key] == list(range(8))

    async def test_when_one_consumer_crashes_the_other_goes_on(self, bus: Bus, database: Database) -> None:
        async def crash(_data: RawBatchWithdrawn) -> None:
            raise Crash

        async with self.consuming(bus, self.handlers(after=crash)) as first:
            await self.announce(database, fact("a", 1), fact("a", 2))
            await asyncio.wait([first], timeout=self.wait_s)
            async with self.consuming(bus, self.handlers()):
                assert await self.effects_when(database, 2) == [("a", 1), ("a", 2)]

    async def test_a_hanging_handler_is_one_failed_try(self, database: Database, bus: Bus) -> None:
        tries: list[str] = []

        async def hang_once(data: RawBatchWithdrawn) -> None:
            tries.append(data.batch_id)
            if len(tries) == 1:
                await asyncio.Event().wait()

        bus.limits = LIMITS.model_copy(update={"handler_timeout_s": 1})  # type: ignore[attr-defined]
        await self.announce(database, fact("a", 1))
        async with self.consuming(bus, self.handlers(after=hang_once)):
            assert await self.effects_when(database, 1) == [("a", 1)]
        assert tries == ["1", "1"]

    async def test_tail_goes_on_after_an_event_or_a_position(self, bus: Bus, database: Database) -> None:
        first, second, third = await self.announce(database, *(fact("a", n) for n in (1, 2, 3)))
        assert await self.tailed(bus, 2, after=str(first.event_id)) == [second, third]
        end = await bus.position()
        (fourth,) = await self.announce(database, fact("b", 4))
        assert await self.tailed(bus, 1, after=end) == [fourth]
        assert await self.tailed(bus, 4, after="0") == [first, second, third, fourth]

    async def tailed(self, bus: Bus, count: int, after: str) -> list[Event]:
        found: list[Event] = []
        stop = asyncio.Event()
        async with asyncio.timeout(self.wait_s):
            async for event in bus.tail(["raw"], stop, after):
                found.append(event)
                if len(found) == count:
                    stop.set()
        return found


class TestPostgresBus(BusContract):
    """The embedded adapter."""

    @pytest.fixture
    async def bus(self, database: Database) -> Bus:
        return PostgresBus(database, LIMITS)

    async def lose_progress(self, bus: Bus, group: str) -> None:
        async with bus.database.transaction() as session:  # type: ignore[attr-defined]
            await session.execute(text("UPDATE bus.cursor SET pos = 0 WHERE consumer = :g"), {"g": group})


@pytest.mark.kafka
class TestKafkaBus(BusContract):
    """The adapter of a cluster, with the relay, over a real broker."""

    @pytest.fixture
    async def bus(self, database: Database, database_url: str) -> AsyncIterator[Bus]:
        brokers = Brokers(
            bootstrap=os.environ["EDULAKE_KAFKA_BOOTSTRAP"],
            prefix=f"t{uuid.uuid4().hex[:8]}.",
            partitions=3,
            session_timeout_ms=6000,
        )
        log_database = Database(database_url.replace("{role}", "edulake_relay"))
        stop = asyncio.Event()
        relay = Relay(log_database, brokers, LIMITS)
        running = asyncio.create_task(keep_running("relay", lambda: relay.run(stop), stop))
        yield KafkaBus(database, LIMITS, brokers)
        stop.set()
        await running
        await log_database.close()

    async def lose_progress(self, bus: Bus, group: str) -> None:
        brokers: Brokers = bus.brokers  # type: ignore[attr-defined]
        topic = brokers.topic("raw")
        start_over = AIOKafkaConsumer(group_id=f"{brokers.prefix}{group}", **brokers.connection())
        partitions = [TopicPartition(topic, n) for n in range(brokers.partitions)]
        start_over.assign(partitions)
        await start_over.start()
        await start_over.commit(dict.fromkeys(partitions, 0))
        await start_over.stop()

    async def send(self, bus: Bus, contents: Sequence[bytes | None]) -> None:
        """Put messages into every partition as anybody who reaches the broker could, of up to 20 MB."""
        brokers: Brokers = bus.brokers  # type: ignore[attr-defined]
        await ensure_topics(brokers, ["raw"], 1)
        admin = AIOKafkaAdminClient(**brokers.connection())
        await admin.start()
        large = {"max.message.bytes": "20000000"}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, brokers.topic("raw"), configs=large)]
        )
        await admin.close()
        producer = AIOKafkaProducer(**brokers.connection(), max_request_size=20_000_000)
        await producer.start()
        for content in contents:
            for partition in range(brokers.partitions):
                await producer.send_and_wait(brokers.topic("raw"), content, key=b"k", partition=partition)
        await producer.stop()

    async def test_what_is_no_event_dies_and_the_partition_goes_on(
        self, bus: Bus, database: Database
    ) -> None:
        brokers: Brokers = bus.brokers  # type: ignore[attr-defined]
        await self.send(bus, list(NO_EVENT.values()))
        await self.announce(database, fact("a", 1))
        async with self.consuming(bus, self.handlers()):
            assert await self.effects_when(database, 1) == [("a", 1)]
            letters = await self.dead_when(database, brokers.partitions * len(NO_EVENT))
            reasons = {letter.reason.partition(": ")[2] for letter in letters}
            for letter in letters[:2]:
                async with database.transaction() as session:
                    await replay_dead_letter(session, letter.id)
            await self.effects_when(database, 1)
            assert {letter.state for letter in await self.dead_when(database, len(letters))} == {"dead"}
        assert {letter.name for letter in letters} == {"unreadable", RawBatchWithdrawn.name}
        assert "张三" not in str(letters)
        assert reasons == {
            "not JSON that can be read",
            "an array, not an object",
            "the facts are null, not an object",
            "the facts are an array, not an object",
            "it holds U+0000",
            "event_id uuid_parsing, occurred_at datetime_from_date_parsing",
            "event_id missing, occurred_at missing, producer missing",
            "10000000 bytes, more than an event may have",
        }

    async def test_static_members_share_the_partitions(self, bus: Bus, database: Database) -> None:
        shared: Brokers = bus.brokers  # type: ignore[attr-defined]
        one = KafkaBus(database, LIMITS, shared.model_copy(update={"instance": "pod-0"}))
        two = KafkaBus(database, LIMITS, shared.model_copy(update={"instance": "pod-1"}))
        async with self.consuming(one, self.handlers()), self.consuming(two, self.handlers()):
            await self.announce(database, *(fact(f"k{n}", n) for n in range(20)))
            found = await self.effects_when(database, 20)
        assert Counter(found) == Counter((f"k{n}", n) for n in range(20))

    async def test_a_batch_that_takes_too_long_is_cut_and_continued(
        self, bus: Bus, database: Database
    ) -> None:
        """The rest is put back before Kafka would take the partition away."""
        bus.brokers = bus.brokers.model_copy(update={"max_poll_interval_ms": 100})  # type: ignore[attr-defined]

        async def slow(_data: RawBatchWithdrawn) -> None:
            await asyncio.sleep(0.06)

        await self.announce(database, *(fact("a", n) for n in range(6)))
        async with self.consuming(bus, self.handlers(before=slow)):
            assert await self.effects_when(database, 6) == [("a", n) for n in range(6)]
