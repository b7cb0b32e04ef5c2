"""Publications and publication jobs in Postgres. All times are the database's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from edulake.common import locks
from edulake.common.events import GovernedDatasetReady
from edulake.common.locks import Space
from edulake.share_gateway.engine import serving
from edulake.share_gateway.publication.guard import Counts
from edulake.share_gateway.publication.schemas import Job, Publication
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_ADD_JOB = text(
    """INSERT INTO gateway.publication_job
        (dataset, governed_version, batch_id, row_count, content_digest, level, quality, trace_id,
         parts_version, agreed_by)
    VALUES (:dataset, :version, :batch_id, :row_count, :content_digest, :level, :quality, :trace_id,
         :parts_version, :agreed_by)
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
_NEWEST_HELD = text(
    """SELECT * FROM gateway.publication_job WHERE dataset = :dataset AND status = 'held'
    ORDER BY governed_version DESC, job_id DESC LIMIT 1 FOR UPDATE"""
)
_RELEASE = text(
    """UPDATE gateway.publication_job SET status = 'waiting', tries = 0, not_before = now(), released_by = :by,
        updated_at = now() WHERE job_id = :job_id RETURNING *"""
)
_HELD_BEFORE = text(
    """SELECT EXISTS (SELECT FROM gateway.publication_job WHERE dataset = :dataset AND status = 'held'
        AND governed_version < :governed_version)"""
)
# What waits behind a newer publication is held by it, or undone: either is found out by trying.
_REOPEN_HELD_BEFORE = text(
    """UPDATE gateway.publication_job SET status = 'waiting', tries = 0, not_before = now(), updated_at = now()
    WHERE dataset = :dataset AND status = 'held' AND governed_version < :governed_version"""
)
_TAKE_BACK = text(
    "INSERT INTO gateway.taken_back (dataset, batch_id) VALUES (:dataset, :batch_id) ON CONFLICT DO NOTHING"
)
_PUT_BACK = text("DELETE FROM gateway.taken_back WHERE dataset = :dataset AND batch_id = :batch_id")
_TAKEN_BACK = text("SELECT batch_id FROM gateway.taken_back WHERE dataset = :dataset")
_ADD = text(
    """INSERT INTO gateway.publication (dataset, version, governed_version, batch_id, title, row_count,
        content_digest, level, columns, protection, batches, published_at, current_by)
    SELECT :dataset, coalesce(max(version), 0) + 1, :governed_version, :batch_id, :title, :row_count,
        :content_digest, :level, CAST(:columns AS json), CAST(:protection AS json), CAST(:batches AS text[]), now(), 'publisher'
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


async def run(session: AsyncSession, statements: Iterable[str]) -> None:
    """Run statements of `engine.serving`, which name tables and so cannot be prepared with parameters."""
    connection = await session.connection()
    for statement in statements:
        await connection.exec_driver_sql(statement)


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


async def newest_held(session: AsyncSession, dataset: str) -> Job | None:
    """The newest job of a dataset that waits for a person, its row locked."""
    row = (await session.execute(_NEWEST_HELD, {"dataset": dataset})).mappings().one_or_none()
    return Job.model_validate(dict(row)) if row else None


async def release(session: AsyncSession, job: Job, by: str) -> Job:
    """Queue a held job, to be published whatever it lacks."""
    row = (await session.execute(_RELEASE, {"job_id": job.job_id, "by": by})).mappings().one()
    return Job.model_validate(dict(row))


async def is_held_before(session: AsyncSession, job: Job) -> bool:
    """Whether an older version of the dataset waits for a person, so that this one holds what that one lacks."""
    place = {"dataset": job.dataset, "governed_version": job.governed_version}
    return bool(await session.scalar(_HELD_BEFORE, place))


async def reopen_held_before(session: AsyncSession, job: Job) -> None:
    """Queue what was held of older versions than one that is published now."""
    place = {"dataset": job.dataset, "governed_version": job.governed_version}
    await session.execute(_REOPEN_HELD_BEFORE, place)


async def counts_of(session: AsyncSession, served: Publication) -> Counts:
    """Counts over the table of a published version."""
    connection = await session.connection()
    place = (served.dataset, served.version)
    regions = {
        row.region: row.rows for row in await connection.exec_driver_sql(serving.count_regions(*place))
    }
    filled = (await connection.exec_driver_sql(serving.count_filled(*place, served.columns))).mappings().one()
    districts = {name: rows for name, rows in regions.items() if name is not None}
    return Counts(sum(regions.values()), districts, dict(filled))


async def take_back(session: AsyncSession, dataset: str, batch_id: str) -> None:
    """Remember that a batch's rows must not be served again."""
    await session.execute(_TAKE_BACK, {"dataset": dataset, "batch_id": batch_id})


async def put_back(session: AsyncSession, dataset: str, batch_id: str) -> None:
    """A batch is governed after all."""
    await session.execute(_PUT_BACK, {"dataset": dataset, "batch_id": batch_id})


async def taken_back(session: AsyncSession, dataset: str) -> set[str]:
    """The batches of a dataset whose rows must not be served again."""
    return set(await session.scalars(_TAKEN_BACK, {"dataset": dataset}))


async def lock_dataset(session: AsyncSession, dataset: str) -> None:
    """One change of what is published of a dataset at a time, until the transaction ends."""
    await locks.lock(session, Space.PUBLICATION, dataset)


async def add_publication(session: AsyncSession, job: Job, facts: Mapping[str, Any]) -> Publication:
    """Give a job's governed version the next version number, not yet current.

    `facts`: title, row_count, level, batches, columns (name → SQL type) and protection (name → Protection).
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
