"""What the publisher can be told, beyond what every process shares."""

from edulake.common.settings import Settings
from pydantic import Field


class PublisherSettings(Settings):
    """Limits of publishing. Units stand last in a name."""

    rings = ()

    publisher_jobs: int = Field(2, ge=1, le=16, description="Datasets published at the same time, at most.")
    publisher_poll_ms: int = Field(200, ge=10, le=5000, description="Pause between two looks for a job.")
    publisher_lease_s: float = Field(
        15.0,
        gt=0,
        description="A job whose publisher gave no sign for this long is taken by another.",
    )
    publisher_tries: int = Field(5, ge=1, le=50, description="Tries before a publication is given up.")
    publisher_backoff_s: float = Field(
        2.0, ge=0, description="Pause after the first failed try; each further one is twice as long."
    )
    publisher_statement_timeout_s: int = Field(
        900, ge=1, description="Longest single statement of a publication, such as its COPY."
    )
    publisher_lock_timeout_s: int = Field(
        20,
        ge=1,
        description="Longest wait for readers of what is replaced; then the try is repeated.",
    )
    published_versions_kept: int = Field(
        5, ge=2, le=100, description="Published versions kept for rollback, the current one included."
    )
