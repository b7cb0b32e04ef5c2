"""Which processes make up a suite, where they listen, and what each of them is told."""

import os
import socket
import sys
from dataclasses import dataclass

from edulake.cli.state import SuiteState
from edulake.common.settings import Settings

PYTHON = sys.executable


@dataclass(frozen=True)
class Member:
    """One process of the suite. `port` is where it says whether it is ready; None for a worker."""

    name: str
    title: str
    module: tuple[str, ...]
    port: int | None = None
    #: Environment of this member alone.
    told: tuple[tuple[str, str], ...] = ()

    @property
    def command(self) -> list[str]:
        return [PYTHON, "-m", *self.module]


#: In the order they are started, before the gateways.
BEHIND = (
    ("auth", "身份认证"),
    ("ingest", "归集"),
    ("governance", "治理"),
    ("governance-worker", "治理作业"),
    ("publisher", "发布"),
    ("catalog", "目录"),
    ("workorder", "工单"),
    ("portal", "门户"),
)
WORKERS = {
    "governance-worker": "edulake.governance.worker",
    "publisher": "edulake.share_gateway.publisher",
    "relay": "edulake.common.bus.relay",
}


def members(settings: Settings) -> tuple[Member, ...]:
    """The processes this configuration needs; the relay only where Kafka carries the events."""
    relay = (("relay", "事件转发"),) if settings.bus == "kafka" else ()
    behind = tuple(_behind(settings, name, title) for name, title in (*BEHIND, *relay))
    return (*behind, *(_gateway(settings, number) for number in range(1, settings.gateways + 1)))


def taken_ports(settings: Settings) -> list[int]:
    """Ports of this configuration that another program listens on.

    Gateways share their port (SO_REUSEPORT), so a second suite on it would not fail: it would take every
    other connection of the first one.
    """
    ports = [settings.port, *(member.port for member in members(settings) if member.port)]
    return [port for port in ports if not _is_free(settings.bind, port)]


def _is_free(bind: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError:
            return False
    return True


def _behind(settings: Settings, name: str, title: str) -> Member:
    if name in WORKERS:
        return Member(name, title, (WORKERS[name],))
    return Member(name, title, ("edulake.common.serve", name), settings.service_port(name))


def _gateway(settings: Settings, number: int) -> Member:
    """All share the suite's port; each answers alone on one of its own."""
    port = settings.gateway_port(number)
    told = (("EDULAKE_OWN_PORT", str(port)), ("EDULAKE_GATEWAY_PROCESSES", str(settings.gateways)))
    return Member(f"gateway-{number}", f"网关 {number}", ("edulake.share_gateway",), port, told)


def topic_prefix(settings: Settings) -> str:
    """What the names of this suite's topics begin with; nothing where the log alone carries the events."""
    if settings.bus != "kafka":
        return ""
    from edulake.common.bus.brokers import Brokers  # loads the client of Kafka

    return Brokers(bootstrap=settings.kafka_bootstrap).prefix


def environment(settings: Settings, state: SuiteState, member: Member | None = None) -> dict[str, str]:
    """The environment of every member, and what is told to one alone."""
    own = dict(member.told) if member else {}
    if member:
        # A member that is killed and started again is the same one to Kafka: its partitions do not wait
        # for the session's end.
        own["EDULAKE_KAFKA_INSTANCE"] = member.name
    return {
        **os.environ,
        "EDULAKE_HOME": str(settings.home.resolve()),
        "EDULAKE_PORT": str(settings.port),
        "EDULAKE_DATABASE_URL": state.database_url,
        "EDULAKE_DATABASE_READER_URL": "",
        "EDULAKE_REDIS_URL": state.redis_url,
        "EDULAKE_LAKE_URL": state.lake_url,
        "EDULAKE_STANDARDS_DIR": str(settings.standards_dir.resolve()),
        "EDULAKE_BUS": settings.bus,
        "EDULAKE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "PYTHONUNBUFFERED": "1",
        **own,
    }
