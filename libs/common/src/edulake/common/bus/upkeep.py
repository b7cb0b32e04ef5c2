"""What every reader does beside reading: replays, the purge, and the cursor of a group that Kafka reads for."""

import asyncio
import time

from edulake.common.bus import log as event_log
from edulake.common.bus.deadletter import mark_replayed, replaying
from edulake.common.bus.delivery import Delivery
from edulake.common.bus.leader import leadership, pause
from edulake.common.bus.limits import BusLimits
from edulake.common.db import Database
from edulake.common.telemetry import logger
from sqlalchemy import text

log = logger(__name__)

#: Rows one purge may delete, so that it never runs into the statement timeout.
PURGE_ROWS = 20_000
_PURGE = text("SELECT bus.purge(:days, :limit)")


async def purge(database: Database, keep_days: int) -> int:
    """Delete events older than `keep_days` that every cursor has passed; returns how many."""
    async with database.transaction() as session:
        return int(await session.scalar(_PURGE, {"days": keep_days, "limit": PURGE_ROWS}) or 0)


class Upkeep:
    """Runs when due; a reader calls it between batches, or has it kept beside."""

    def __init__(
        self, database: Database, limits: BusLimits, consumer: str, delivery: Delivery | None
    ) -> None:
        """Without `delivery` (the relay) there is nothing to replay."""
        self._database = database
        self._limits = limits
        self._consumer = consumer
        self._delivery = delivery
        self._next = 0.0
        self._next_purge = 0.0

    async def run_if_due(self) -> None:
        """What fails here is logged and tried again: it must not keep the events from being read.

        A lost database is noticed by the reader itself.
        """
        moment = time.monotonic()
        if moment < self._next:
            return
        self._next = moment + self._limits.upkeep_ms / 1000
        try:
            await self._run(moment)
        except Exception:
            log.exception("upkeep failed", group=self._consumer)

    async def _run(self, moment: float) -> None:
        if self._delivery:
            # Where Kafka reads for the group nobody else moves its cursor, by which the log is purged.
            async with self._database.transaction() as session:
                await event_log.advance(session, self._consumer, self._delivery.names)
            await self._replay(self._delivery)
        if moment >= self._next_purge:
            self._next_purge = moment + self._limits.purge_s
            purged = await purge(self._database, self._limits.retention_days)
            log.info("event log purged", events=purged)

    async def keep(self, stop: asyncio.Event) -> None:
        """Do it beside a reader that may be held up by its brokers; one process of the group does."""
        while not stop.is_set():
            async with leadership(self._database, f"upkeep {self._consumer}") as lead:
                while lead and not stop.is_set():
                    await lead.confirm()
                    await self.run_if_due()
                    await pause(stop, self._limits.upkeep_ms / 1000)
            await pause(stop, self._limits.upkeep_ms / 1000)

    async def _replay(self, delivery: Delivery) -> None:
        async with self._database.transaction() as session:
            asked = await replaying(session, delivery.group, delivery.names, self._limits.batch_events)
        for letter, message in asked.items():
            if await delivery.deliver(message) is None:
                async with self._database.transaction() as session:
                    await mark_replayed(session, letter)
