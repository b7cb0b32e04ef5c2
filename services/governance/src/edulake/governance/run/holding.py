"""Deciding about a held batch: it goes on with what it lacks, or it is refused and its source reads why."""

from edulake.common.bus import announce
from edulake.common.errors import Conflict, Forbidden
from edulake.common.identity import Subject
from edulake.common.policy import Deciding, may
from edulake.common.telemetry import logger
from edulake.governance.models import Run
from edulake.governance.run import repository
from edulake.governance.run.events import finished_event
from edulake.governance.run.schemas import FiguresIn, RefuseIn
from edulake.governance.run.service import visible_run
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)


class NotHeld(Conflict):
    code, title_zh, title_en = "batch-not-held", "批次没有在等待确认", "The batch does not wait for anybody"


class FiguresChanged(Conflict):
    code, title_zh, title_en = "figures-changed", "数字已变化", "The figures have changed"


class OwnDelivery(Forbidden):
    code, title_zh, title_en = "own-delivery", "不能确认自己报送的批次", "Not about one's own delivery"


async def agree(
    session: AsyncSession, batch_id: str, shown: FiguresIn, by: Subject, deciding: Deciding
) -> Run:
    """Have a held batch governed with what it lacks. NotHeld, FiguresChanged, OwnDelivery or Forbidden."""
    run = await _held(session, batch_id, shown, by, deciding, "agree")
    if is_own(run, by):
        raise OwnDelivery(
            "缺少的数据须由报送者以外的人确认",
            "somebody else than who delivered the batch must agree to what it lacks",
            mend_zh="请其他数据责任人或数据治理工程师确认",
            mend_en="ask another owner or steward",
        )
    await repository.agree(session, run, by.id)
    log.info("held batch agreed to", batch_id=batch_id, dataset=run.dataset, by=by.id)
    return await visible_run(session, batch_id, by, deciding)


async def refuse(
    session: AsyncSession, batch_id: str, wanted: RefuseIn, by: Subject, deciding: Deciding
) -> Run:
    """End a held batch; what there was before stays. NotHeld, FiguresChanged or Forbidden."""
    run = await _held(session, batch_id, wanted, by, deciding, "refuse")
    reason = (f"未获同意：{wanted.reason}", f"not agreed to: {wanted.reason}")
    await repository.refuse_held(session, run, reason)
    refused = await visible_run(session, batch_id, by, deciding)
    await announce(session, finished_event(refused))
    log.info("held batch refused", batch_id=batch_id, dataset=run.dataset, by=by.id)
    return refused


def may_decide(run: Run, by: Subject, deciding: Deciding) -> bool:
    """Whether this subject could agree to the run now."""
    is_theirs = may(by, "batch", "agree", deciding.facts(run.dataset))
    return run.state == "held" and is_theirs and not is_own(run, by)


def is_own(run: Run, by: Subject) -> bool:
    """Whether the subject delivered the batch, or it is not known who answers for the subject."""
    deliverers = {run.landed.get("delivered_by"), run.landed.get("accountable")} - {None}
    return by.answers is None or not deliverers.isdisjoint({by.id, by.answers})


async def _held(
    session: AsyncSession, batch_id: str, shown: FiguresIn, by: Subject, deciding: Deciding, verb: str
) -> Run:
    seen = await visible_run(session, batch_id, by, deciding, verb=verb)
    run = await repository.lock_held(session, batch_id)
    if run is None or run.completeness is None:
        raise NotHeld(f"批次状态为 {seen.state}", f"the batch is {seen.state}", where="path.batch_id")
    now = {name: run.completeness[name] for name in FiguresIn.model_fields}
    if now != shown.model_dump(include=set(now)):
        raise FiguresChanged(
            f"现在是 {now['rows_after']} 行将替代 {now['rows_before']} 行，缺少 {now['keys_lost']} 个主键",
            f"now {now['rows_after']} rows replace {now['rows_before']}; {now['keys_lost']} keys are missing",
            mend_zh="按现在的数字重新决定",
            mend_en="decide about the present figures",
            figures=now,
        )
    return run
