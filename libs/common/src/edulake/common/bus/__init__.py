"""Announcing and reading events; `port` holds the contract."""

from edulake.common.bus.announce import announce
from edulake.common.bus.deadletter import (
    DeadLetter,
    ShownDeadLetter,
    count_dead_letters,
    get_dead_letter,
    list_dead_letters,
    replay_dead_letter,
)
from edulake.common.bus.limits import BusLimits
from edulake.common.bus.log import PositionGone
from edulake.common.bus.port import Bus, Handler, Handlers
from edulake.common.bus.postgres import PostgresBus
from edulake.common.db import Database
from edulake.common.settings import Settings

__all__ = [
    "Bus",
    "BusLimits",
    "DeadLetter",
    "Handler",
    "Handlers",
    "PositionGone",
    "PostgresBus",
    "ShownDeadLetter",
    "announce",
    "count_dead_letters",
    "get_dead_letter",
    "list_dead_letters",
    "open_bus",
    "replay_dead_letter",
]


def open_bus(settings: Settings, database: Database) -> Bus:
    """The bus the settings name."""
    limits = BusLimits(poll_ms=settings.bus_poll_ms)
    if settings.bus == "kafka":
        from edulake.common.bus.brokers import Brokers
        from edulake.common.bus.kafka import KafkaBus  # an embedded suite never loads the client

        return KafkaBus(database, limits, Brokers(bootstrap=settings.kafka_bootstrap))
    return PostgresBus(database, limits)
