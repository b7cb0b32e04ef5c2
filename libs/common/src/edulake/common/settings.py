"""Settings every process shares; each service adds its own in a subclass.

Values come from `EDULAKE_*` environment variables. Units stand last in a name.
"""

import os
import secrets
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: The port of each HTTP service counts from the gateway's.
PORT_OFFSETS = {
    "gateway": 0,
    "auth": 1,
    "catalog": 2,
    "ingest": 3,
    "governance": 4,
    "workorder": 5,
    "portal": 6,
}
#: All gateway processes share one port; number n answers alone on this one plus n.
OWN_PORT_OFFSET = 10
#: The role of the query engine, which can only read what is published.
READER = "edulake_reader"
#: What closing pools and files may take at the end of a process.
CLOSE_S = 5


def find_standards() -> Path:
    """The nearest `standards` folder above the working directory or above this file."""
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "standards" / "datasets").is_dir():
                return folder / "standards"
    return Path("standards")


class Settings(BaseSettings):
    """What every EduLake process needs to know."""

    model_config = SettingsConfigDict(env_prefix="EDULAKE_", frozen=True, extra="ignore")

    #: The key rings (`edulake.common.gm.PURPOSES`) this kind of process uses and must be given; None: all.
    rings: ClassVar[tuple[str, ...] | None] = None

    env: Literal["development", "production"] = Field(
        default="development", description="Production refuses every development adapter."
    )
    home: Path = Field(default=Path(".edulake"), description="All state of an embedded suite lives here.")
    port: int = Field(
        default=8080, ge=1, le=65000, description="The gateway's port; the other services' follow it."
    )
    bind: str = Field(default="127.0.0.1", description="Address the HTTP services listen on.")
    public_url: str = Field(default="", description="The gateway's address as people and tokens know it.")
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Host headers accepted; empty: the public URL's and loopback's."
    )
    database_url: str = Field(
        default="postgresql://{role}@localhost:5432/edulake",
        description="Postgres; `{role}` is replaced by the role of the service, and without it the address "
        "must name that role.",
    )
    database_reader_url: str = Field(
        default="",
        description="Postgres for the query engine's role `edulake_reader`; empty: the same as for the others, "
        "which then needs `{role}`.",
    )
    database_pool_size: int = Field(default=5, ge=1, le=100, description="Connections a process keeps.")
    database_timeout_ms: int = Field(default=30_000, ge=100, description="Longest statement of a service.")
    redis_url: str = Field(default="redis://localhost:6379/0", description="Redis; losing it loses no data.")
    redis_timeout_ms: int = Field(default=500, ge=10, description="Longest wait for an answer of Redis.")
    lake_url: str = Field(
        default="", description="Directory or S3 URL of the lake; empty: `lake` in the home."
    )
    bus: Literal["postgres", "kafka"] = Field(default="postgres", description="How events are read.")
    kafka_bootstrap: str = Field(default="localhost:9092", description="Kafka brokers, `host:port,…`.")
    bus_poll_ms: int = Field(
        default=100, ge=10, le=5000, description="Pause between two looks at the event log."
    )
    standards_dir: Path = Field(
        default_factory=find_standards, description="The folder of contracts and codes."
    )
    secrets_dir: Path | None = Field(
        default=None, description="Keys and secrets; empty: `secrets` in the home."
    )
    log_level: str = Field(default="INFO", description="Lowest level that is logged.")
    shutdown_timeout_s: int = Field(
        default=15,
        ge=1,
        le=600,
        description="How long requests, then background work and runs, may each finish after SIGTERM.",
    )
    worker_metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port where a worker, which serves nothing else, shows /metrics; 0: none.",
    )
    upstream_timeout_s: float = Field(
        default=15.0, gt=0, description="Longest call from one service to another."
    )
    auth_url: str = Field(default="", description="Where auth listens; empty: beside the gateway.")
    catalog_url: str = Field(default="", description="Where catalog listens; empty: beside the gateway.")
    ingest_url: str = Field(default="", description="Where ingest listens; empty: beside the gateway.")
    governance_url: str = Field(
        default="", description="Where governance listens; empty: beside the gateway."
    )
    workorder_url: str = Field(default="", description="Where workorder listens; empty: beside the gateway.")
    portal_url: str = Field(default="", description="Where the portal listens; empty: beside the gateway.")
    gateway_url: str = Field(default="", description="Where the gateway listens, seen from inside.")
    gateway_processes: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Gateway processes `edulake up` starts, and that share a quota while Redis is lost; "
        "0: two, or one where there is only one core.",
    )

    @model_validator(mode="after")
    def _check_public_url(self) -> Self:
        parts = urlsplit(self.issuer)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"EDULAKE_PUBLIC_URL must be http(s)://host[:port], not {self.public_url!r}")
        if self.env == "production" and parts.scheme != "https":
            raise ValueError("EDULAKE_PUBLIC_URL must be https in production")
        return self

    @property
    def issuer(self) -> str:
        """The public base address without a slash at its end."""
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host names that a request may carry (without ports)."""
        own = urlsplit(self.issuer).hostname or "localhost"
        return self.allowed_hosts or (own, "127.0.0.1", "localhost")

    @property
    def lake(self) -> str:
        return self.lake_url or str(self.home.resolve() / "lake")

    @property
    def secrets(self) -> Path:
        return self.secrets_dir or self.home / "secrets"

    @property
    def gateways(self) -> int:
        """How many gateway processes there are: two keep answering while one of them is started again."""
        return self.gateway_processes or min(2, os.cpu_count() or 1)

    def gateway_port(self, number: int) -> int:
        """Where the gateway process of that number (from 1) answers alone: for readiness and metrics."""
        return self.port + OWN_PORT_OFFSET + number

    def service_port(self, service: str) -> int:
        return self.port + PORT_OFFSETS[service]

    def service_url(self, service: str) -> str:
        """Base address of a service seen from inside, without a slash at its end."""
        configured: str = getattr(self, f"{service}_url")
        return (configured or f"http://127.0.0.1:{self.service_port(service)}").rstrip("/")

    def database_for(self, role: str) -> str:
        """The database address for one role. Raises ValueError when it would connect as another one."""
        url = (self.database_reader_url if role == READER else "") or self.database_url
        if "{role}" in url:
            return url.replace("{role}", role)
        if unquote(urlsplit(url).username or "") != role:
            raise ValueError(
                f"the address given does not name the role {role}: put {{role}} or this name into "
                "EDULAKE_DATABASE_URL, and the reader's own into EDULAKE_DATABASE_READER_URL"
            )
        return url

    @property
    def stop_limit_s(self) -> float:
        """The longest an orderly end of a process takes after SIGTERM: requests under way, then background
        work, then the stores. Whoever stops a process kills it no sooner."""
        return 2 * self.shutdown_timeout_s + CLOSE_S

    @cached_property
    def internal_key(self) -> bytes:
        """The key that signs calls between services; made once in development, required in production."""
        path = self.secrets / "internal.key"
        if not path.exists():
            if self.env == "production":
                raise RuntimeError(f"{path} is missing: mount the internal signing key (32 bytes or more)")
            _create_once(path)
        key = path.read_bytes().strip()
        if len(key) < 32:
            raise RuntimeError(f"{path} holds fewer than 32 bytes: make a longer internal signing key")
        return key


def _create_once(path: Path) -> None:
    """Write a new key; of two processes that race, one wins and both read its key."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(f".{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(32))
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
