"""Looking at Kafka from outside: is it there, has it the topics, does it hold what the log holds."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from edulake.common.bus.brokers import Brokers
from edulake.common.bus.message import from_json
from edulake.common.events import TOPICS

#: Longest wait for an answer of the brokers.
PROBE_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 120.0


class BrokersAway(RuntimeError):
    """No broker of the bootstrap list answered in time; the message says which list and why."""


async def missing_topics(brokers: Brokers, zones: Iterable[str] = TOPICS) -> list[str]:
    """The topics that do not exist yet. Raises BrokersAway."""
    wanted = [brokers.topic(zone) for zone in zones]
    with _told(brokers):
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            there = {partition.topic for partition in await _partitions(brokers, wanted)}
    return [topic for topic in wanted if topic not in there]


async def count_carried(brokers: Brokers, zones: Iterable[str] = TOPICS) -> Counter[UUID]:
    """How often each event stands in the topics now: once, or more where the relay had to repeat it.

    Reads all that the brokers keep. Raises BrokersAway.
    """
    found: Counter[UUID] = Counter()
    consumer = AIOKafkaConsumer(**brokers.connection(), enable_auto_commit=False)
    with _told(brokers):
        async with asyncio.timeout(READ_TIMEOUT_S):
            partitions = await _partitions(brokers, [brokers.topic(zone) for zone in zones])
            try:
                await consumer.start()
                async for value in _values(consumer, partitions):
                    found[from_json(value, "").event_id] += 1
            finally:
                await consumer.stop()
    return found


async def _partitions(brokers: Brokers, topics: Sequence[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(**brokers.connection(), request_timeout_ms=int(PROBE_TIMEOUT_S * 1000))
    try:
        await admin.start()
        there = set(await admin.list_topics())
        described = await admin.describe_topics([topic for topic in topics if topic in there])
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], part["partition"])
        for topic in described
        for part in topic["partitions"]
    ]


async def _values(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> AsyncIterator[bytes | None]:
    """Every message that stands in the partitions at this moment."""
    if not partitions:
        return
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    left = {partition for partition in partitions if begins[partition] < ends[partition]}
    consumer.assign(list(left))
    await consumer.seek_to_beginning()
    while left:
        for partition, records in (await consumer.getmany(timeout_ms=200)).items():
            for record in records:
                if record.offset < ends[partition]:
                    yield record.value
            if records[-1].offset + 1 >= ends[partition]:
                left.discard(partition)


@contextmanager
def _told(brokers: Brokers) -> Iterator[None]:
    """Turn what the client raises into one error in words; its own complaints would only repeat it."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokersAway(f"{brokers.bootstrap}: {type(error).__name__}") from error
    finally:
        logger.setLevel(level)
