"""The job table: claims, leases, progress and ends of runs. All times are the database's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from edulake.common.events import RawBatchLanded
from edulake.common.policy import Scope
from edulake.governance.models import Run, VersionNote
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

# The oldest open run of each dataset may start; one whose lease ended starts again before all others.
_CLAIM = text(
    """UPDATE governance.run SET state = 'running', tries = tries + 1, lease_owner = :owner,
        lease_token = :token, lease_until = now() + make_interval(secs => :lease_s),
        step = NULL, step_done = 0, step_total = 0, updated_at = now()
    WHERE batch_id = (
        SELECT r.batch_id FROM governance.run r
        WHERE (r.state = 'running' AND r.lease_until < now()
               OR r.state IN ('queued', 'waiting_reference') AND r.not_before <= now()
                  AND NOT EXISTS (SELECT FROM governance.run e WHERE e.dataset = r.dataset
                      AND e.state IN ('queued', 'waiting_reference') AND e.landed_no < r.landed_no))
          AND NOT EXISTS (SELECT FROM governance.run e WHERE e.dataset = r.dataset
              AND e.state = 'running' AND e.batch_id <> r.batch_id)
        ORDER BY r.landed_no LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING batch_id"""
)
_PULSE = text(
    """UPDATE governance.run SET lease_until = now() + make_interval(secs => :lease_s),
        step = :step, step_done = :done, step_total = :total, updated_at = now()
    WHERE batch_id = :batch_id AND lease_token = :token RETURNING batch_id"""
)
_RELEASE = text(
    """UPDATE governance.run SET state = :state, lease_owner = NULL, lease_token = NULL, lease_until = NULL,
        tries = tries - CASE WHEN :is_a_try THEN 0 ELSE 1 END,
        not_before = now() + make_interval(secs => :pause_s),
        waiting_for = :waiting_for,
        waiting_since = CASE WHEN :state = 'waiting_reference' THEN coalesce(waiting_since, now())
                        ELSE waiting_since END,
        reason_zh = :reason_zh, reason_en = :reason_en, step = NULL, updated_at = now()
    WHERE batch_id = :batch_id AND lease_token = :token RETURNING batch_id"""
)
_END = text(
    """UPDATE governance.run SET state = :state, outcome = :outcome, lease_owner = NULL, lease_token = NULL,
        lease_until = NULL, waiting_for = '{}', waiting_since = NULL, version = :version,
        content_digest = :content_digest, rows_in = :rows_in, rows_governed = :rows_governed,
        rows_quarantined = :rows_quarantined, quarantined_by_rule = CAST(:quarantined_by_rule AS jsonb),
        seconds_by_step = CAST(:seconds_by_step AS jsonb), reason_zh = :reason_zh, reason_en = :reason_en,
        completeness = CAST(:completeness AS jsonb), agreed = NULL, is_set_aside = false,
        agreed_by = CASE WHEN agreed IS NOT NULL AND :outcome = 'governed' THEN agreed_by END,
        step = NULL, step_done = :steps, step_total = :steps, updated_at = now(), finished_at = now()
    WHERE batch_id = :batch_id"""
)
_AGREE = text(
    """UPDATE governance.run SET state = 'queued', revision = revision + 1, tries = 0, not_before = now(),
        agreed = completeness, agreed_by = :by, finished_at = NULL, updated_at = now(),
        reason_zh = '', reason_en = ''
    WHERE batch_id = :batch_id"""
)
_REFUSE = text(
    """UPDATE governance.run SET state = 'finished', outcome = 'refused', reason_zh = :reason_zh,
        reason_en = :reason_en, updated_at = now(), finished_at = now() WHERE batch_id = :batch_id"""
)
_SUPERSEDE_HELD = text(
    """UPDATE governance.run SET state = 'finished', outcome = 'superseded', is_set_aside = true,
        reason_zh = '同一来源同一时期已有更新的批次，本批次不再等待确认',
        reason_en = 'its source delivered for the same period since; it waits no longer', updated_at = now()
    WHERE state = 'held' AND dataset = :dataset AND source_id = :source_id AND period = :period
      AND landed_no < :landed_no RETURNING batch_id"""
)
_WITHDRAW = text(
    """UPDATE governance.run SET is_withdrawn = true, updated_at = now(),
        state = CASE WHEN state = 'running' THEN state WHEN revision > 1 THEN 'queued' ELSE 'cancelled' END,
        not_before = now(), waiting_for = '{}', waiting_since = NULL,
        finished_at = CASE WHEN state = 'running' OR revision > 1 THEN NULL ELSE now() END,
        reason_zh = '来源已撤回该批次', reason_en = 'the source withdrew the batch'
    WHERE batch_id = :batch_id AND state IN ('queued', 'waiting_reference', 'running') RETURNING state"""
)
_TAKE_OUT = text(
    """UPDATE governance.run SET is_withdrawn = true, state = 'queued', revision = revision + 1, tries = 0,
        not_before = now(), finished_at = NULL, updated_at = now(),
        reason_zh = '来源已撤回该批次，正在移出其数据', reason_en = 'withdrawn by its source, to be taken out'
    WHERE batch_id = :batch_id AND state IN ('finished', 'failed', 'held') AND NOT is_withdrawn RETURNING state"""
)
# From the newest whole delivery before the withdrawn one on: what came before that was replaced by it.
_REOPEN_REPLACED = text(
    """WITH before AS (
        SELECT r.batch_id, r.landed_no, r.landed ->> 'format' = ANY(:adding) AS adds
        FROM governance.run r, governance.run w
        WHERE w.batch_id = :batch_id AND r.landed_no < w.landed_no AND NOT r.is_withdrawn AND NOT r.is_set_aside
          AND (r.dataset, r.source_id, r.period) = (w.dataset, w.source_id, w.period)
          AND r.state IN ('finished', 'failed') AND (r.version IS NOT NULL OR r.outcome = 'superseded'))
    UPDATE governance.run SET state = 'queued', revision = revision + 1, tries = 0, not_before = now(),
        reason_zh = '', reason_en = '', finished_at = NULL, updated_at = now()
    WHERE batch_id IN (SELECT b.batch_id FROM before b WHERE b.landed_no >=
        coalesce((SELECT max(landed_no) FROM before WHERE NOT adds), 0)) RETURNING batch_id"""
)
_IN_EFFECT = text(
    "SELECT batch_id FROM governance.run WHERE dataset = :dataset AND version IS NOT NULL ORDER BY batch_id"
)
_PUT_IN_EFFECT = text(
    "UPDATE governance.run SET version = :version, content_digest = :content_digest WHERE batch_id = ANY(:batch_ids)"
)
_LEAVE = text(
    """UPDATE governance.run SET state = 'finished', outcome = 'superseded', rows_governed = 0,
        is_set_aside = true, reason_zh = :reason_zh, reason_en = :reason_en, updated_at = now()
    WHERE batch_id = ANY(:batch_ids) AND state IN ('finished', 'failed') RETURNING batch_id"""
)
_COME_BACK = text(
    """UPDATE governance.run SET state = 'finished', outcome = 'governed', rows_governed = :rows,
        is_set_aside = false, reason_zh = :reason_zh, reason_en = :reason_en, updated_at = now()
    WHERE batch_id = :batch_id AND state = 'finished' AND outcome <> 'refused' RETURNING batch_id"""
)
_REMOVE_AGAIN = text(
    """UPDATE governance.run SET state = 'queued', revision = revision + 1, tries = 0, not_before = now(),
        waiting_since = NULL, finished_at = NULL, updated_at = now()
    WHERE batch_id = ANY(:batch_ids) AND (state = 'cancelled' AND is_withdrawn
        OR state IN ('finished', 'failed') AND outcome = 'refused') RETURNING batch_id"""
)
_WAKE = text(
    """UPDATE governance.run SET not_before = now(), updated_at = now()
    WHERE state = 'waiting_reference' AND :dataset = ANY(waiting_for) RETURNING batch_id"""
)
_REOPEN = text(
    """UPDATE governance.run SET state = 'queued', revision = revision + 1, tries = 0, not_before = now(),
        waiting_since = NULL, reason_zh = '', reason_en = '', finished_at = NULL, updated_at = now()
    WHERE batch_id = :batch_id AND state IN ('finished', 'failed', 'held') AND NOT is_withdrawn RETURNING batch_id"""
)
_OPEN_BEFORE = text(
    """SELECT DISTINCT dataset FROM governance.run WHERE dataset = ANY(:datasets) AND landed_no < :landed_no
        AND state IN ('queued', 'waiting_reference', 'running')"""
)
_COUNT = text("SELECT state, count(*) AS runs FROM governance.run GROUP BY state ORDER BY state")
_LAST_RECEIVED = text(
    "SELECT dataset, max(received_at) AS at FROM governance.run WHERE version IS NOT NULL GROUP BY dataset"
)
_OLDEST = text(
    "SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM governance.run "
    "WHERE state IN ('queued', 'waiting_reference', 'running')"
)

#: The facts of an end without a result.
NO_RESULT: dict[str, Any] = {
    "outcome": None,
    "version": None,
    "content_digest": None,
    "rows_in": 0,
    "rows_governed": 0,
    "rows_quarantined": 0,
    "quarantined_by_rule": {},
    "seconds_by_step": {},
    "reason_zh": "",
    "reason_en": "",
    "completeness": None,
}


async def add(session: AsyncSession, landed: RawBatchLanded, trace_id: str, received_at: datetime) -> bool:
    """Queue a batch; False when it is known already."""
    row = {
        **landed.model_dump(include={"batch_id", "dataset", "source_id", "contact", "period", "landed_no"}),
        "landed": landed.model_dump(mode="json"),
        "trace_id": trace_id,
        "received_at": received_at,
    }
    told = {name: value for name, value in row.items() if value is not None}
    added = insert(Run).values(**told).on_conflict_do_nothing(index_elements=[Run.batch_id])
    return await session.scalar(added.returning(Run.batch_id)) is not None


async def claim(session: AsyncSession, owner: str, token: UUID, lease_s: float) -> Run | None:
    """Take the next run that may start. IntegrityError when another worker took one of its dataset."""
    batch_id = await session.scalar(_CLAIM, {"owner": owner, "token": token, "lease_s": lease_s})
    return await get(session, batch_id) if batch_id else None


async def pulse(
    session: AsyncSession, run: Run, lease_s: float, progress: tuple[str | None, int, int]
) -> bool:
    """Show progress and keep the lease; False when it is lost."""
    step, done, total = progress
    facts = {"step": step, "done": done, "total": total, "lease_s": lease_s}
    return await session.scalar(_PULSE, {**facts, **_held(run)}) is not None


async def hold(session: AsyncSession, run: Run) -> Run | None:
    """Lock the run's row for the rest of the transaction, or None when the lease is lost."""
    held = select(Run).where(Run.batch_id == run.batch_id, Run.lease_token == run.lease_token)
    return await session.scalar(held.with_for_update().execution_options(populate_existing=True))


async def release(
    session: AsyncSession,
    run: Run,
    *,
    state: str = "queued",
    pause_s: float = 0,
    is_a_try: bool = True,
    waiting_for: Sequence[str] = (),
    reason: tuple[str, str] = ("", ""),
) -> bool:
    """Give a run back, to be claimed again after a pause; False when the lease is lost."""
    facts = {
        "state": state,
        "pause_s": pause_s,
        "is_a_try": is_a_try,
        "waiting_for": list(waiting_for),
        "reason_zh": reason[0],
        "reason_en": reason[1],
    }
    return await session.scalar(_RELEASE, {**facts, **_held(run)}) is not None


async def end(session: AsyncSession, batch_id: str, facts: dict[str, Any]) -> None:
    """Close a run whose row the caller holds."""
    packed = {
        name: orjson.dumps(value).decode() if isinstance(value, dict) else value
        for name, value in facts.items()
    }
    await session.execute(_END, {**packed, "batch_id": batch_id, "steps": len(facts["seconds_by_step"])})


async def lock_held(session: AsyncSession, batch_id: str) -> Run | None:
    """A run that waits for a person, its row held for the rest of the transaction; None when it does not wait."""
    waiting = select(Run).where(Run.batch_id == batch_id, Run.state == "held", ~Run.is_withdrawn)
    return await session.scalar(waiting.with_for_update().execution_options(populate_existing=True))


async def agree(session: AsyncSession, run: Run, by: str) -> None:
    """Queue a held run again, with what it lacks agreed to; the caller holds its row."""
    await session.execute(_AGREE, {"batch_id": run.batch_id, "by": by})


async def refuse_held(session: AsyncSession, run: Run, reason: tuple[str, str]) -> None:
    """Close a held run as refused; the caller holds its row."""
    await session.execute(_REFUSE, {"batch_id": run.batch_id, "reason_zh": reason[0], "reason_en": reason[1]})


async def supersede_held(session: AsyncSession, run: Run) -> list[str]:
    """Close what is held of the same source and period and landed before; a later whole delivery outdoes it."""
    facts = {name: getattr(run, name) for name in ("dataset", "source_id", "period", "landed_no")}
    return sorted(await session.scalars(_SUPERSEDE_HELD, facts))


async def withdraw(session: AsyncSession, batch_id: str) -> str | None:
    """Cancel an open run, or mark a running one to be cancelled at its end; its state, None when closed.

    A run that governs a batch once more is not cancelled but takes out what its last revision contributed.
    """
    state: str | None = await session.scalar(_WITHDRAW, {"batch_id": batch_id})
    return state


async def take_out(session: AsyncSession, batch_id: str) -> str | None:
    """Queue the removal of what a closed run contributed; None when it is withdrawn already or not closed."""
    state: str | None = await session.scalar(_TAKE_OUT, {"batch_id": batch_id})
    return state


async def reopen_replaced(session: AsyncSession, batch_id: str, adding_formats: Sequence[str]) -> list[str]:
    """Queue what a withdrawn whole delivery had replaced, so that it counts again."""
    facts = {"batch_id": batch_id, "adding": list(adding_formats)}
    return list(await session.scalars(_REOPEN_REPLACED, facts))


async def in_effect(session: AsyncSession, dataset: str) -> list[str]:
    """Batches whose last processing left rows in the governed table (a later delivery may have replaced them)."""
    return list(await session.scalars(_IN_EFFECT, {"dataset": dataset}))


async def put_in_effect(session: AsyncSession, batch_ids: Sequence[str], note: VersionNote | None) -> None:
    """Keep with runs, open ones too, the version that has their rows; None: no version has them any more."""
    version, digest = (note.version, note.content_digest) if note else (None, None)
    facts = {"batch_ids": list(batch_ids), "version": version, "content_digest": digest}
    await session.execute(_PUT_IN_EFFECT, facts)


async def leave(session: AsyncSession, batch_ids: Sequence[str], reason: tuple[str, str]) -> list[str]:
    """Close as superseded what has no rows in the governed table any more; open runs are left to their end."""
    await put_in_effect(session, batch_ids, None)
    facts = {"batch_ids": list(batch_ids), "reason_zh": reason[0], "reason_en": reason[1]}
    return sorted(await session.scalars(_LEAVE, facts))


async def come_back(
    session: AsyncSession, batch_id: str, note: VersionNote, rows: int, reason: tuple[str, str]
) -> bool:
    """Close as governed what a restored version holds again; False when it is open, withdrawn or refused."""
    await put_in_effect(session, [batch_id], note)
    facts = {"batch_id": batch_id, "rows": rows, "reason_zh": reason[0], "reason_en": reason[1]}
    return await session.scalar(_COME_BACK, facts) is not None


async def remove_again(session: AsyncSession, batch_ids: Sequence[str]) -> list[str]:
    """Queue the withdrawn and refused ones of these, so that their rows leave once more."""
    return sorted(await session.scalars(_REMOVE_AGAIN, {"batch_ids": list(batch_ids)}))


async def wake_waiting(session: AsyncSession, dataset: str) -> list[str]:
    """Let the runs that wait for a dataset be claimed at once."""
    return list(await session.scalars(_WAKE, {"dataset": dataset}))


async def open_before(session: AsyncSession, datasets: Sequence[str], landed_no: int) -> set[str]:
    """Those of the datasets with a run that landed before and is not closed."""
    facts = {"datasets": list(datasets), "landed_no": landed_no}
    return set(await session.scalars(_OPEN_BEFORE, facts))


async def reopen(session: AsyncSession, batch_id: str) -> bool:
    """Queue a closed run once more under a new revision; False when it is not closed."""
    return await session.scalar(_REOPEN, {"batch_id": batch_id}) is not None


async def get(session: AsyncSession, batch_id: str) -> Run | None:
    return await session.scalar(
        select(Run).where(Run.batch_id == batch_id).execution_options(populate_existing=True)
    )


async def find(
    session: AsyncSession,
    *,
    batch_id: str | None,
    dataset: str | None,
    state: str | None,
    scope: Scope,
    before: int | None,
    limit: int,
) -> list[Run]:
    """Newest first, within the scope; `before`: landed_no of the last page's last."""
    query = select(Run).where(scope.within(Run.dataset, Run.source_id))
    query = query.order_by(Run.landed_no.desc()).limit(limit)
    wanted = ((Run.batch_id, batch_id), (Run.dataset, dataset), (Run.state, state))
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(Run.landed_no < before)
    return list(await session.scalars(query))


async def count_by_state(session: AsyncSession) -> dict[str, int]:
    return {row.state: row.runs for row in await session.execute(_COUNT)}


async def last_received(session: AsyncSession) -> dict[str, datetime]:
    """By dataset when the newest delivery was received that has rows in the governed table."""
    return {row.dataset: row.at for row in await session.execute(_LAST_RECEIVED)}


async def oldest_open_s(session: AsyncSession) -> float:
    """Age of the oldest run that is not closed, in seconds."""
    return float(await session.scalar(_OLDEST) or 0)


def _held(run: Run) -> dict[str, Any]:
    return {"batch_id": run.batch_id, "token": run.lease_token}
