"""The limits of the event stream; environment variables `EDULAKE_EVENTS_*`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StreamLimits(BaseSettings):
    """How long, how much and how many. Units stand last in a name."""

    model_config = SettingsConfigDict(env_prefix="EDULAKE_EVENTS_", frozen=True, extra="ignore")

    poll_ms: int = Field(default=100, ge=10, le=5000, description="Pause between two looks at the event log.")
    page_events: int = Field(default=100, ge=1, le=1000, description="Events read from the log at once.")
    heartbeat_s: float = Field(default=15.0, gt=0, description="Longest silence on a connection.")
    recheck_s: float = Field(
        default=2.0, gt=0, le=5, description="How often a connection's rights are asked again."
    )
    buffer_events: int = Field(
        default=256, ge=1, description="Events that wait for one slow reader; then it is cut."
    )
    write_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest wait for a reader to take what was sent."
    )
    connections_max: int = Field(default=1000, ge=1, description="Streams of one process, at most; then 503.")
    client_connections_max: int = Field(
        default=20, ge=1, description="Streams of one client in one process; then 429."
    )
    retry_ms: int = Field(
        default=3000, ge=100, description="Pause the reader is told to make before it reconnects."
    )
