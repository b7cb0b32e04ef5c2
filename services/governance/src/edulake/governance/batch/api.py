"""What governance found in a batch, for stewards and for whoever answers for the source."""

from typing import Annotated

from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import Decides, allow
from edulake.common.service import Res
from edulake.governance.batch import repository, service
from edulake.governance.batch.schemas import FindingOut, HeldRow, OpenedValues, ValuesIn
from edulake.governance.batch.values import open_values
from edulake.governance.run.service import visible_run
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/governance/batches", tags=["batches"])
Mender = Annotated[Subject, allow("batch.values", "open")]
Chosen = Annotated[str | None, Query(max_length=100)]


@router.get("/{batch_id}/findings", summary="批次的问题清单")
async def findings(
    batch_id: str,
    reader: Annotated[Subject, allow("batch.findings", "read")],
    session: ReadSession,
    resources: Res,
    deciding: Decides,
    rule_id: Chosen = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[FindingOut]:
    await visible_run(session, batch_id, reader, deciding, "batch.findings")
    key = resources.settings.internal_key
    after = decode_cursor(cursor, key, int)[0] if cursor else None
    found = await repository.findings(session, batch_id, rule_id=rule_id, after=after, limit=limit + 1)
    page = page_of(found, limit, lambda finding: [finding.finding_id], key)
    return Page(items=[FindingOut.model_validate(finding) for finding in page.items], next=page.next)


@router.get("/{batch_id}/quarantine", summary="被隔离的行与原因")
async def quarantine(
    batch_id: str,
    reader: Annotated[Subject, allow("batch.quarantine", "read")],
    session: ReadSession,
    resources: Res,
    deciding: Decides,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[HeldRow]:
    await visible_run(session, batch_id, reader, deciding, "batch.quarantine")
    index = await repository.quarantine(session, batch_id)
    if index is None:
        return Page(items=[])
    key = resources.settings.internal_key
    after = decode_cursor(cursor, key, int)[0] if cursor else 0
    lake = resources.extra["lake"]
    rows = await service.held_rows(resources, lake, index, after=after, limit=limit + 1)
    return page_of(rows, limit, lambda row: [row.row_no], key)


@router.post("/{batch_id}/values", summary="查看出错的原值（写入审计后才返回）")
async def values(
    batch_id: str, wanted: ValuesIn, mender: Mender, session: Session, resources: Res, deciding: Decides
) -> OpenedValues:
    run = await visible_run(session, batch_id, mender, deciding, "batch.values", "open")
    is_whole = await deciding.may(
        mender, "batch.values", "open_whole", deciding.facts(run.dataset), source=run.source_id
    )
    return OpenedValues(items=await open_values(resources, session, run, mender, wanted, is_whole=is_whole))
