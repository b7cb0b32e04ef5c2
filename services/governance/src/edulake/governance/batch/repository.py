"""Findings and the index of held-back rows, by batch."""

from collections.abc import Sequence

from edulake.common.lake import DataFile
from edulake.governance.models import Finding, Quarantine, Run
from edulake.governance.run.verdict import Verdict
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

_COLUMNS = ("rule_id", "field", "severity", "dimension", "reason_zh", "reason_en", "value_masked")


async def replace_findings(session: AsyncSession, run: Run, verdict: Verdict) -> None:
    """Put the findings of this revision in the place of an earlier one's."""
    await session.execute(delete(Finding).where(Finding.batch_id == run.batch_id))
    rows = [
        {"batch_id": run.batch_id, "row_no": row["_row"], **{name: row[name] for name in _COLUMNS}}
        for row in verdict.findings.iter_rows(named=True)
    ]
    if rows:
        await session.execute(insert(Finding), rows)


async def replace_quarantine(
    session: AsyncSession, run: Run, stored: DataFile | None, row_count: int
) -> None:
    """Note where the held-back rows of this revision lie; nothing when none is held back."""
    await session.execute(delete(Quarantine).where(Quarantine.batch_id == run.batch_id))
    if stored is not None:
        facts = {"batch_id": run.batch_id, "dataset": run.dataset, "source_id": run.source_id}
        place = {"object": stored.path, "row_count": row_count, "created_at": func.now()}
        await session.execute(insert(Quarantine).values(**facts, **place))


async def findings(
    session: AsyncSession, batch_id: str, *, rule_id: str | None, after: int | None, limit: int
) -> list[Finding]:
    """In the order they were found; `after`: finding_id of the last page's last."""
    query = select(Finding).where(Finding.batch_id == batch_id).order_by(Finding.finding_id).limit(limit)
    if rule_id is not None:
        query = query.where(Finding.rule_id == rule_id)
    if after is not None:
        query = query.where(Finding.finding_id > after)
    return list(await session.scalars(query))


async def named(session: AsyncSession, run: Run, finding_ids: Sequence[int]) -> list[Finding]:
    """Those of the findings that belong to the run."""
    query = select(Finding).where(Finding.batch_id == run.batch_id, Finding.finding_id.in_(finding_ids))
    return list(await session.scalars(query.order_by(Finding.finding_id)))


async def quarantine(session: AsyncSession, batch_id: str) -> Quarantine | None:
    return await session.get(Quarantine, batch_id)
