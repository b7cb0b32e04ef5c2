"""What happens to orders when a batch was judged."""

from typing import TYPE_CHECKING, cast

from edulake.common.events import (
    Event,
    GovernedBatchFinished,
    QualityBatchAssessed,
    QualityRuleFailed,
    RawBatchWithdrawn,
)
from edulake.common.standards.contract import Completeness
from edulake.workorder.order import service
from edulake.workorder.settings import WorkorderSettings
from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from edulake.common.bus import Handlers
    from edulake.common.service import Resources


async def on_failure(
    session: AsyncSession, facts: QualityRuleFailed, _envelope: Event, resources: "Resources"
) -> None:
    """A failed rule opens or reopens the order of its source."""
    settings = cast(WorkorderSettings, resources.settings)
    await service.record_failure(session, facts, settings.reply_hours)


async def on_assessment(
    session: AsyncSession, facts: QualityBatchAssessed, _envelope: Event, resources: "Resources"
) -> None:
    """A batch that passes a rule proves the fix; a rule that is no longer checked ends its order."""
    contract = resources.standards.datasets.get(facts.dataset)
    bound = contract.completeness if contract else Completeness()
    await service.record_proof(session, facts, bound.rows_lost_max)


async def on_finished(
    session: AsyncSession, facts: GovernedBatchFinished, _envelope: Event, resources: "Resources"
) -> None:
    """What a batch had proved is open again once its rows are taken out."""
    settings = cast(WorkorderSettings, resources.settings)
    await service.reopen_undone(session, facts, settings.reply_hours)


async def on_withdrawn(
    session: AsyncSession, facts: RawBatchWithdrawn, _envelope: Event, _resources: "Resources"
) -> None:
    """What a batch lacked is no matter any more once its source took it back."""
    await service.end_lack(session, facts)


HANDLERS: "Handlers" = {
    QualityRuleFailed: on_failure,
    QualityBatchAssessed: on_assessment,
    GovernedBatchFinished: on_finished,
    RawBatchWithdrawn: on_withdrawn,
}
