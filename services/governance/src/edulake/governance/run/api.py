"""Runs: what is being governed, how far it is, and once more."""

from typing import Annotated

from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject, authenticated, require
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.service import Res
from edulake.governance.dataset import repository as datasets
from edulake.governance.run import repository, service
from edulake.governance.run.schemas import RunDetail, RunOut, Summary
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/governance", tags=["runs"])
Caller = Annotated[Subject, authenticated()]
Steward = Annotated[Subject, require("steward")]
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
async def get_run(run_id: str, caller: Caller, session: ReadSession) -> RunDetail:
    run = await service.visible_run(session, run_id, caller)
    return RunDetail.with_references(run, await datasets.inherited_of(session, run.batch_id))


@router.post("/batches/{batch_id}/reprocess", status_code=202, summary="重新处理批次")
async def reprocess(batch_id: str, steward: Steward, session: Session) -> RunOut:
    return RunOut.of(await service.reprocess(session, batch_id, steward))


@router.get("/summary", summary="治理概况")
async def summary(_caller: Caller, session: ReadSession) -> Summary:
    newest = await datasets.newest_notes(session)
    return Summary(
        runs_by_state=await repository.count_by_state(session),
        oldest_open_s=await repository.oldest_open_s(session),
        datasets_governed=len(newest),
        rows_governed=sum(note.row_count for note in newest),
    )
