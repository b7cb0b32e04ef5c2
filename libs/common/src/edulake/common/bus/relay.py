"""The relay: one more reader of the log, which produces what it reads to Kafka.

`python -m edulake.common.bus.relay`. Any number may run; one works. Its cursor moves only after all
brokers acknowledged, so a crash repeats events and loses none; consumers know repeated ones by their id.
"""

import asyncio
import signal

from aiokafka import AIOKafkaProducer
from edulake.common import faults
from edulake.common.bus import log as event_log
from edulake.common.bus import metrics
from edulake.common.bus.brokers import Brokers, ensure_topics, quieten_client
from edulake.common.bus.lag import RELAY_CURSOR as CURSOR
from edulake.common.bus.leader import Leadership, leadership, pause
from edulake.common.bus.limits import BusLimits
from edulake.common.bus.message import Message, written
from edulake.common.bus.upkeep import Upkeep
from edulake.common.bus.watch import watch
from edulake.common.db import Database
from edulake.common.events import TOPICS, topic_of
from edulake.common.service import keep_running
from edulake.common.settings import Settings
from edulake.common.telemetry import configure_logging
from edulake.common.worker import metrics_shown

ROLE = "edulake_relay"


class Relay:
    """Carries the log to Kafka."""

    def __init__(self, database: Database, brokers: Brokers, limits: BusLimits) -> None:
        self._database = database
        self._brokers = brokers
        self._limits = limits

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`. Raises when a store is lost: start it again."""
        quieten_client()
        while not stop.is_set():
            async with leadership(self._database, CURSOR) as lead:
                if lead:
                    await self._lead(lead, stop)
            await pause(stop, self._limits.poll_ms / 1000)

    async def keep_up(self, stop: asyncio.Event) -> None:
        """Tell the lag, and purge, also while the brokers are away: then the lag matters most."""
        async with self._database.transaction() as session:
            await event_log.cursor(session, CURSOR)
        async with asyncio.TaskGroup() as group:
            group.create_task(Upkeep(self._database, self._limits, CURSOR, None).keep(stop))
            group.create_task(watch(self._database, self._limits, CURSOR, stop))

    async def _lead(self, lead: Leadership, stop: asyncio.Event) -> None:
        await ensure_topics(self._brokers, TOPICS, self._limits.retention_days)
        producer = AIOKafkaProducer(
            **self._brokers.connection(),
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            linger_ms=self._brokers.linger_ms,
        )
        try:
            await producer.start()
            while not stop.is_set():
                await lead.confirm()
                relayed = await self._relay(producer, stop)
                if relayed < self._limits.batch_events:
                    await pause(stop, self._limits.poll_ms / 1000)
        finally:
            await _close(producer)

    async def _relay(self, producer: AIOKafkaProducer, stop: asyncio.Event) -> int:
        async with self._database.transaction() as session:
            at = await event_log.cursor(session, CURSOR)
            page = await event_log.read_after(session, at, TOPICS, self._limits.batch_events)
        if page.pos == at:
            return 0
        # What has a name that cannot be one is handled by nobody, and there is no topic for it.
        messages = [message for message in page.messages if topic_of(message.name) in TOPICS]
        await faults.point("relay.before_send")
        if not await self._produce(producer, messages, stop):
            return 0
        await faults.point("relay.before_cursor")
        async with self._database.transaction() as session:
            await event_log.save_cursor(session, CURSOR, page.pos)
        await faults.point("relay.after_cursor")
        for message in messages:
            metrics.RELAYED.labels(topic_of(message.name)).inc()
        return len(page.messages)

    async def _produce(
        self, producer: AIOKafkaProducer, messages: list[Message], stop: asyncio.Event
    ) -> bool:
        """True when every message is acknowledged; False when told to stop before that.

        A batch that fails fails those behind it in its partition too (their sequence numbers no longer
        fit), so the order holds; the producer is then thrown away and the page sent anew.
        """
        sending = asyncio.create_task(self._send(producer, messages))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            return sending.done()
        finally:
            stopping.cancel()
            sending.cancel()
            await asyncio.gather(sending, stopping, return_exceptions=True)

    async def _send(self, producer: AIOKafkaProducer, messages: list[Message]) -> None:
        """What cannot be read is carried as that: its groups give it up under its id, as they do without Kafka.

        No time is given, so it is that of the sending. By the time of an event a broker would refuse one to
        come, and would throw away at once what had waited for longer than it keeps anything.
        """
        acknowledged = [
            await producer.send(
                self._brokers.topic(topic_of(message.name)),
                value=written(message).encode(),
                key=message.key.encode(),
            )
            for message in messages
        ]
        await asyncio.gather(*acknowledged)


async def _close(producer: AIOKafkaProducer) -> None:
    """Stop without waiting for ever for brokers that are away; what was not sent stands in the log."""
    try:
        async with asyncio.timeout(5):
            await producer.stop()
    except TimeoutError:
        await producer.client.close()


async def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = Settings()
    configure_logging(settings.log_level)
    faults.configure(settings)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    database = Database(settings.database_for(ROLE), pool_size=4)
    brokers = Brokers(bootstrap=settings.kafka_bootstrap)
    relay = Relay(database, brokers, BusLimits(poll_ms=settings.bus_poll_ms))
    try:
        with metrics_shown(settings):
            await asyncio.gather(
                keep_running("relay", lambda: relay.run(stop), stop),
                keep_running("relay upkeep", lambda: relay.keep_up(stop), stop),
            )
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())
