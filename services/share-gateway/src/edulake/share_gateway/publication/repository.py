"""Publications and publication jobs in Postgres. All times are the database's."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from edulake.common import locks
from edulake.common.events import GovernedDatasetReady
from edulake.common.locks import Space
from edulake.share_gateway.publication.schemas import Job, Publication
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_ADD_JOB = text(
    """INSERT INTO gateway.publication_job
        (dataset, governed_version, batch_id, row_count, content_digest, level, quality, trace_id)
    VALUES (:dataset, :version, :batch_id, :row_count, :content_digest, :level, :quality, :trace_id)
    ON CONFLICT (dataset, governed_version, batch_id) DO NOTHING RETURNING job_id"""
)
# The oldest open job of each dataset may start; one whose lease ended is open again.
_CLAIM = text(
    """UPDATE gateway.publication_job SET status = 'running', tries = tries + 1, worker = :worker,
        lease_until = now() + make_interval(secs => :lease_s), updated_at = now()
    WHERE job_id = (
        SELECT j.job_id FROM gateway.publication_job j
        WHERE (j.status = 'waiting' AND j.not_before <= now() OR j.status = 'running' AND j.lease_until < now())
          AND NOT EXISTS (
            SELECT FROM gateway.publication_job e
            WHERE e.dataset = j.dataset AND e.status IN ('waiting', 'running')
              AND (e.governed_version, e.job_id) < (j.governed_version, j.job_id))
          AND NOT EXISTS (
            SELECT FROM gateway.publication_job e
            WHERE e.dataset = j.dataset AND e.status = 'running' AND e.job_id <> j.job_id)
        ORDER BY j.job_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING *"""
)
_PULSE = text(
    """UPDATE gateway.publication_job SET lease_until = now() + make_interval(secs => :lease_s), updated_at = now()
    WHERE job_id = :job_id AND worker = :worker AND tries = :tries AND status = 'running' RETURNING job_id"""
)
_HOLD = text(
    """SELECT job_id FROM gateway.publication_job
    WHERE job_id = :job_id AND worker = :worker AND tries = :tries AND status = 'running' FOR UPDATE"""
)
_END = text(
    """UPDATE gateway.publication_job SET status = :status, worker = NULL, lease_until = NULL,
        not_before = now() + make_interval(secs => :pause_s), version = :version, reason_zh = :reason_zh,
        reason_en = :reason_en, seconds_by_step = CAST(:seconds_by_step AS jsonb), updated_at = now()
    WHERE job_id = :job_id AND worker = :worker AND tries = :tries AND status = 'running' RETURNING job_id"""
)
_REOPEN = text(
    """UPDATE gateway.publication_job SET status = 'waiting', tries = 0, not_before = now(), updated_at = now()
    WHERE dataset = :dataset AND status IN ('blocked', 'failed') RETURNING *"""
)
_ADD = text(
    """INSERT INTO gateway.publication (dataset, version, governed_version, batch_id, title, row_count,
        content_digest, level, columns, protection, published_at, current_by)
    SELECT :dataset, coalesce(max(version), 0) + 1, :governed_version, :batch_id, :title, :row_count,
        :content_digest, :level, CAST(:columns AS json), CAST(:protection AS json), now(), 'publisher'
    FROM gateway.publication WHERE dataset = :dataset RETURNING *"""
)
_MAKE_CURRENT = (
    text("UPDATE gateway.publication SET is_current = false WHERE dataset = :dataset AND is_current"),
    text(
        """UPDATE gateway.publication SET is_current = true, current_since = now(), current_by = :by
        WHERE dataset = :dataset AND version = :version RETURNING *"""
    ),
)
_OUTDATED = text(
    """UPDATE gateway.publication SET dropped_at = now()
    WHERE dataset = :dataset AND dropped_at IS NULL AND NOT is_current AND version NOT IN (
        SELECT version FROM gateway.publication WHERE dataset = :dataset AND dropped_at IS NULL
        ORDER BY version DESC LIMIT :keep)
    RETURNING version"""
)
_FIND = text("SELECT * FROM gateway.publication WHERE dataset = :dataset AND version = :version")
_SINCE = text(
    """SELECT * FROM gateway.publication WHERE dataset = :dataset AND governed_version >= :governed_version
    ORDER BY governed_version"""
)
_CURRENT = text("SELECT * FROM gateway.publication WHERE dataset = :dataset AND is_current")
_ALL = text(
    """SELECT * FROM gateway.publication WHERE dropped_at IS NULL AND (CAST(:dataset AS text) IS NULL
        OR dataset = :dataset) ORDER BY dataset, version DESC"""
)
_LAST_JOBS = text(
    """SELECT DISTINCT ON (dataset) * FROM gateway.publication_job
    ORDER BY dataset, governed_version DESC, job_id DESC"""
)


async def add_job(session: AsyncSession, ready: GovernedDatasetReady, trace_id: str) -> bool:
    """Queue a governed version; False when it is queued, or was done, already."""
    return await session.scalar(_ADD_JOB, {**ready.model_dump(), "trace_id": trace_id}) is not None


async def claim(session: AsyncSession, worker: str, lease_s: float) -> Job | None:
    """Take the next job that may start. IntegrityError when another worker took one of its dataset."""
    row = (await session.execute(_CLAIM, {"worker": worker, "lease_s": lease_s})).mappings().one_or_none()
    return Job.model_validate(dict(row)) if row else None


async def pulse(session: AsyncSession, job: Job, lease_s: float) -> bool:
    """Keep the lease; False when it is lost."""
    return await session.scalar(_PULSE, {**_held(job), "lease_s": lease_s}) is not None


async def hold(session: AsyncSession, job: Job) -> bool:
    """Lock the job's row for the rest of the transaction; False when the lease is lost."""
    return await session.scalar(_HOLD, _held(job)) is not None


async def end_job(
    session: AsyncSession,
    job: Job,
    status: str,
    *,
    version: int | None = None,
    reason: tuple[str, str] = ("", ""),
    pause_s: float = 0,
    seconds_by_step: Mapping[str, float] | None = None,
) -> bool:
    """Close a job, or give it back (`waiting`) for a later try; False when the lease is lost."""
    facts = {
        "status": status,
        "version": version,
        "reason_zh": reason[0],
        "reason_en": reason[1],
        "pause_s": pause_s,
        "seconds_by_step": orjson.dumps(dict(seconds_by_step or {})).decode(),
    }
    return await session.scalar(_END, {**facts, **_held(job)}) is not None


async def reopen(session: AsyncSession, dataset: str) -> list[Job]:
    """Queue the blocked and failed jobs of a dataset again; oldest governed version first."""
    rows = (await session.execute(_REOPEN, {"dataset": dataset})).mappings()
    jobs = [Job.model_validate(dict(row)) for row in rows]
    return sorted(jobs, key=lambda job: (job.governed_version, job.job_id))


async def lock_dataset(session: AsyncSession, dataset: str) -> None:
    """One change of what is published of a dataset at a time, until the transaction ends."""
    await locks.lock(session, Space.PUBLICATION, dataset)


async def add_publication(session: AsyncSession, job: Job, facts: Mapping[str, Any]) -> Publication:
    """Give a job's governed version the next version number, not yet current.

    `facts`: title, row_count, level, columns (name → SQL type) and protection (name → Protection).
    """
    row = {
        "dataset": job.dataset,
        "governed_version": job.governed_version,
        "batch_id": job.batch_id,
        "content_digest": job.content_digest,
        **facts,
        "columns": orjson.dumps(facts["columns"]).decode(),
        "protection": orjson.dumps(facts["protection"]).decode(),
    }
    return _publication((await session.execute(_ADD, row)).mappings().one())


async def make_current(session: AsyncSession, dataset: str, version: int, by: str) -> Publication:
    """Serve that version from the commit on."""
    release, take = _MAKE_CURRENT
    await session.execute(release, {"dataset": dataset})
    row = await session.execute(take, {"dataset": dataset, "version": version, "by": by})
    return _publication(row.mappings().one())


async def forget_outdated(session: AsyncSession, dataset: str, keep: int) -> list[int]:
    """Mark the versions that fall out of the restore window; their tables are to be dropped."""
    return list(await session.scalars(_OUTDATED, {"dataset": dataset, "keep": keep}))


async def find(session: AsyncSession, dataset: str, version: int) -> Publication | None:
    row = (await session.execute(_FIND, {"dataset": dataset, "version": version})).mappings().one_or_none()
    return _publication(row) if row else None


async def published_since(
    session: AsyncSession, dataset: str, governed_version: int
) -> Sequence[Publication]:
    """The publications of a governed version and of newer ones, oldest governed version first."""
    scope = {"dataset": dataset, "governed_version": governed_version}
    return [_publication(row) for row in (await session.execute(_SINCE, scope)).mappings()]


async def current(session: AsyncSession, dataset: str) -> Publication | None:
    """What is served of a dataset."""
    row = (await session.execute(_CURRENT, {"dataset": dataset})).mappings().one_or_none()
    return _publication(row) if row else None


async def kept(session: AsyncSession, dataset: str | None = None) -> Sequence[Publication]:
    """The versions whose tables exist, by dataset, newest first."""
    return [_publication(row) for row in (await session.execute(_ALL, {"dataset": dataset})).mappings()]


async def last_jobs(session: AsyncSession) -> dict[str, Job]:
    """The newest job of each dataset."""
    rows = (await session.execute(_LAST_JOBS)).mappings()
    return {row["dataset"]: Job.model_validate(dict(row)) for row in rows}


def _held(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, "worker": job.worker, "tries": job.tries}


def _publication(row: Mapping[Any, Any]) -> Publication:
    return Publication.model_validate(dict(row))
