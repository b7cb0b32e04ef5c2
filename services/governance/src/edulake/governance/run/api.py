"""Runs: what is being governed, how far it is, and once more."""

from typing import Annotated

from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject, authenticated, require
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.service import Res
from edulake.governance.dataset import repository as datasets
from edulake.governance.run import holding, repository, service
from edulake.governance.run.schemas import FiguresIn, RefuseIn, RunDetail, RunOut, Summary
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/governance", tags=["runs"])
Caller = Annotated[Subject, authenticated()]
Steward = Annotated[Subject, require("steward")]
Decider = Annotated[Subject, require("steward", "owner")]
Chosen = Annotated[str | None, Query(max_length=100)]


@router.get("/runs", summary="治理作业列表")
async def list_runs(
    caller: Caller,
    session: ReadSession,
    resources: Res,
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
        contacts=service.contacts_of(caller),
        before=decode_cursor(cursor, key, int)[0] if cursor else None,
        limit=limit + 1,
    )
    page = page_of(found, limit, lambda run: [run.landed_no], key)
    return Page(items=[RunOut.of(run) for run in page.items], next=page.next)


@router.get("/runs/{run_id}", summary="一个治理作业")
async def get_run(run_id: str, caller: Caller, session: ReadSession, resources: Res) -> RunDetail:
    run = await service.visible_run(session, run_id, caller)
    may = holding.may_decide(run, resources.standards.datasets.get(run.dataset), caller)
    inherited = await datasets.inherited_of(session, run.batch_id)
    return RunDetail.with_references(run, inherited, may_decide=may)


@router.post("/batches/{batch_id}/reprocess", status_code=202, summary="重新处理批次")
async def reprocess(batch_id: str, steward: Steward, session: Session) -> RunOut:
    return RunOut.of(await service.reprocess(session, batch_id, steward))


@router.post("/batches/{batch_id}/agree", status_code=202, summary="同意被暂缓的批次按现有数字生效")
async def agree(batch_id: str, shown: FiguresIn, caller: Decider, session: Session, resources: Res) -> RunOut:
    """It is governed again and goes on if it lacks no more than was shown; 409 not held, or the figures changed."""
    return RunOut.of(await holding.agree(session, resources.standards, batch_id, shown, caller))


@router.post("/batches/{batch_id}/refuse", summary="不同意被暂缓的批次；来源可读到原因")
async def refuse(
    batch_id: str, wanted: RefuseIn, caller: Decider, session: Session, resources: Res
) -> RunOut:
    """What there was before stays as it is; 409 not held, or the figures changed."""
    return RunOut.of(await holding.refuse(session, resources.standards, batch_id, wanted, caller))


@router.get("/summary", summary="治理概况")
async def summary(_caller: Caller, session: ReadSession) -> Summary:
    newest = await datasets.newest_notes(session)
    return Summary(
        runs_by_state=await repository.count_by_state(session),
        oldest_open_s=await repository.oldest_open_s(session),
        datasets_governed=len(newest),
        rows_governed=sum(note.row_count for note in newest),
    )
