"""How far a reader is behind, told to Prometheus by every process that reads, whether its reading goes well or not."""

import asyncio

from edulake.common.bus import metrics
from edulake.common.bus.lag import standings
from edulake.common.bus.leader import pause
from edulake.common.bus.limits import BusLimits
from edulake.common.db import Database

GAUGES = (metrics.LAG_EVENTS, metrics.LAG_SECONDS, metrics.STILL_SECONDS, metrics.DEAD_LETTERS)


async def watch(database: Database, limits: BusLimits, consumer: str, stop: asyncio.Event) -> None:
    """Tell it until `stop`, or until the database is lost: what is not known is not told."""
    try:
        while not stop.is_set():
            async with database.read() as session:
                found = await standings(session, [consumer])
            for one in found:
                told = (one.events, one.seconds, one.still_s, one.dead)
                for gauge, value in zip(GAUGES, told, strict=True):
                    gauge.labels(consumer).set(value)
            await pause(stop, limits.upkeep_ms / 1000)
    finally:
        for gauge in GAUGES:
            gauge.remove(consumer)
