"""The events that tell what became of a publication."""

from typing import Literal, cast

from edulake.common.clock import now
from edulake.common.events import PublishedDatasetRefused, PublishedDatasetUpdated
from edulake.share_gateway.publication.schemas import Job, Publication


def updated(
    published: Publication, *, batch_id: str, rolled_back_by: str | None = None
) -> PublishedDatasetUpdated:
    """What is served of a dataset from now on."""
    return PublishedDatasetUpdated(
        dataset=published.dataset,
        title=published.title,
        version=published.version,
        governed_version=published.governed_version,
        batch_id=batch_id,
        row_count=published.row_count,
        content_digest=published.content_digest,
        level=published.level,
        rolled_back=rolled_back_by is not None,
        published_at=now(),
        by=rolled_back_by,
    )


def refused(job: Job, outcome: str, reason: tuple[str, str]) -> PublishedDatasetRefused:
    """How a job that was blocked, held or given up is told to the source of its batch."""
    return PublishedDatasetRefused(
        dataset=job.dataset,
        governed_version=job.governed_version,
        batch_id=job.batch_id,
        outcome=cast('Literal["blocked", "failed", "held"]', outcome),
        reason_zh=reason[0],
        reason_en=reason[1],
        refused_at=now(),
    )
