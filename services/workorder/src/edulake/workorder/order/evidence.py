"""What a batch can say about an order: whether it is news, and whether it is proof.

Batches are governed again whenever a steward asks, so what was heard last need not be what was delivered last.
"""

import math

from edulake.common.events import COMPLETENESS, QualityBatchAssessed, QualityRuleFailed, RuleResult
from edulake.workorder.models import Order

#: Where a delivery stands in the order of landing, and the how-manieth processing of it speaks.
PLACE = ("landed_no", "revision")


def is_newer(facts: QualityRuleFailed | QualityBatchAssessed, order: Order) -> bool:
    """Whether the batch landed after, or was governed once more after, what the order last heard.

    Where either does not tell its place: whether it is another batch than the one that broke the rule.
    """
    landed_no, revision = order.landed_no, order.revision
    if order.closed_landed_no is not None:
        landed_no, revision = order.closed_landed_no, order.closed_revision
    if facts.landed_no is None or landed_no is None:
        return facts.batch_id != order.batch_id
    return (facts.landed_no, facts.revision or 1) > (landed_no, revision or 1)


def passes(facts: QualityBatchAssessed, result: RuleResult) -> bool:
    """Whether the rule was checked on a governed batch and no row failed.

    What a delivery lacks within the bound of its contract, or with somebody's agreement, is no failure: beyond
    that it would have been held.
    """
    is_governed = facts.outcome == "governed" and result.checked_rows > 0
    return is_governed and (result.failed_rows == 0 or result.rule_id == COMPLETENESS)


def lacks(facts: QualityBatchAssessed, result: RuleResult, order: Order, lost_max: float) -> str | None:
    """Why a batch that passes is still no proof, in words; None: it is one, for enough was seen.

    Enough is a whole delivery, or the same batch once more, that covers what the order was opened on; or, where
    pushed rows broke the rule, at least as many pushed rows: one pushed row proves no file. `lost_max`: share of
    the rows that the contract lets a delivery lose.
    """
    is_same = facts.batch_id == order.batch_id
    if result.rule_id == COMPLETENESS and order.period is not None and facts.period != order.period:
        return f"是 {facts.period} 期的报送，工单针对 {order.period} 期"
    if result.rule_id == COMPLETENESS and facts.agreed_by is not None:  # somebody answers for what is missing
        return None
    if facts.is_whole is False and not is_same:
        if order.is_whole is False and result.checked_rows >= order.failed_rows:
            return None
        return f"只推送了 {result.checked_rows} 行，不足以说明全部数据已改正"
    if result.checked_rows < math.floor((1 - lost_max) * order.rows_to_cover):
        return f"只检查了 {order.rows_to_cover} 行中的 {result.checked_rows} 行，覆盖不足"
    return None
