"""Reading events from Kafka, which the relay fills from the log.

Offsets are committed after the effect's transaction, never before; what is read twice finds itself in
the inbox. An event that waits for its next try pauses its partition at its own offset, at most for the
pauses between its tries. `tail` reads the log itself, as it does in the embedded suite: a position in
one log can be gone on from, positions in many partitions cannot.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from edulake.common.bus.brokers import Brokers, ensure_topics, quieten_client
from edulake.common.bus.delivery import Delivery
from edulake.common.bus.limits import BusLimits
from edulake.common.bus.message import from_json
from edulake.common.bus.port import Handlers
from edulake.common.bus.postgres import LogReader
from edulake.common.bus.upkeep import Upkeep
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.telemetry import logger

if TYPE_CHECKING:
    from edulake.common.service import Resources

log = logger(__name__)


class KafkaBus(LogReader):
    """Partitions are shared among the processes of a group by Kafka."""

    def __init__(
        self, database: Database, limits: BusLimits | None = None, brokers: Brokers | None = None
    ) -> None:
        super().__init__(database, limits)
        self.brokers = brokers or Brokers()

    async def consume(
        self, group: str, handlers: Handlers, resources: "Resources", stop: asyncio.Event
    ) -> None:
        delivery = await self._begin(group, handlers, resources)
        quieten_client()
        await ensure_topics(self.brokers, delivery.topics, self.limits.retention_days)
        consumer = self._consumer(group, delivery.topics)
        upkeep = Upkeep(self.database, self.limits, group, delivery)
        beside = asyncio.create_task(upkeep.keep(stop), name=f"upkeep {group}")
        try:
            await consumer.start()
            await _Reader(consumer, delivery, self.brokers).run(stop, beside)
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            await consumer.stop()

    def _consumer(self, group: str, zones: Sequence[str]) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            *map(self.brokers.topic, zones),
            **self.brokers.connection(),
            group_id=f"{self.brokers.prefix}{group}",
            group_instance_id=self.brokers.instance and f"{self.brokers.instance}-{group}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self.brokers.session_timeout_ms,
            heartbeat_interval_ms=self.brokers.session_timeout_ms // 4,
            max_poll_interval_ms=self.brokers.max_poll_interval_ms,
            fetch_max_wait_ms=self.limits.poll_ms,
        )


class _Reader:
    """One consumer at work."""

    def __init__(self, consumer: AIOKafkaConsumer, delivery: Delivery, brokers: Brokers) -> None:
        self._consumer = consumer
        self._delivery = delivery
        self._budget_s = brokers.max_poll_interval_ms / 2000
        self._paused: dict[TopicPartition, datetime] = {}

    async def run(self, stop: asyncio.Event, beside: "asyncio.Task[None]") -> None:
        """Read until `stop`; a failure beside ends the reading too, so that both start again."""
        limits = self._delivery.limits
        while not stop.is_set():
            if beside.done():
                beside.result()
            self._resume_due()
            batch = await self._consumer.getmany(timeout_ms=limits.poll_ms, max_records=limits.batch_events)
            deadline = time.monotonic() + self._budget_s
            for partition, records in batch.items():
                await self._work(partition, records, deadline, stop)

    async def _work(
        self,
        partition: TopicPartition,
        records: Sequence[ConsumerRecord],
        deadline: float,
        stop: asyncio.Event,
    ) -> None:
        """Settle records in order, note how far, and put back the rest."""
        first = reached = records[0].offset
        again_at = None
        for record in records:
            late = stop.is_set() or time.monotonic() > deadline
            again_at = now() if late else await self._deliver(record)
            if again_at:
                break
            reached = record.offset + 1
        try:
            if reached > first:
                await self._consumer.commit({partition: reached})
            if again_at:
                self._put_back(partition, reached, again_at)
        except (CommitFailedError, IllegalStateError):
            # The partition is another's by now; the inbox keeps what it repeats from having an effect.
            log.info("partition lost while at work", topic=partition.topic, partition=partition.partition)

    async def _deliver(self, record: ConsumerRecord) -> datetime | None:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        return await self._delivery.deliver(from_json(record.value, place))

    def _put_back(self, partition: TopicPartition, offset: int, again_at: datetime) -> None:
        self._consumer.seek(partition, offset)
        self._consumer.pause(partition)
        self._paused[partition] = again_at

    def _resume_due(self) -> None:
        assigned = self._consumer.assignment()
        for partition in [found for found, until in self._paused.items() if until <= now()]:
            del self._paused[partition]
            if partition in assigned:
                self._consumer.resume(partition)
