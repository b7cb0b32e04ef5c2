"""The limits of the bus; each has a unit. Environment variables: `EDULAKE_BUS_*`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class BusLimits(BaseSettings):
    """How often, how much, how long and how many times."""

    model_config = SettingsConfigDict(env_prefix="EDULAKE_BUS_", frozen=True, extra="ignore")

    poll_ms: int = Field(default=100, ge=10, le=5000, description="Pause between two looks at the event log.")
    batch_events: int = Field(default=100, ge=1, le=1000, description="Events taken in one look.")
    tries: int = Field(default=5, ge=1, le=20, description="Tries before an event becomes a dead letter.")
    backoff_ms: int = Field(
        default=1000, ge=1, description="Pause after the first failed try; the next are thrice as long."
    )
    backoff_max_ms: int = Field(default=60_000, ge=1, description="Longest pause between two tries.")
    handler_timeout_s: float = Field(
        default=60, gt=0, description="Longest run of a handler; longer counts as failed."
    )
    retention_days: int = Field(
        default=30, ge=1, description="Days an event stays in the log once every reader has it."
    )
    upkeep_ms: int = Field(
        default=1000, ge=10, description="Pause between two looks for replays and at the lag."
    )
    stuck_s: float = Field(
        default=600,
        ge=1,
        description="A reader that has not moved for this long although events wait is stuck: `status` and "
        "`verify` fail. Longer than all tries of one event take.",
    )
    stuck_is_unready: bool = Field(
        default=True,
        description="Whether a service whose reader is stuck says that it is not ready (503); if not, it only "
        "tells so.",
    )
    purge_s: float = Field(default=3600, gt=0, description="Pause between two purges of the log.")

    def backoff_s(self, tries: int) -> float:
        """Seconds to wait after the given number of failed tries."""
        wait_ms: float = min(self.backoff_ms * 3 ** (tries - 1), self.backoff_max_ms)
        return wait_ms / 1000
