"""Every event there is. A new one is added here, with its golden schema and first sample."""

from edulake.common.events.access import (
    AccessCalled,
    AccessClientChanged,
    AccessGrantChanged,
    AccessTokenRevoked,
    AccessValuesOpened,
)
from edulake.common.events.base import EventData, topic_of
from edulake.common.events.governed import (
    GovernedBatchFinished,
    GovernedDatasetReady,
    QualityBatchAssessed,
    QualityRuleFailed,
)
from edulake.common.events.published import (
    PublishedDatasetRefused,
    PublishedDatasetUpdated,
    WorkorderOrderChanged,
)
from edulake.common.events.raw import RawBatchLanded, RawBatchWithdrawn

CATALOGUE: tuple[type[EventData], ...] = (
    RawBatchLanded,
    RawBatchWithdrawn,
    GovernedBatchFinished,
    GovernedDatasetReady,
    QualityRuleFailed,
    QualityBatchAssessed,
    PublishedDatasetUpdated,
    PublishedDatasetRefused,
    AccessGrantChanged,
    AccessTokenRevoked,
    AccessClientChanged,
    AccessCalled,
    AccessValuesOpened,
    WorkorderOrderChanged,
)
BY_NAME: dict[str, type[EventData]] = {kind.name: kind for kind in CATALOGUE}
TOPICS: tuple[str, ...] = tuple(sorted({topic_of(name) for name in BY_NAME}))
