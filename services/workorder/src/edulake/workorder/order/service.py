"""Opening, working on and proving orders."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.errors import Conflict, NotFound
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
from edulake.workorder.models import Entry, Order
from edulake.workorder.order import evidence, repository
from edulake.workorder.order.schemas import EntryOut, OrderDetail, OrderOut
from edulake.workorder.order.states import ACTIONS, BY_EVENT, ROLES, TITLES, TRANSITIONS, next_state
from sqlalchemy.ext.asyncio import AsyncSession

OVERSEERS = ("steward", "owner", "audit_admin")
SYSTEM = "service:workorder"
#: How the rows of a batch left, in words.
UNDONE = {
    "restore": "因恢复到较早版本而不再生效",
    "withdrawal": "已被来源撤回",
    "block": "经重新治理后被拦截",
}


async def record_failure(session: AsyncSession, facts: QualityRuleFailed, reply_hours: int) -> None:
    """Open the order of this source and rule, or bring the one there is up to date (reopening it).

    A delivery older than the one that last broke or proved the rule says nothing new, whenever it is governed.
    """
    moment = now()
    told: dict[str, Any] = facts.model_dump(
        include={"contact", "organisation", "rule_title", "field", "severity", "dimension", "batch_id"}
        | {"failed_rows", "checked_rows", "examples", "is_whole", "period", *evidence.PLACE}
    )
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
                await _note(session, order, SYSTEM, "doubt", f"批次 {facts.batch_id} {missing}，不能作为验证")
        closed += order.status == "closed"
    return closed


async def _close(
    session: AsyncSession, order: Order, facts: QualityBatchAssessed, action: str, note: str
) -> None:
    order.status, order.closed_by_batch = TRANSITIONS[order.status][action], facts.batch_id
    order.closed_landed_no, order.closed_revision = facts.landed_no, facts.revision
    await _note(session, order, SYSTEM, action, note)


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
    assignee: str | None = None,
) -> OrderDetail:
    """A person's action; Conflict when it is not possible now, NotFound when it may not be seen.

    A contact who reports his own open order as mended has taken it by that: both steps are written.
    """
    order = await repository.lock(session, order_id)
    if order is None or not may_see(subject, order):
        raise _unknown()
    if action != "comment" and action not in actions_of(order, subject):
        raise _impossible(order, action, subject)
    if action == "resolve" and order.status == "open":
        await _step(session, order, "take", subject, "报告处理时认领", subject.id)
    await _step(session, order, action, subject, note, assignee)
    return await describe(session, order, subject)


async def _step(
    session: AsyncSession, order: Order, action: str, subject: Subject, note: str, assignee: str | None
) -> None:
    order.status = next_state(order.status, action) or order.status
    order.assignee = assignee or order.assignee
    await _note(session, order, subject.id, action, note)


async def get(session: AsyncSession, order_id: UUID, subject: Subject) -> OrderDetail:
    order = await repository.find(session, order_id)
    if order is None or not may_see(subject, order):
        raise _unknown()
    return await describe(session, order, subject)


def names_of(subject: Subject) -> list[str]:
    """How an order may name this subject: by id (`person:x`) or bare (`x`), as a source names its contact."""
    return [subject.id, subject.id.partition(":")[2]]


def may_see(subject: Subject, order: Order) -> bool:
    """Stewards, owners, auditors, and those the order is for."""
    return subject.has(*OVERSEERS) or not {order.contact, order.assignee}.isdisjoint(names_of(subject))


def actions_of(order: Order, subject: Subject) -> list[str]:
    """What this subject can do with the order now; a comment is always possible to who works on it."""
    possible = {*TRANSITIONS[order.status], "comment"} - BY_EVENT
    if order.status == "open" and order.contact in names_of(subject):
        possible.add("resolve")
    return sorted(action for action in possible if subject.has(*ROLES[action]))


async def describe(session: AsyncSession, order: Order, subject: Subject) -> OrderDetail:
    history = [EntryOut.model_validate(entry) for entry in await repository.history(session, order.id)]
    facts = OrderOut.model_validate(order).model_dump()
    return OrderDetail(**facts, history=history, actions=actions_of(order, subject))


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
            contact=order.contact,
        ),
    )


def _unknown() -> NotFound:
    return NotFound("没有这张工单，或无权查看", "no such order, or not yours", where="path.order_id")


def _impossible(order: Order, action: str, subject: Subject) -> Conflict:
    possible = actions_of(order, subject)
    return Conflict(
        f"“{TITLES[order.status]}”的工单不能{ACTIONS.get(action, '执行该操作')}",
        f"an order that is {order.status} cannot be taken through {action}",
        mend_zh="可执行：" + "、".join(ACTIONS[one] for one in possible)
        if possible
        else "等待下一批数据验证",
        mend_en=f"possible: {', '.join(possible)}" if possible else "wait for the next batch",
    )
