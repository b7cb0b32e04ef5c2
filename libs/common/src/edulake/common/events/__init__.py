"""The events of EduLake: one class per event, one envelope for all."""

from edulake.common.events.access import (
    AccessCalled,
    AccessClientChanged,
    AccessGrantChanged,
    AccessTokenRevoked,
    AccessValuesOpened,
    Grant,
)
from edulake.common.events.base import Event, EventData, new_event_id, topic_of
from edulake.common.events.catalogue import BY_NAME, CATALOGUE, TOPICS
from edulake.common.events.governed import (
    BY_BLOCK,
    COMPLETENESS,
    ColumnLoss,
    Comparison,
    GovernedBatchFinished,
    GovernedDatasetReady,
    QualityBatchAssessed,
    QualityRuleFailed,
    RuleResult,
)
from edulake.common.events.published import (
    PublishedDatasetRefused,
    PublishedDatasetUpdated,
    WorkorderOrderChanged,
)
from edulake.common.events.raw import RawBatchLanded, RawBatchWithdrawn

__all__ = [
    "BY_BLOCK",
    "BY_NAME",
    "CATALOGUE",
    "COMPLETENESS",
    "TOPICS",
    "AccessCalled",
    "AccessClientChanged",
    "AccessGrantChanged",
    "AccessTokenRevoked",
    "AccessValuesOpened",
    "ColumnLoss",
    "Comparison",
    "Event",
    "EventData",
    "GovernedBatchFinished",
    "GovernedDatasetReady",
    "Grant",
    "PublishedDatasetRefused",
    "PublishedDatasetUpdated",
    "QualityBatchAssessed",
    "QualityRuleFailed",
    "RawBatchLanded",
    "RawBatchWithdrawn",
    "RuleResult",
    "WorkorderOrderChanged",
    "new_event_id",
    "topic_of",
]
