"""Quality reports: written once a revision of a batch, read by dataset and by batch."""

from typing import Any

from edulake.common.policy import Scope
from edulake.governance.models import QualityReport, Run
from edulake.governance.run.verdict import Verdict
from sqlalchemy import Select, and_, false, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer


def report_of(
    run: Run, verdict: Verdict, completeness: dict[str, Any] | None, agreed_by: str | None
) -> QualityReport:
    """The report of a decided run; the caller adds it to its session."""
    return QualityReport(
        batch_id=run.batch_id,
        revision=run.revision,
        dataset=run.dataset,
        source_id=run.source_id,
        period=run.period,
        landed_no=run.landed_no,
        outcome=verdict.outcome,
        score=verdict.score,
        scores=verdict.scores,
        rules=verdict.rules,
        profile=verdict.profile,
        column_levels=verdict.column_levels,
        rows_in=verdict.rows_in,
        rows_governed=verdict.rows_governed,
        rows_quarantined=verdict.held_back.height,
        completeness=completeness,
        agreed_by=agreed_by,
        created_at=func.now(),
    )


async def latest_of_batch(session: AsyncSession, batch_id: str) -> QualityReport | None:
    query = select(QualityReport).where(QualityReport.batch_id == batch_id)
    return await session.scalar(query.order_by(QualityReport.revision.desc()).limit(1))


async def of_dataset(
    session: AsyncSession, dataset: str, before: int | None, limit: int
) -> list[QualityReport]:
    """The newest report of each batch, latest landed first; `before`: landed_no of the last page's last."""
    newest = (
        select(QualityReport)
        .ext(distinct_on(QualityReport.landed_no))
        .where(QualityReport.dataset == dataset)
        .order_by(QualityReport.landed_no.desc(), QualityReport.revision.desc())
        .limit(limit)
    )
    if before is not None:
        newest = newest.where(QualityReport.landed_no < before)
    return list(await session.scalars(newest))


async def newest_of_each(
    session: AsyncSession, scope: Scope
) -> list[tuple[QualityReport, QualityReport | None]]:
    """The newest report of each dataset, and the report of the batch its source delivered before it.

    Only what is within the scope, of several reports the newest there.
    """
    within = scope.within(QualityReport.dataset, QualityReport.source_id)
    newest = _newest_first(QualityReport.dataset).where(within)
    reports = list(await session.scalars(newest))
    earlier = [
        and_(
            QualityReport.dataset == report.dataset,
            QualityReport.source_id == report.source_id,
            QualityReport.landed_no < report.landed_no,
        )
        for report in reports
    ]
    found = await session.scalars(_newest_first(QualityReport.dataset).where(or_(false(), *earlier)))
    before = {report.dataset: report for report in found}
    return [(report, before.get(report.dataset)) for report in reports]


def _newest_first(of_each: Any) -> Select[QualityReport]:
    """The newest report per value of a column, without its profile."""
    query = select(QualityReport).options(defer(QualityReport.profile)).ext(distinct_on(of_each))
    return query.order_by(of_each, QualityReport.landed_no.desc(), QualityReport.revision.desc())


async def profile_before(session: AsyncSession, run: Run) -> dict[str, Any] | None:
    """The profile of the batch that this source delivered before this one; never a later one's (P2)."""
    query = (
        select(QualityReport.profile)
        .where(
            QualityReport.dataset == run.dataset,
            QualityReport.source_id == run.source_id,
            QualityReport.landed_no < run.landed_no,
        )
        .order_by(QualityReport.landed_no.desc(), QualityReport.revision.desc())
        .limit(1)
    )
    return await session.scalar(query)
