"""Quality reports: of a dataset over time, and of one batch."""

from typing import Annotated

from edulake.common.db import ReadSession
from edulake.common.errors import NotFound
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import Decides, allow
from edulake.common.service import Res
from edulake.common.standards.contract import Completeness
from edulake.governance.dataset.service import DatasetNotFound
from edulake.governance.quality import repository
from edulake.governance.quality.schemas import NewestOut, ReportOut
from edulake.governance.run.service import visible_run
from fastapi import APIRouter

router = APIRouter(prefix="/api/governance", tags=["quality"])
OfBatch = Annotated[Subject, allow("batch.quality", "read")]
OfDataset = Annotated[Subject, allow("dataset.quality", "read")]
Newest = Annotated[Subject, allow("dataset.newest_quality", "read")]


@router.get("/quality", summary="各数据集最新的质量报告；联系人只看到自己来源的")
async def newest(reader: Newest, session: ReadSession, resources: Res, deciding: Decides) -> list[NewestOut]:
    """One line a dataset of the standards, so there are no pages."""
    scope = await deciding.scope(reader, "dataset.newest_quality")
    found = await repository.newest_of_each(session, scope)
    bounds = {name: contract.completeness for name, contract in resources.standards.datasets.items()}
    return [
        NewestOut.of(
            ReportOut.model_validate(now),
            ReportOut.model_validate(before) if before else None,
            bounds.get(now.dataset, Completeness()).rows_lost_max,
        )
        for now, before in found
    ]


@router.get("/datasets/{dataset}/quality", summary="数据集历次质量报告")
async def of_dataset(
    dataset: str,
    reader: OfDataset,
    session: ReadSession,
    resources: Res,
    deciding: Decides,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ReportOut]:
    absent = DatasetNotFound("没有该数据集，或不由您负责", "no such dataset, or not in your care")
    await deciding.check(reader, "dataset.quality", "read", deciding.facts(dataset), absent=absent)
    key = resources.settings.internal_key
    before = decode_cursor(cursor, key, int)[0] if cursor else None
    page = page_of(
        await repository.of_dataset(session, dataset, before, limit + 1), limit, lambda r: [r.landed_no], key
    )
    return Page(items=[ReportOut.model_validate(report) for report in page.items], next=page.next)


@router.get("/batches/{batch_id}/quality", summary="批次质量报告")
async def of_batch(batch_id: str, reader: OfBatch, session: ReadSession, deciding: Decides) -> ReportOut:
    await visible_run(session, batch_id, reader, deciding, "batch.quality")
    report = await repository.latest_of_batch(session, batch_id)
    if report is None:
        raise NotFound("该批次还没有质量报告", "the batch has no quality report yet")
    return ReportOut.model_validate(report)
