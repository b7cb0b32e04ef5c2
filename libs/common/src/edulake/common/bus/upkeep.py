"""What every reader does beside reading: replays, lag and dead letters as metrics, the purge."""

import asyncio
import time
from collections.abc import Sequence

from edulake.common.bus import log as event_log
from edulake.common.bus import metrics
from edulake.common.bus.deadletter import mark_replayed, replaying
from edulake.common.bus.delivery import Delivery
from edulake.common.bus.lag import cursor_lag, group_lag
from edulake.common.bus.leader import leadership, pause
from edulake.common.bus.limits import BusLimits
from edulake.common.db import Database
from edulake.common.telemetry import logger
from sqlalchemy import text

log = logger(__name__)

#: Rows one purge may delete, so that it never runs into the statement timeout.
PURGE_ROWS = 20_000
_PURGE = text("SELECT bus.purge(:days, :limit)")
_DEAD = text("SELECT count(*) FROM bus.dead_letter WHERE consumer = :consumer AND state = 'dead'")


async def purge(database: Database, keep_days: int) -> int:
    """Delete events older than `keep_days` that every cursor has passed; returns how many."""
    async with database.transaction() as session:
        return int(await session.scalar(_PURGE, {"days": keep_days, "limit": PURGE_ROWS}) or 0)


async def measure_lag(database: Database, consumer: str, names: Sequence[str] | None = None) -> None:
    """Set the lag of a group that handles `names`, or of a cursor alone."""
    async with database.transaction() as session:
        if names is None:
            lag = await cursor_lag(session, consumer)
        else:
            # Where Kafka reads for the group nobody else moves its cursor, by which the log is purged.
            await event_log.advance(session, consumer, names)
            lag = await group_lag(session, consumer, names)
    metrics.LAG_EVENTS.labels(consumer).set(lag.events)
    metrics.LAG_SECONDS.labels(consumer).set(lag.seconds)


class Upkeep:
    """Runs when due; a reader calls it between batches."""

    def __init__(
        self, database: Database, limits: BusLimits, consumer: str, delivery: Delivery | None
    ) -> None:
        """`consumer` is whose lag is measured; without `delivery` (the relay) by its cursor alone."""
        self._database = database
        self._limits = limits
        self._consumer = consumer
        self._delivery = delivery
        self._next = 0.0
        self._next_purge = 0.0

    async def run_if_due(self) -> None:
        moment = time.monotonic()
        if moment < self._next:
            return
        self._next = moment + self._limits.upkeep_ms / 1000
        names = self._delivery.names if self._delivery else None
        await measure_lag(self._database, self._consumer, names)
        if self._delivery:
            await self._replay(self._delivery)
            await self._count_dead(self._delivery.group)
        if moment >= self._next_purge:
            self._next_purge = moment + self._limits.purge_s
            purged = await purge(self._database, self._limits.retention_days)
            log.info("event log purged", events=purged)

    async def keep(self, stop: asyncio.Event) -> None:
        """Do it beside a reader that may be held up by its brokers; one process of the group does."""
        while not stop.is_set():
            try:
                async with leadership(self._database, f"upkeep {self._consumer}") as lead:
                    while lead and not stop.is_set():
                        await lead.confirm()
                        await self.run_if_due()
                        await pause(stop, self._limits.upkeep_ms / 1000)
            finally:
                self.leave()
            await pause(stop, self._limits.upkeep_ms / 1000)

    def leave(self) -> None:
        """Another process measures from now on: what was last seen here must not stand beside it."""
        for gauge in (metrics.LAG_EVENTS, metrics.LAG_SECONDS, metrics.DEAD_LETTERS):
            gauge.remove(self._consumer)

    async def _replay(self, delivery: Delivery) -> None:
        async with self._database.transaction() as session:
            asked = await replaying(session, delivery.group, delivery.names, self._limits.batch_events)
        for letter, event in asked.items():
            if await delivery.deliver(event) is None:
                async with self._database.transaction() as session:
                    await mark_replayed(session, letter)

    async def _count_dead(self, group: str) -> None:
        async with self._database.transaction() as session:
            dead = await session.scalar(_DEAD, {"consumer": group})
        metrics.DEAD_LETTERS.labels(group).set(dead or 0)
