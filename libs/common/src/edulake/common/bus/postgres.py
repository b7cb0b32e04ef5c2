"""Reading the event log with a cursor per group: the embedded bus, and `tail` for both."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from edulake.common.bus import log as event_log
from edulake.common.bus.delivery import Delivery
from edulake.common.bus.leader import Leadership, leadership, pause
from edulake.common.bus.limits import BusLimits
from edulake.common.bus.message import Message
from edulake.common.bus.port import Handlers
from edulake.common.bus.upkeep import Upkeep
from edulake.common.db import Database
from edulake.common.events import Event

if TYPE_CHECKING:
    from edulake.common.service import Resources


class LogReader:
    """The parts of the bus that read the log whatever carries it on."""

    def __init__(self, database: Database, limits: BusLimits | None = None) -> None:
        self.database = database
        self.limits = limits or BusLimits()

    async def tail(
        self, topics: Sequence[str], stop: asyncio.Event, after: str | UUID | None = None
    ) -> AsyncIterator[Event]:
        at = await event_log.position_of(self.database, after)
        while not stop.is_set():
            async with self.database.transaction() as session:
                page = await event_log.read_after(session, at, topics, self.limits.batch_events)
            for event in page.events:
                yield event
            at = page.pos
            if not page.is_full:
                await pause(stop, self.limits.poll_ms / 1000)

    async def _begin(self, group: str, handlers: Handlers, resources: "Resources") -> Delivery:
        """The group's delivery; from here on everybody can tell how far the group is behind."""
        delivery = Delivery(self.database, group, handlers, resources, self.limits)
        async with self.database.transaction() as session:
            await event_log.register(session, group, delivery.names)
        return delivery

    async def position(self) -> str:
        return str(await event_log.position_of(self.database, None))


class PostgresBus(LogReader):
    """One process of a group reads, the others stand by; a key that waits does not stop the others."""

    async def consume(
        self, group: str, handlers: Handlers, resources: "Resources", stop: asyncio.Event
    ) -> None:
        delivery = await self._begin(group, handlers, resources)
        while not stop.is_set():
            async with leadership(self.database, f"group {group}") as lead:
                if lead:
                    await self._lead(delivery, lead, stop)
            await pause(stop, self.limits.poll_ms / 1000)

    async def _lead(self, delivery: Delivery, lead: Leadership, stop: asyncio.Event) -> None:
        upkeep = Upkeep(self.database, self.limits, delivery.group, delivery)
        while not stop.is_set():
            await lead.confirm()
            async with self.database.transaction() as session:
                messages = await event_log.due(
                    session, delivery.group, delivery.names, self.limits.batch_events
                )
            await self._deliver(delivery, messages, stop)
            await upkeep.run_if_due()
            if len(messages) < self.limits.batch_events:
                await pause(stop, self.limits.poll_ms / 1000)

    async def _deliver(self, delivery: Delivery, messages: Sequence[Message], stop: asyncio.Event) -> None:
        waiting: set[str] = set()
        for message in messages:
            if stop.is_set():
                return
            if message.key not in waiting and await delivery.deliver(message):
                waiting.add(message.key)
