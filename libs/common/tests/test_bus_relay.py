"""The relay over a real broker: nothing lost, in order, whatever stops in between."""

import asyncio
import importlib.util
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from edulake.common.bus import BusLimits, announce, metrics
from edulake.common.bus import log as event_log
from edulake.common.bus.brokers import Brokers, ensure_topics, quieten_client
from edulake.common.bus.relay import CURSOR, Relay
from edulake.common.db import Database
from edulake.common.events import TOPICS, Event, RawBatchWithdrawn
from edulake.common.service import keep_running
from prometheus_client import REGISTRY
from pydantic import SecretStr

LIMITS = BusLimits(poll_ms=10, batch_events=20, upkeep_ms=20)
BROKER = Path(__file__).resolve().parents[3] / "tests" / "kafka" / "broker.py"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("{role}", "edulake_ingest"))
    yield database
    await database.close()


@pytest.fixture
async def relay_database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("{role}", "edulake_relay"))
    yield database
    await database.close()


@pytest.fixture
def brokers() -> Brokers:
    return Brokers(bootstrap=os.environ["EDULAKE_KAFKA_BOOTSTRAP"], prefix=f"t{uuid.uuid4().hex[:8]}.")


async def announced(database: Database, numbers: range, keys: int = 3) -> list[Event]:
    """One transaction an event, as in life."""
    events = []
    for number in numbers:
        async with database.transaction() as session:
            data = RawBatchWithdrawn(dataset=f"k{number % keys}", batch_id=str(number), source_id="s", by="t")
            events.append(await announce(session, data))
    return events


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator["asyncio.Task[None]"]:
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait([task], timeout=60)
        assert task.done(), "it ends when it is told to"


async def read_all(brokers: Brokers, count: int, timeout_s: float = 60) -> list[Event]:
    """The events of topic `raw` once there are `count`, in the order of their partitions, repeats kept."""
    await ensure_topics(brokers, ["raw"], 1)
    consumer = AIOKafkaConsumer(brokers.topic("raw"), **brokers.connection(), auto_offset_reset="earliest")
    found: list[Event] = []
    await consumer.start()
    try:
        async with asyncio.timeout(timeout_s):
            while len({event.event_id for event in found}) < count:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        event = Event.model_validate_json(record.value)
                        assert record.key == event.key.encode()
                        found.append(event)
    finally:
        await consumer.stop()
    return found


async def carried(relay_database: Database) -> None:
    """Until the relay's cursor stands at the end: what was read may not be acknowledged to the relay yet."""
    async with asyncio.timeout(60):
        while True:
            async with relay_database.transaction() as session:
                if await event_log.cursor(session, CURSOR) == await event_log.horizon(session):
                    return
            await asyncio.sleep(0.02)


def first_occurrences(found: list[Event], key: str) -> list[Event]:
    return list(dict.fromkeys(event.event_id for event in found if event.key == key))  # type: ignore[arg-type]


