"""Who may see a run, and starting one again."""

from edulake.common.errors import Conflict, NotFound
from edulake.common.identity import Subject
from edulake.common.policy import Deciding
from edulake.governance.models import Run
from edulake.governance.run import repository
from sqlalchemy.ext.asyncio import AsyncSession


class RunNotFound(NotFound):
    code, title_zh, title_en = "run-not-found", "没有该批次的治理记录", "No such run"


class RunBusy(Conflict):
    code, title_zh, title_en = "run-busy", "批次尚在处理", "The batch is still open"


async def visible_run(
    session: AsyncSession,
    batch_id: str,
    subject: Subject,
    deciding: Deciding,
    kind: str = "batch",
    verb: str = "read",
) -> Run:
    """A run of a batch with which, or with that part of which (`kind`), the subject may do this.

    One that may not even be read looks like one that does not exist.
    """
    run = await repository.get(session, batch_id)
    absent = RunNotFound("没有该批次，或不属于您的来源", "no such batch, or it is not of your sources")
    if run is None:
        raise absent
    facts = deciding.facts(run.dataset)
    await deciding.check(subject, kind, verb, facts, source=run.source_id, absent=absent)
    return run


async def reprocess(session: AsyncSession, batch_id: str, subject: Subject, deciding: Deciding) -> Run:
    """Govern a closed batch once more, with today's standards and references. RunBusy while it is open."""
    run = await visible_run(session, batch_id, subject, deciding, verb="reprocess")
    if not await repository.reopen(session, batch_id):
        state = f"{run.state}{'，已撤回' if run.is_withdrawn else ''}"
        raise RunBusy(
            f"批次状态为 {state}，不能重新处理",
            f"the batch is {run.state}{', withdrawn' if run.is_withdrawn else ''}",
            mend_zh="等待当前处理结束；已撤回的批次请重新报送",
            mend_en="wait for the present run; deliver a withdrawn batch again",
        )
    return await visible_run(session, batch_id, subject, deciding)
