"""What the gateway can be told, beyond what every process shares."""

import ipaddress
from typing import Self

from edulake.common.settings import Settings
from pydantic import Field, model_validator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class GatewaySettings(Settings):
    """Limits of the data plane. Units stand last in a name."""

    rings = ("audit", "page")

    own_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port where this very process answers too, for its readiness and metrics; 0: none.",
    )
    drain_s: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="How long after SIGTERM idle client connections may ask once more before they end.",
    )
    token_leeway_s: int = Field(
        default=30, ge=0, le=60, description="Clock skew allowed when a token is judged."
    )
    token_memory_s: int = Field(
        default=60, ge=0, le=60, description="How long a verified token is remembered."
    )
    token_memory_tokens: int = Field(
        default=20_000, ge=1, description="How many verified tokens are remembered."
    )
    jwks_refresh_s: int = Field(default=300, ge=60, description="How often the issuer's keys are read again.")
    jwks_timeout_s: float = Field(default=2.0, gt=0, description="Longest wait for the issuer's keys.")
    access_poll_ms: int = Field(
        default=250, ge=20, le=500, description="Pause between two looks at the grants."
    )
    access_stale_s: float = Field(
        default=4.0,
        gt=0,
        le=4.0,
        description="Grants not confirmed for this long are not believed any more (503).",
    )
    versions_stale_s: float = Field(
        default=10.0,
        ge=1,
        le=300,
        description="Published versions not read for this long make the process unready (503).",
    )
    lease_timeout_ms: int = Field(default=100, ge=5, description="Longest wait for Redis to lease calls.")
    lease_s: float = Field(default=1.0, gt=0, le=5, description="How long leased calls may be used.")
    cache_bytes: int = Field(default=64 * 2**20, ge=0, description="Answers kept in a process, in bytes.")
    cache_entry_bytes: int = Field(
        default=256 * 2**10, ge=0, description="Largest answer that is kept, in bytes."
    )
    cache_s: int = Field(default=60, ge=0, le=3600, description="Longest time an answer is kept anywhere.")
    cache_timeout_ms: int = Field(default=30, ge=1, description="Longest wait for the shared cache.")
    audit_commit_ms: int = Field(
        default=4, ge=0, le=10, description="How long audit records wait for company."
    )
    audit_timeout_s: float = Field(
        default=3.0, gt=0, description="Longest wait of a reply for its audit record."
    )
    audit_queue_records: int = Field(
        default=10_000, ge=1, description="Audit records waiting to be written, at most."
    )
    audit_flush_s: float = Field(
        default=1.0, gt=0, le=10, description="How often counts of general calls are written."
    )
    audit_verify_s: float = Field(
        default=86_400.0, ge=1, le=31 * 86_400, description="How often one process verifies the audit chain."
    )
    service_rate_per_s: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="Calls a second of one caller to the services behind, in one process; twice as many at once.",
    )
    own_rate_per_s: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Calls a second of one caller to the gateway's administration, in one process.",
    )
    body_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest silence while a request body comes in."
    )
    body_deadline_s: float = Field(
        default=600.0, gt=0, description="Longest time for one whole request body."
    )
    body_min_bytes_per_s: int = Field(
        default=8 * 2**10,
        ge=0,
        le=2**20,
        description="Slowest a request body may come in, after the first silence allowed; 0: as slow as it likes.",
    )
    header_timeout_s: float = Field(
        default=10.0, gt=0, description="Longest time for the header of a request."
    )
    keep_alive_s: int = Field(default=20, ge=1, description="How long an idle client connection stays open.")
    backlog_connections: int = Field(
        default=2048, ge=1, description="Connections waiting to be accepted, at most."
    )
    connections_max: int = Field(
        default=4096, ge=1, description="Requests under way in one process, at most; then 503."
    )
    upstream_connections: int = Field(
        default=64, ge=1, description="Connections to one service behind, at most."
    )
    upstream_uploads: int = Field(
        default=32,
        ge=1,
        description="Bodies above a mebibyte passed on to one service at a time; fewer than connections; then 503.",
    )
    uploads_held_bytes: int = Field(
        default=64 * 2**20,
        ge=2**20,
        description="Request bodies held in one process until they are whole, together; then 503.",
    )
    upstream_connect_s: float = Field(
        default=2.0, gt=0, description="Longest wait to reach a service behind."
    )
    upstream_delivery_s: float = Field(
        default=600.0, gt=0, description="Longest wait for the answer to a file: the service reads all of it."
    )
    upstream_answer_max_bytes: int = Field(
        default=2 * 2**30, ge=1, description="Largest answer passed on, in bytes."
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(), description="Networks of our own edge proxies, whose X-Forwarded-For is believed."
    )
    metrics_networks: tuple[Network, ...] = Field(
        default=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
        description="Networks that may read /metrics.",
    )
    plane_pool_size: int = Field(
        default=4,
        ge=2,
        le=50,
        description="Connections for rights, audit and counts in one process: no request can take them.",
    )
    reader_pool_size: int = Field(
        default=8, ge=1, description="Connections of the query engine in one process."
    )

    @model_validator(mode="after")
    def _uploads_leave_connections(self) -> Self:
        if self.upstream_uploads >= self.upstream_connections:
            raise ValueError(
                "upstream_uploads must be below upstream_connections: the rest serves other requests"
            )
        return self
