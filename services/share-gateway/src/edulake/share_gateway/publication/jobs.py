"""The job loop: claim the oldest open job of a dataset, prepare it under a lease, publish it.

A lease with heart beats covers the reading; the row's lock covers the transaction. Whoever dies loses
both, and the next claimer starts anew from the lake: nothing of the lost try is left.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from edulake.common.bus import Handlers, announce
from edulake.common.bus.delivery import describe
from edulake.common.errors import Problem, Unavailable
from edulake.common.events import Event, GovernedBatchFinished, GovernedDatasetReady, RawBatchWithdrawn
from edulake.common.lake import Lake
from edulake.common.service import Resources
from edulake.common.telemetry import adopt_trace, logger
from edulake.share_gateway.publication import announcing, repository
from edulake.share_gateway.publication.loader import NotPublishable
from edulake.share_gateway.publication.schemas import Job
from edulake.share_gateway.publication.service import HeldBack, LeaseLost, Publisher
from edulake.share_gateway.publication.settings import PublisherSettings
from polars.exceptions import PanicException
from prometheus_client import Counter, Histogram
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)
OUTCOMES = Counter("edulake_publications_total", "Publication jobs by how a try ended", ["outcome"])
SECONDS = Histogram("edulake_publication_seconds", "Time of one publication, from the claim to the commit")


async def on_governed_ready(
    session: AsyncSession, facts: GovernedDatasetReady, event: Event, _resources: Resources
) -> None:
    """Queue the governed version; the work is the job loop's."""
    await repository.add_job(session, facts, event.trace_id)


async def on_batch_finished(
    session: AsyncSession, facts: GovernedBatchFinished, _event: Event, _resources: Resources
) -> None:
    """Keep in mind whose rows were taken back, until they are governed after all."""
    if facts.taken_out_by in ("withdrawal", "block"):
        await repository.take_back(session, facts.dataset, facts.batch_id)
    elif facts.outcome == "governed":
        await repository.put_back(session, facts.dataset, facts.batch_id)


async def on_batch_withdrawn(
    session: AsyncSession, facts: RawBatchWithdrawn, _event: Event, _resources: Resources
) -> None:
    """Its rows may be in a version that is kept, though governance has nothing to take out any more."""
    await repository.take_back(session, facts.dataset, facts.batch_id)


HANDLERS: Handlers = {
    GovernedDatasetReady: on_governed_ready,
    GovernedBatchFinished: on_batch_finished,
    RawBatchWithdrawn: on_batch_withdrawn,
}


class JobLoop:
    """One worker; several, in this process or in others, share the jobs."""

    def __init__(self, resources: Resources, settings: PublisherSettings, lake: Lake) -> None:
        self._database = resources.database
        self._settings = settings
        self._publisher = Publisher(resources.database, lake, resources.standards, settings)
        self._worker = f"{os.getpid()}-{secrets.token_hex(4)}"

    async def run(self, stop: asyncio.Event) -> None:
        """Do jobs until told to stop; a job under way is finished. Raises when the database is lost."""
        while not stop.is_set():
            if await self.run_once():
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._settings.publisher_poll_ms / 1000)

    async def run_once(self) -> bool:
        """Do one job; False when none may start."""
        job = await self._claim()
        if job is None:
            return False
        adopt_trace(job.trace_id)
        with SECONDS.time():
            outcome = await self._try(job)
        OUTCOMES.labels(outcome).inc()
        return True

    async def _claim(self) -> Job | None:
        try:
            async with self._database.transaction() as session:
                return await repository.claim(session, self._worker, self._settings.publisher_lease_s)
        except IntegrityError:  # another worker took a job of the same dataset in this moment
            return None

    async def _try(self, job: Job) -> str:
        if job.tries > self._settings.publisher_tries:
            return await self._end(job, "failed", ("发布进程多次中断", "the publisher ended during each try"))
        try:
            async with self._heart_beats(job):
                prepared = await self._publisher.prepare(job)
            published = await self._publisher.publish(job, prepared)
        except NotPublishable as error:
            return await self._end(job, "blocked", (error.reason_zh, error.reason_en))
        except HeldBack as error:
            return await self._end(job, "held", (error.reason_zh, error.reason_en))
        except LeaseLost:
            log.warning("publication taken over", dataset=job.dataset, governed_version=job.governed_version)
            return "taken_over"
        except Unavailable:  # the database is lost: the lease ends by itself and the job starts again
            raise
        except (Exception, PanicException) as error:  # noqa: BLE001 - recorded, tried again, given up at last
            return await self._again(job, error)
        log.info(
            "dataset published",
            dataset=job.dataset,
            version=published.version,
            governed_version=published.governed_version,
            rows=published.row_count,
        )
        return "published"

    async def _again(self, job: Job, error: BaseException) -> str:
        zh, en = _words_of(error)
        if job.tries >= self._settings.publisher_tries:
            return await self._end(job, "failed", (f"发布失败：{zh}", f"publishing failed: {en}"))
        pause_s = self._settings.publisher_backoff_s * 2 ** (job.tries - 1)
        return await self._end(job, "waiting", (f"将重试：{zh}", f"trying again: {en}"), pause_s)

    async def _end(self, job: Job, status: str, reason: tuple[str, str], pause_s: float = 0) -> str:
        async with self._database.transaction() as session:
            is_mine = await repository.end_job(session, job, status, reason=reason, pause_s=pause_s)
            if is_mine and status != "waiting":
                await announce(
                    session, announcing.refused(job, status, reason)
                )  # P1: its source can read why
        write = log.warning if status == "waiting" else log.error
        write("dataset not published", dataset=job.dataset, outcome=status, reason=reason[1], tries=job.tries)
        return status

    @asynccontextmanager
    async def _heart_beats(self, job: Job) -> AsyncIterator[None]:
        """Keep the lease while the block runs; raise LeaseLost at its end if it could not be kept."""
        stop = asyncio.Event()
        beating = asyncio.create_task(self._beat(job, stop), name=f"lease of job {job.job_id}")
        try:
            yield
        finally:
            stop.set()
            kept = await beating
        if not kept:
            raise LeaseLost(job.dataset)

    async def _beat(self, job: Job, stop: asyncio.Event) -> bool:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._settings.publisher_lease_s / 3)
            if stop.is_set():
                return True
            try:
                async with self._database.transaction() as session:
                    if not await repository.pulse(session, job, self._settings.publisher_lease_s):
                        return False
            except Unavailable:  # the lease may still be alive: `hold` decides
                log.warning("lease not renewed", dataset=job.dataset)


def _words_of(error: BaseException) -> tuple[str, str]:
    """A problem's own words, which hold no value of a row; of anything else only its kind and place."""
    if isinstance(error, Problem):
        return error.detail_zh, error.detail_en
    return describe(error), describe(error)
