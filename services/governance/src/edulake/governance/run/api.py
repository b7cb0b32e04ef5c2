"""Runs: what is being governed, how far it is, and once more."""

from typing import Annotated

from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import Decides, allow
from edulake.common.service import Res
from edulake.governance.dataset import repository as datasets
from edulake.governance.run import holding, repository, service
from edulake.governance.run.schemas import FiguresIn, RefuseIn, RunDetail, RunOut, Summary
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/governance", tags=["runs"])
Reader = Annotated[Subject, allow("batch", "read")]
Reprocessor = Annotated[Subject, allow("batch", "reprocess")]
Agreer = Annotated[Subject, allow("batch", "agree")]
Refuser = Annotated[Subject, allow("batch", "refuse")]
Chosen = Annotated[str | None, Query(max_length=100)]


@router.get("/runs", summary="治理作业列表")
async def list_runs(
    reader: Reader,
    session: ReadSession,
    resources: Res,
    deciding: Decides,
    batch_id: Chosen = None,
    dataset: Chosen = None,
    state: Chosen = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RunOut]:
    key = resources.settings.internal_key
    found = await repository.find(
        session,
        batch_id=batch_id,
        dataset=dataset,
        state=state,
        scope=await deciding.scope(reader, "batch"),
        before=decode_cursor(cursor, key, int)[0] if cursor else None,
        limit=limit + 1,
    )
    page = page_of(found, limit, lambda run: [run.landed_no], key)
    return Page(items=[RunOut.of(run) for run in page.items], next=page.next)


@router.get("/runs/{run_id}", summary="一个治理作业")
async def get_run(run_id: str, reader: Reader, session: ReadSession, deciding: Decides) -> RunDetail:
    run = await service.visible_run(session, run_id, reader, deciding)
    inherited = await datasets.inherited_of(session, run.batch_id)
    return RunDetail.with_references(run, inherited, may_decide=holding.may_decide(run, reader, deciding))


@router.post("/batches/{batch_id}/reprocess", status_code=202, summary="重新处理批次")
async def reprocess(batch_id: str, by: Reprocessor, session: Session, deciding: Decides) -> RunOut:
    return RunOut.of(await service.reprocess(session, batch_id, by, deciding))


@router.post("/batches/{batch_id}/agree", status_code=202, summary="同意被暂缓的批次按现有数字生效")
async def agree(batch_id: str, shown: FiguresIn, by: Agreer, session: Session, deciding: Decides) -> RunOut:
    """It is governed again and goes on if it lacks no more than was shown; 409 not held, or the figures changed."""
    return RunOut.of(await holding.agree(session, batch_id, shown, by, deciding))


@router.post("/batches/{batch_id}/refuse", summary="不同意被暂缓的批次；来源可读到原因")
async def refuse(batch_id: str, wanted: RefuseIn, by: Refuser, session: Session, deciding: Decides) -> RunOut:
    """What there was before stays as it is; 409 not held, or the figures changed."""
    return RunOut.of(await holding.refuse(session, batch_id, wanted, by, deciding))


@router.get("/summary", summary="治理概况", dependencies=[allow("overview", "read")])
async def summary(session: ReadSession) -> Summary:
    newest = await datasets.newest_notes(session)
    return Summary(
        runs_by_state=await repository.count_by_state(session),
        oldest_open_s=await repository.oldest_open_s(session),
        datasets_governed=len(newest),
        rows_governed=sum(note.row_count for note in newest),
    )
