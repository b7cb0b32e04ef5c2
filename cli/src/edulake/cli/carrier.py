"""What carries the events of a suite, in words: the log alone, or Kafka with its broker and topics."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edulake.cli.state import SuiteState
from edulake.common.bus.lag import relayed_today
from edulake.common.db import Database
from edulake.common.events import TOPICS
from edulake.common.settings import Settings
from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from edulake.common.bus.brokers import Brokers

#: The newest events tell whether the relay loses any.
NEWEST_EVENTS = 100_000
T = TypeVar("T")


@dataclass(frozen=True)
class Carrier:
    """One thing that is true of Kafka now."""

    holds: bool
    words: str


def carrier_states(settings: Settings, state: SuiteState) -> list[Carrier]:
    """Everything that is quick to say of what carries a running suite's events; nothing of the log alone."""
    return [broker_state(settings, state)] if state.bus == "kafka" else []


def broker_state(settings: Settings, state: SuiteState | None = None) -> Carrier:
    """Does the broker answer, and are the topics there?"""
    from edulake.common.bus.probe import BrokersAway, missing_topics  # loads the client of Kafka

    brokers = _brokers(settings, state)
    try:
        missing = asyncio.run(missing_topics(brokers))
    except BrokersAway as error:
        return Carrier(
            False,
            f"Kafka 无法连接（{error}）：新数据照常归集，待其恢复后按序处理；检查 Kafka 与 "
            f"EDULAKE_KAFKA_BOOTSTRAP / Kafka is unreachable; events wait in the log until it is back",
        )
    if missing:
        return Carrier(
            True,
            f"Kafka {brokers.bootstrap} 可用，主题 {len(missing)} 个尚未建立（转发进程首次启动时建立）/ "
            "reachable, topics not made yet",
        )
    return Carrier(True, f"Kafka {brokers.bootstrap} 可用，主题齐全 / reachable, every topic is there")


def carried_state(settings: Settings, state: SuiteState) -> Carrier:
    """Does Kafka hold every event that the relay says it carried? Reads the topics."""
    from edulake.common.bus.probe import BrokersAway, count_carried

    relayed = asyncio.run(_ask(state, lambda session: relayed_today(session, TOPICS, NEWEST_EVENTS)))
    try:
        carried = asyncio.run(count_carried(_brokers(settings, state)))
    except BrokersAway as error:
        return Carrier(False, f"Kafka 中的事件无法核对（{error}）/ events in Kafka could not be checked")
    missing = [event_id for event_id in relayed if event_id not in carried]
    if missing:
        return Carrier(
            False,
            f"Kafka 缺少 {len(missing)} 条已转发的事件，如 {missing[0]} / relayed events are not in Kafka",
        )
    return Carrier(True, f"Kafka：已转发的 {len(relayed)} 条事件都在 / every relayed event is there")


def _brokers(settings: Settings, state: SuiteState | None) -> "Brokers":
    """The running suite's Kafka; without one, what the settings say."""
    from edulake.common.bus.brokers import Brokers

    if state and state.bus == "kafka":
        return Brokers(bootstrap=state.kafka_bootstrap, prefix=state.kafka_prefix)
    return Brokers(bootstrap=settings.kafka_bootstrap)


async def _ask(state: SuiteState, question: Callable[[AsyncSession], Awaitable[T]]) -> T:
    database = Database(state.admin_url, pool_size=1)
    try:
        async with database.read() as session:
            return await question(session)
    finally:
        await database.close()
