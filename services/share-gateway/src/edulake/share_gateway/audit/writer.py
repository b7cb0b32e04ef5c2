"""Group commit: records wait a few milliseconds for company, then one transaction takes them all.

A personal read waits for its commit and fails when it cannot be had (P5). General calls are counted and
written once a second as rows with a count; a count that could not be written is kept and tried again.
"""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.errors import Unavailable
from edulake.common.events import AccessCalled
from edulake.common.gm import GmError, KeyRing
from edulake.common.telemetry import logger
from edulake.share_gateway.audit import repository
from edulake.share_gateway.audit.chain import Record, extend
from edulake.share_gateway.problems import AuditUnavailable
from prometheus_client import Counter, Histogram
from sqlalchemy.exc import SQLAlchemyError

log = logger(__name__)
WRITTEN = Counter("edulake_gateway_audit_rows_total", "Audit rows written", ["kind"])
COMMIT_SECONDS = Histogram("edulake_gateway_audit_commit_seconds", "Time of one group commit")
#: Distinct (client, grant, API, status) counted between two flushes; far above what an hour needs.
COUNTS_MAX = 50_000
#: `access.called.v1` is metering, not accounting: one event per caller, API and status in this time.
METERING_S = 10.0
#: API, client, grant, status.
MeterKey = tuple[str, str, str, int]
_BATCH_MAX = 2000
_LOSSES = (Unavailable, SQLAlchemyError, OSError, TimeoutError, GmError)


class Counted(NamedTuple):
    """What general calls have in common to be counted together."""

    client_id: str
    grant_id: str
    api: str
    purpose: str
    level: int
    status: int
    version: int


class AuditWriter:
    """The writing end of the chain in one process."""

    def __init__(
        self, database: Database, ring: KeyRing, *, commit_s: float, timeout_s: float, queue_records: int
    ) -> None:
        self._database = database
        self._ring = ring
        self._commit_s = commit_s
        self._timeout_s = timeout_s
        self._queue_records = queue_records
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()
        self._counts: dict[Counted, int] = {}
        self._metered: dict[MeterKey, int] = {}
        self._metered_at = now()

    async def write(self, record: Record) -> None:
        """Return when the record is committed; raises AuditUnavailable (503) when it is not in time."""
        if len(self._waiting) >= self._queue_records:
            raise _unavailable("too many audit records are waiting")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, done))
        self._arrived.set()
        try:
            async with asyncio.timeout(self._timeout_s):
                await done
        except TimeoutError:
            raise _unavailable("the audit record was not written in time") from None

    def count(self, facts: Counted) -> None:
        """Count a general call; raises AuditUnavailable when counts have not been written for too long."""
        counts = self._counts
        if facts in counts:
            counts[facts] += 1
        elif len(counts) >= COUNTS_MAX:
            raise _unavailable("too many counts are waiting to be written")
        else:
            counts[facts] = 1

    async def commit_groups(self, stop: asyncio.Event) -> None:
        """Write waiting records, group after group, until told to stop and none is left."""
        while not stop.is_set() or self._waiting:
            if not self._waiting:
                self._arrived.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), 0.2)
                continue
            await asyncio.sleep(self._commit_s)
            group, self._waiting = self._waiting[:_BATCH_MAX], self._waiting[_BATCH_MAX:]
            await self._commit_group(group)

    async def _commit_group(self, group: list[tuple[Record, asyncio.Future[None]]]) -> None:
        live = [(record, done) for record, done in group if not done.done()]
        try:
            if live:
                await self._append([record for record, _ in live], [])
        except _LOSSES as error:
            log.error("audit records not written", records=len(live), error=type(error).__name__)
            for _, done in live:
                if not done.done():
                    done.set_exception(_unavailable("the audit record could not be written"))
            return
        for _, done in live:
            if not done.done():
                done.set_result(None)

    async def flush_counts(self) -> None:
        """Write the counts of general calls; keep them when that fails. Now and then announce the metering."""
        counts, self._counts = self._counts, {}
        if not counts and not self._metered:
            return
        moment = now()
        metered = _sum(self._metered, counts)
        seconds = (moment - self._metered_at).total_seconds()
        called = (
            [_called(key, calls, seconds) for key, calls in metered.items()] if seconds >= METERING_S else []
        )
        if not counts and not called:
            return
        try:
            await self._append([_counted(facts, calls, moment) for facts, calls in counts.items()], called)
        except _LOSSES as error:
            log.warning("call counts not written", rows=len(counts), error=type(error).__name__)
            for facts, calls in counts.items():
                self._counts[facts] = self._counts.get(facts, 0) + calls
            return
        self._metered = {} if called else metered
        self._metered_at = moment if called else self._metered_at

    async def flush_regularly(self, every_s: float, stop: asyncio.Event) -> None:
        """Flush until told to stop, and once more at the end."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), every_s)
            await self.flush_counts()

    async def _append(self, records: list[Record], called: list[AccessCalled]) -> None:
        with COMMIT_SECONDS.time():
            async with asyncio.timeout(self._timeout_s * 2), self._database.transaction() as session:
                head = await repository.lock_head(session) if records else None
                if records:
                    await repository.append(session, *extend(self._ring, head, records))
                for facts in called:
                    await announce(session, facts)
        if records:
            WRITTEN.labels(records[0].kind).inc(len(records))


def _counted(facts: Counted, calls: int, at: datetime) -> Record:
    return Record(
        at=at,
        kind="calls",
        client_id=facts.client_id,
        grant_id=facts.grant_id,
        api=facts.api,
        purpose=facts.purpose,
        level=facts.level,
        status=facts.status,
        calls=calls,
        record="",
        client_ip="",
        trace_id="",
        version=facts.version,
    )


def _sum(metered: dict[MeterKey, int], counts: dict[Counted, int]) -> dict[MeterKey, int]:
    total = dict(metered)
    for facts, calls in counts.items():
        key = (facts.api, facts.client_id, facts.grant_id, facts.status)
        total[key] = total.get(key, 0) + calls
    return total


def _called(key: MeterKey, calls: int, seconds: float) -> AccessCalled:
    api, client_id, grant_id, status = key
    window_s = max(1, round(seconds))
    return AccessCalled(
        api=api, client_id=client_id, grant_id=grant_id, count=calls, window_s=window_s, status=status
    )


def _unavailable(reason: str) -> AuditUnavailable:
    return AuditUnavailable(
        "审计记录写入失败，未提供数据", reason, mend_zh="稍后重试", mend_en="retry shortly"
    )
