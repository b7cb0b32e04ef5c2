"""Opening, working on and proving orders."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.errors import Conflict, NotFound, Unavailable, Unprocessable
from edulake.common.events import (
    COMPLETENESS,
    GovernedBatchFinished,
    QualityBatchAssessed,
    QualityRuleFailed,
    RawBatchWithdrawn,
    RuleResult,
    WorkorderOrderChanged,
)
from edulake.common.identity import Subject
from edulake.common.policy import Asking, Deciding, Facts, Neighbours, may
from edulake.workorder.models import Entry, Order
from edulake.workorder.order import evidence, repository
from edulake.workorder.order.schemas import EntryOut, OrderDetail, OrderOut
from edulake.workorder.order.states import ACTIONS, BY_EVENT, TITLES, TRANSITIONS, next_state
from sqlalchemy.ext.asyncio import AsyncSession

SYSTEM = "service:workorder"
#: How the rows of a batch left, in words.
UNDONE = {
    "restore": "因恢复到较早版本而不再生效",
    "withdrawal": "已被来源撤回",
    "block": "经重新治理后被拦截",
}


class BadAssignee(Unprocessable):
    code, title_zh, title_en = "bad-assignee", "不能分派给此人", "This order cannot be given to them"


async def record_failure(session: AsyncSession, facts: QualityRuleFailed, reply_hours: int) -> None:
    """Open the order of this source and rule, or bring the one there is up to date (reopening it).

    A delivery older than the one that last broke or proved the rule says nothing new, whenever it is governed.
    """
    moment = now()
    told: dict[str, Any] = facts.model_dump(
        include={"organisation", "rule_title", "field", "severity", "dimension", "batch_id"}
        | {"failed_rows", "checked_rows", "examples", "is_whole", "period", *evidence.PLACE}
    )
    told["contact_at_failure"] = facts.contact
    due = moment + timedelta(hours=reply_hours)
    fixed = {"dataset": facts.dataset, "source_id": facts.source_id, "rule_id": facts.rule_id}
    fresh = {"id": uuid4(), "status": "open", "recurrences": 0, "created_at": moment, "updated_at": moment}
    fresh["rows_to_cover"] = facts.checked_rows
    opened = await repository.open_once(session, {**told, **fixed, **fresh, "due_at": due})
    order = await repository.lock_of_rule(session, facts.dataset, facts.source_id, facts.rule_id)
    if order is None:
        raise RuntimeError("an order that was just opened is not there")
    if opened:
        await _note(session, order, SYSTEM, "open", f"{facts.failed_rows} 行不符合规则")
    elif evidence.is_newer(facts, order):
        await _fail_again(session, order, told, due)


async def _fail_again(session: AsyncSession, order: Order, told: dict[str, Any], due: datetime) -> None:
    """A later batch broke the rule, or the same one still does after it was governed once more."""
    before, is_same = order.status, order.batch_id == told["batch_id"]
    seen = 0 if before == "closed" else order.rows_to_cover
    order.rows_to_cover = max(seen, told["checked_rows"])
    order.closed_landed_no = order.closed_revision = None
    for name, value in told.items():
        setattr(order, name, value)
    if is_same and before != "closed":
        return
    order.status = TRANSITIONS[before]["recur"]
    order.recurrences += 1
    if before == "closed":
        order.closed_by_batch, order.due_at = None, due
    note = f"批次 {order.batch_id} 再次出现，{order.failed_rows} 行"
    await _note(session, order, SYSTEM, "recur", note)


async def record_proof(session: AsyncSession, facts: QualityBatchAssessed, lost_max: float) -> int:
    """Close what this batch proves mended, and what it shows to be no rule any more; how many.

    A batch that passes and is still no proof is named in the order's history, with the reason. `lost_max`: share
    of the rows that the contract lets a delivery lose.
    """
    if facts.outcome == "refused":  # stopped before all of its rules were checked
        return 0
    results = {rule.rule_id: rule for rule in facts.rules}
    closed = 0
    for order in await repository.lock_unclosed(session, facts.dataset, facts.source_id):
        result = results.get(order.rule_id)
        if not evidence.is_newer(facts, order):
            continue
        if result is None:
            note = f"规则 {order.rule_id} 已不在数据标准中，批次 {facts.batch_id} 未再检查"
            await _close(session, order, facts, "retire", note)
        elif evidence.passes(facts, result):
            missing = evidence.lacks(facts, result, order, lost_max)
            if missing is None:
                await _close(session, order, facts, "prove", _proof(facts, result))
            else:
                await _doubt(session, order, facts, result, missing)
        closed += order.status == "closed"
    return closed


async def _close(
    session: AsyncSession, order: Order, facts: QualityBatchAssessed, action: str, note: str
) -> None:
    order.status, order.closed_by_batch = TRANSITIONS[order.status][action], facts.batch_id
    order.closed_landed_no, order.closed_revision = facts.landed_no, facts.revision
    await _note(session, order, SYSTEM, action, note)


async def _doubt(
    session: AsyncSession, order: Order, facts: QualityBatchAssessed, result: RuleResult, missing: str
) -> None:
    """Write down why a batch that passes is no proof. What somebody agreed to is what the next one has to cover."""
    note = f"批次 {facts.batch_id} {missing}，不能作为验证"
    if facts.agreed_by is not None and facts.is_whole is not False:
        order.rows_to_cover = result.checked_rows
        note += f"；数据减少已由责任人员同意，下一次完整报送按 {result.checked_rows} 行衡量"
    await _note(session, order, SYSTEM, "doubt", note)


def _proof(facts: QualityBatchAssessed, result: RuleResult) -> str:
    agreed = "；数据减少已由责任人员同意" if facts.agreed_by else ""
    return f"批次 {facts.batch_id} 验证通过，检查了 {result.checked_rows} 行{agreed}"


async def reopen_undone(session: AsyncSession, facts: GovernedBatchFinished, reply_hours: int) -> int:
    """Open again what a batch had proved whose rows were taken out since; how many."""
    if facts.taken_out_by is None:
        return 0
    moment = now()
    undone = await repository.lock_closed_by(session, facts.dataset, facts.source_id, facts.batch_id)
    for order in undone:
        order.status, order.closed_by_batch = TRANSITIONS[order.status]["reopen"], None
        order.closed_landed_no = order.closed_revision = None
        order.due_at = moment + timedelta(hours=reply_hours)
        note = f"验证它的批次 {facts.batch_id} {UNDONE[facts.taken_out_by]}，问题须重新验证"
        await _note(session, order, SYSTEM, "reopen", note)
    return len(undone)


async def end_lack(session: AsyncSession, facts: RawBatchWithdrawn) -> None:
    """Close the order that a batch was held for, when its source takes the batch back: nothing was replaced."""
    order = await repository.lock_of_rule(session, facts.dataset, facts.source_id, COMPLETENESS)
    if order is None or order.status == "closed" or order.batch_id != facts.batch_id:
        return
    order.status, order.closed_by_batch = TRANSITIONS[order.status]["retire"], facts.batch_id
    await _note(session, order, SYSTEM, "retire", f"来源已撤回批次 {facts.batch_id}，原有数据没有被替代")


async def act(
    session: AsyncSession,
    order_id: UUID,
    action: str,
    subject: Subject,
    note: str,
    deciding: Deciding,
    assignee: str | None = None,
) -> OrderDetail:
    """A person's action; Conflict when it is not possible now, Forbidden when it is not theirs, NotFound when the
    order may not be seen.

    A contact who reports their own open order as mended has taken it by that: both steps are written.
    """
    order = await repository.lock(session, order_id)
    if order is None:
        raise _unknown()
    facts = await facts_of(order, subject, deciding)
    await deciding.check(subject, "order", action, facts, absent=_unknown())
    if action != "comment" and action not in actions_of(order, subject, facts):
        raise _impossible(order, action, actions_of(order, subject, facts))
    if action == "resolve" and order.status == "open":
        await _step(session, order, "take", subject, "报告处理时认领", subject.id)
    await _step(session, order, action, subject, note, assignee)
    return await describe(session, order, subject, facts)


async def assign(
    session: AsyncSession,
    order_id: UUID,
    assignee: str,
    subject: Subject,
    deciding: Deciding,
    asking: Neighbours,
) -> OrderDetail:
    """Name who shall mend it: somebody who is let in and may work on this very order, else BadAssignee."""
    order = await get_row(session, order_id, subject, deciding, "assign")
    somebody = await asking.subject(assignee)
    facts = deciding.facts(order.dataset)
    may_work = somebody is not None and await deciding.may(
        somebody, "order", "resolve", facts, source=order.source_id
    )
    if not may_work:
        raise BadAssignee(
            f"{assignee} 不能处理这张工单：须是在用的人员或应用，并且是该来源此刻的联系人、负责该数据集的责任人或数据治理工程师",
            f"{assignee} cannot work on this order: somebody in use who is the source's contact now, an owner with care "
            "of the dataset, or a steward",
            mend_zh="改为分派给该来源的联系人",
            mend_en="assign it to the contact of the source",
            where="body.assignee",
        )
    return await act(session, order_id, "assign", subject, f"分派给 {assignee}", deciding, assignee)


async def _step(
    session: AsyncSession, order: Order, action: str, subject: Subject, note: str, assignee: str | None
) -> None:
    order.status = next_state(order.status, action) or order.status
    order.assignee = assignee or order.assignee
    await _note(session, order, subject.id, action, note)


async def get(session: AsyncSession, order_id: UUID, subject: Subject, deciding: Deciding) -> OrderDetail:
    order = await get_row(session, order_id, subject, deciding, "read")
    return await describe(session, order, subject, await facts_of(order, subject, deciding))


async def get_row(
    session: AsyncSession, order_id: UUID, subject: Subject, deciding: Deciding, verb: str
) -> Order:
    """The order, if the subject may do this with it; one it may not see is not there."""
    order = await repository.find(session, order_id)
    if order is None:
        raise _unknown()
    facts = deciding.facts(order.dataset)
    await deciding.check(subject, "order", verb, facts, source=order.source_id, absent=_unknown())
    return order


async def facts_of(order: Order, subject: Subject, deciding: Deciding) -> Facts:
    """What is judged by, with the source's contact of this moment.

    Whoever may read the order without being its contact does so although ingest is silent: the contact is then
    empty, and nothing is allowed by it. Raises Unavailable for others.
    """
    facts = deciding.facts(order.dataset)
    try:
        return await deciding.with_contact(facts, order.source_id)
    except Unavailable:
        if may(subject, "order", "read", facts):
            return facts
        raise


def actions_of(order: Order, subject: Subject, facts: Facts) -> list[str]:
    """What this subject can do with the order now; a comment is always possible to who works on it."""
    possible = {*TRANSITIONS[order.status], "comment"} - BY_EVENT
    if order.status == "open" and facts.contact == subject.id:
        possible.add("resolve")
    return sorted(action for action in possible if may(subject, "order", action, facts))


async def described(rows: list[Order], asking: Asking) -> list[OrderOut]:
    """Orders with the present contacts of their sources, which stay empty where ingest does not answer."""
    try:
        contacts = await asking.contacts_of(order.source_id for order in rows)
    except Unavailable:
        contacts = {}
    return [_out(order, contacts.get(order.source_id)) for order in rows]


async def describe(session: AsyncSession, order: Order, subject: Subject, facts: Facts) -> OrderDetail:
    history = [EntryOut.model_validate(entry) for entry in await repository.history(session, order.id)]
    shown = _out(order, facts.contact).model_dump()
    return OrderDetail(**shown, history=history, actions=actions_of(order, subject, facts))


def _out(order: Order, contact: str | None) -> OrderOut:
    return OrderOut.model_validate(order).model_copy(update={"contact": contact})


async def _note(session: AsyncSession, order: Order, by: str, action: str, note: str) -> None:
    order.updated_at = now()
    entry = Entry(order_id=order.id, at=order.updated_at, by=by, action=action, note=note)
    await repository.add_entry(session, entry)
    await announce(
        session,
        WorkorderOrderChanged(
            order_id=str(order.id),
            dataset=order.dataset,
            source_id=order.source_id,
            rule_id=order.rule_id,
            status=order.status,
            assignee=order.assignee,
            contact=order.contact_at_failure,
        ),
    )


def _unknown() -> NotFound:
    return NotFound("没有这张工单，或无权查看", "no such order, or not yours", where="path.order_id")


def _impossible(order: Order, action: str, possible: list[str]) -> Conflict:
    return Conflict(
        f"“{TITLES[order.status]}”的工单不能{ACTIONS.get(action, '执行该操作')}",
        f"an order that is {order.status} cannot be taken through {action}",
        mend_zh="可执行：" + "、".join(ACTIONS[one] for one in possible)
        if possible
        else "等待下一批数据验证",
        mend_en=f"possible: {', '.join(possible)}" if possible else "wait for the next batch",
    )