def in_order(found: list[Event], announced_events: list[Event]) -> bool:
    keys = {event.key for event in announced_events}
    return all(
        first_occurrences(found, key) == [event.event_id for event in announced_events if event.key == key]
        for key in keys
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def metrics_of(port: str) -> str:
    """What a process shows once its relay has counted all it carried and looked at its lag again."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client, asyncio.timeout(90):
        while True:
            told = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            if 'topic="raw"} 3.0' in told and 'lag_events{group="relay"} 0.0' in told:
                return told
            await asyncio.sleep(0.05)


@pytest.mark.kafka
class TestRelay:
    async def test_every_event_arrives_once_and_in_the_order_of_its_key(
        self, database: Database, relay_database: Database, brokers: Brokers
    ) -> None:
        before = metrics.RELAYED.labels("raw")._value.get()
        events = await announced(database, range(50))
        async with relaying(Relay(relay_database, brokers, LIMITS)):
            await carried(relay_database)
            found = await read_all(brokers, 50)
        assert len(found) == 50
        assert in_order(found, events)
        assert metrics.RELAYED.labels("raw")._value.get() == before + 50

    async def test_it_goes_on_where_it_stopped(
        self, database: Database, relay_database: Database, brokers: Brokers
    ) -> None:
        first = await announced(database, range(5))
        async with relaying(Relay(relay_database, brokers, LIMITS)):
            await carried(relay_database)
        second = await announced(database, range(5, 10))
        async with relaying(Relay(relay_database, brokers, LIMITS)):
            await carried(relay_database)
            found = await read_all(brokers, 10)
        assert len(found) == 10
        assert in_order(found, first + second)

    async def test_a_crash_before_the_cursor_repeats_and_loses_nothing(
        self,
        database: Database,
        relay_database: Database,
        brokers: Brokers,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        events = await announced(database, range(10))
        save = event_log.save_cursor

        async def crash(*_args: Any) -> None:
            monkeypatch.setattr(event_log, "save_cursor", save)
            raise ConnectionResetError

        monkeypatch.setattr(event_log, "save_cursor", crash)
        async with relaying(Relay(relay_database, brokers, LIMITS)) as crashing:
            await asyncio.wait([crashing], timeout=60)
            assert crashing.exception()
        async with relaying(Relay(relay_database, brokers, LIMITS)):
            await carried(relay_database)
            found = await read_all(brokers, 10)
        assert in_order(found, events)

    async def test_of_two_relays_one_works_and_the_other_takes_over(
        self, database: Database, relay_database: Database, brokers: Brokers
    ) -> None:
        async with relaying(Relay(relay_database, brokers, LIMITS)):
            async with relaying(Relay(relay_database, brokers, LIMITS)):
                first = await announced(database, range(10))
                await carried(relay_database)
            second = await announced(database, range(10, 20))
            await carried(relay_database)
            found = await read_all(brokers, 20)
        assert len(found) == 20
        assert in_order(found, first + second)

    async def test_topics_are_made_with_partitions_and_retention(self, brokers: Brokers) -> None:
        several = brokers.model_copy(update={"partitions": 4})
        await asyncio.gather(*(ensure_topics(several, TOPICS, 9) for _ in range(3)))
        admin = AIOKafkaAdminClient(**brokers.connection())
        await admin.start()
        try:
            made = {brokers.topic(zone): 4 for zone in TOPICS}
            async with asyncio.timeout(60):  # a broker tells of new topics a little after it made them
                while await partitions_of(admin, list(made)) != made:
                    await asyncio.sleep(0.05)
            resource = ConfigResource(ConfigResourceType.TOPIC, brokers.topic("raw"))
            (answer,) = await admin.describe_configs([resource])
            settings = {entry[0]: entry[1] for entry in answer.resources[0][4]}
            assert settings["retention.ms"] == str(9 * 86_400_000)
        finally:
            await admin.close()

    async def test_topics_that_cannot_be_made_are_an_error(self, brokers: Brokers) -> None:
        with pytest.raises(KafkaError, match="topic"):
            await ensure_topics(brokers.model_copy(update={"replicas": 3}), ["raw"], 9)

    async def test_the_process_relays_and_ends_on_sigterm(
        self, database: Database, database_url: str, brokers: Brokers, tmp_path: Path
    ) -> None:
        events = await announced(database, range(3))
        known = {
            **os.environ,
            "EDULAKE_DATABASE_URL": database_url,
            "EDULAKE_KAFKA_BOOTSTRAP": brokers.bootstrap,
            "EDULAKE_KAFKA_PREFIX": brokers.prefix,
            "EDULAKE_HOME": str(tmp_path),
            "EDULAKE_WORKER_METRICS_PORT": str(free_port()),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-m", "edulake.common.bus.relay", env=known
        )
        try:
            assert in_order(await read_all(brokers, 3), events)
            told = await metrics_of(known["EDULAKE_WORKER_METRICS_PORT"])
            assert 'edulake_bus_relayed_total{topic="raw"} 3.0' in told
            assert 'edulake_bus_lag_events{group="relay"} 0.0' in told
        finally:
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest.mark.kafka
class TestBrokerAway:
    """The broker stops for a while: the log grows, then drains in order."""

    @pytest.fixture
    def own_broker(self, tmp_path: Path) -> Iterator[Any]:
        spec = importlib.util.spec_from_file_location("edulake_test_broker", BROKER)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        broker = module.Broker(tmp_path)
        broker.start()
        yield broker
        broker.stop()

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    async def test_nothing_is_lost_and_the_order_holds(
        self, own_broker: Any, database: Database, relay_database: Database, how: int
    ) -> None:
        brokers = Brokers(bootstrap=own_broker.bootstrap, prefix="away.")
        relay = Relay(relay_database, brokers, LIMITS)
        stop = asyncio.Event()
        task = asyncio.create_task(keep_running("relay", lambda: relay.run(stop), stop))
        events = await announced(database, range(10))
        await read_all(brokers, 10)

        await asyncio.to_thread(own_broker.stop, how)
        events += await announced(database, range(10, 40))
        await asyncio.sleep(1)
        await asyncio.to_thread(own_broker.start)
        events += await announced(database, range(40, 50))
        found = await read_all(brokers, 50)
        stop.set()
        await asyncio.wait_for(task, 60)
        assert in_order(found, events)

    async def test_the_lag_is_told_while_the_broker_is_away(
        self, own_broker: Any, database: Database, relay_database: Database
    ) -> None:
        brokers = Brokers(bootstrap=own_broker.bootstrap, prefix="away.")
        relay = Relay(relay_database, brokers, LIMITS)
        stop = asyncio.Event()
        running = [
            asyncio.create_task(keep_running("relay", lambda: relay.run(stop), stop)),
            asyncio.create_task(keep_running("relay upkeep", lambda: relay.keep_up(stop), stop)),
        ]
        await announced(database, range(5))
        await carried(relay_database)
        await asyncio.to_thread(own_broker.stop, signal.SIGKILL)
        await announced(database, range(5, 8))
        async with asyncio.timeout(60):
            while REGISTRY.get_sample_value("edulake_bus_lag_events", {"group": CURSOR}) != 3:
                await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*running), 60)
        assert REGISTRY.get_sample_value("edulake_bus_lag_events", {"group": CURSOR}) is None

    async def test_the_relay_stops_while_the_broker_is_away(
        self, own_broker: Any, database: Database, relay_database: Database
    ) -> None:
        brokers = Brokers(bootstrap=own_broker.bootstrap, prefix="away.")
        stop = asyncio.Event()
        task = asyncio.create_task(Relay(relay_database, brokers, LIMITS).run(stop))
        await announced(database, range(5))
        await carried(relay_database)
        await asyncio.to_thread(own_broker.stop, signal.SIGKILL)
        await announced(database, range(5, 10))
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.wait([task], timeout=60)
        assert task.done()
        async with relay_database.transaction() as session:
            waiting = await event_log.read_after(
                session, await event_log.cursor(session, CURSOR), TOPICS, 100
            )
        assert [event.data["batch_id"] for event in waiting.events] == ["5", "6", "7", "8", "9"]


class TestBrokers:
    """How to connect; no broker needed."""

    def test_plain_by_default(self) -> None:
        assert Brokers(bootstrap="k:9092").connection() == {
            "bootstrap_servers": "k:9092",
            "security_protocol": "PLAINTEXT",
            "retry_backoff_ms": 250,
        }

    def test_a_login_over_tls_verifies_the_brokers(self) -> None:
        brokers = Brokers(security="SASL_SSL", username="u", password=SecretStr("p"))
        options = brokers.connection()
        assert options["ssl_context"].check_hostname
        assert (options["sasl_mechanism"], options["sasl_plain_password"]) == ("SCRAM-SHA-512", "p")

    def test_the_password_is_not_printed(self) -> None:
        assert "canary" not in repr(Brokers(password=SecretStr("canary")))

    def test_a_complaint_that_is_repeated_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        quieten_client()
        client = logging.getLogger("aiokafka.consumer.fetcher")
        caplog.set_level(logging.WARNING, client.name)
        for node in range(5):
            client.warning("Unable to reach %s", node)
        client.warning("another matter")
        assert [record.getMessage() for record in caplog.records] == ["Unable to reach 0", "another matter"]

    def test_names_begin_with_the_prefix(self) -> None:
        assert Brokers().topic("raw") == "edulake.raw"


async def partitions_of(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, int]:
    """Topic → partitions, as the broker tells it at this moment."""
    told = await admin.describe_topics(topics)
    return {topic["topic"]: len(topic["partitions"]) for topic in told}
