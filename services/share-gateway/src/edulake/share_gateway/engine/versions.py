"""Which version of each dataset is served now, followed from Postgres by one connection.

The view `published._current` is what the publisher commits; a look every `poll_ms` brings a new version
here. A process that cannot look keeps what it knows: serving tables never change once published, and
the gateway as a whole fails closed by the age of its grants. It says so by `age_s`, which readiness reads.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import asyncpg
import orjson
from edulake.common.telemetry import logger
from edulake.share_gateway.engine.definition import Column, Protection
from prometheus_client import Counter

log = logger(__name__)
FAILED_LOOKS = Counter(
    "edulake_engine_version_looks_failed_total", "Looks at the published versions that failed"
)
#: How the driver tells that the database is lost; the last one of a connection whose end it has not read yet.
LOSSES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_LOOK = """SELECT dataset, version, columns::text AS columns, protection::text AS protection
FROM published."_current\""""


@dataclass(frozen=True, slots=True)
class Served:
    """The version of a dataset that answers are read from, the columns its table has, and their protection."""

    version: int
    columns: Mapping[str, str]
    protection: Mapping[str, Protection]

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """From a row of the view."""
        kept = {name: Protection(**facts) for name, facts in orjson.loads(row["protection"]).items()}
        return cls(row["version"], orjson.loads(row["columns"]), kept)

    def fits(self, column: Column) -> bool:
        """True when the table has the column as it is wanted now: its type, and its protection (P8)."""
        kept = self.protection.get(column.name)
        same_type = self.columns.get(column.name) == column.sql_type
        return same_type and kept is not None and kept.covers(column.protection)


class Versions:
    """The current version of every published dataset, in memory."""

    def __init__(self, dsn: str, poll_ms: int) -> None:
        self._dsn = dsn
        self._poll_s = poll_ms / 1000
        self._known: dict[str, Served] = {}
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")
        self._now: Callable[[], float] = time.monotonic

    def get(self, dataset: str) -> Served | None:
        """What is served of a dataset, or None when it was never published."""
        return self._known.get(dataset)

    @property
    def age_s(self) -> float:
        """Seconds since the last look that succeeded."""
        return self._now() - self._looked_at

    async def look(self) -> None:
        """Bring the versions up to date. Raises OSError or asyncpg errors when the database is lost."""
        async with self._lock:
            try:
                rows = await self._fetch()
            except BaseException:
                await self._drop()
                raise
            self._known = {row["dataset"]: Served.of(row) for row in rows}
            self._looked_at = self._now()

    async def follow(self, stop: asyncio.Event) -> None:
        """Look again and again until told to stop."""
        while not stop.is_set():
            try:
                await self.look()
            except LOSSES as error:
                FAILED_LOOKS.inc()
                log.warning("published versions not read", error=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._poll_s)

    async def close(self) -> None:
        async with self._lock:
            await self._drop()

    async def _fetch(self) -> list[asyncpg.Record]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=2)
        return await self._connection.fetch(_LOOK)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
