"""What a batch can say about an order: whether it is news, and whether it is proof.

Batches are governed again whenever a steward asks, so what was heard last need not be what was delivered last.
"""

from edulake.common.events import QualityBatchAssessed, QualityRuleFailed, RuleResult
from edulake.workorder.models import Order

#: Where a delivery stands in the order of landing, and the how-manieth processing of it speaks.
PLACE = ("landed_no", "revision")


def is_newer(facts: QualityRuleFailed | QualityBatchAssessed, order: Order) -> bool:
    """Whether the batch landed after, or was governed once more after, what the order last heard.

    Where either does not tell its place: whether it is another batch than the one that broke the rule.
    """
    if facts.landed_no is None or order.landed_no is None:
        return facts.batch_id != order.batch_id
    return (facts.landed_no, facts.revision or 1) > (order.landed_no, order.revision or 1)


def proves(facts: QualityBatchAssessed, result: RuleResult, order: Order) -> bool:
    """Whether a newer batch shows the problem mended: governed, the rule checked, no row failed, and enough seen.

    Enough is all the source has (a whole delivery), the very rows that failed (the same batch once more), or,
    where pushed rows broke the rule, at least as many pushed rows. One pushed row proves no file.
    """
    passed = facts.outcome == "governed" and result.checked_rows > 0 and result.failed_rows == 0
    if not passed or facts.is_whole is not False or facts.batch_id == order.batch_id:
        return passed
    return order.is_whole is False and result.checked_rows >= order.failed_rows
