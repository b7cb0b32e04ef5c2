"""A whole suite under test: started as an operator starts it, on the embedded bus or on Kafka."""

import importlib.util
import os
import shutil
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from edulake.cli.calls import Gateway
from edulake.cli.demo import Demo, Report
from edulake.cli.suite import Member
from edulake.cli.supervisor import Supervisor
from edulake.cli.synthetic import write_deliveries
from edulake.common import faults
from edulake.common.settings import Settings
from rich.console import Console

BROKER = Path(__file__).resolve().parent / "kafka" / "broker.py"
BACK_LIMIT_S = 120


def free_ports() -> int:
    """The first of a run of ports of which all are free; test workers side by side never choose the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = 21000 + worker % 4 * 2000
    for first in range(start, start + 2000, 20):
        try:
            for offset in range(20):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


class Watched(Supervisor):
    """A supervisor that may tell one member more than the others."""

    told: dict[str, dict[str, str]]

    def _environment(self, member: Member | None = None) -> dict[str, str]:
        return {**super()._environment(member), **(self.told.get(member.name, {}) if member else {})}


class Suite:
    """A running suite and its callers."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = Settings(home=home, port=free_ports(), **settings)
        self.supervisor = Watched(self.settings, lambda line: None)
        self.supervisor.told = {}
        self.gateways: list[Gateway] = []
        self.state = self.supervisor.start()

    def gateway(self, client: str) -> Gateway:
        """A new caller, with a token of its own."""
        self.gateways.append(Gateway(self.settings, client, self.state.public_url))
        return self.gateways[-1]

    def close(self) -> None:
        for gateway in self.gateways:
            gateway.close()
        self.supervisor.stop()

    def process(self, member: str) -> Any:
        return self.supervisor.children[member].process

    def kill(self, member: str) -> None:
        """`kill -9` of one process; the supervisor starts it again."""
        killed = self.process(member)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        self._await_next(member, killed)

    def pause_at(self, points: Mapping[str, str]) -> None:
        """Start members again so that each stops for good when it comes to its point."""
        self.tell({member: {faults.VARIABLE: point} for member, point in points.items()})

    def tell(self, told: Mapping[str, dict[str, str]]) -> None:
        """Start members again, each with more in its environment."""
        stopped = {member: self.process(member) for member in told}
        self.supervisor.told.update(told)
        for process in stopped.values():
            process.terminate()
        for member, process in stopped.items():
            process.wait()
            self._await_next(member, process)

    def has_come_to(self, member: str, point: str) -> bool:
        """True when the member's present process stands at the point."""
        mark = faults.mark_of(self.settings.home.resolve(), point)
        return mark.exists() and mark.read_text() == str(self.process(member).pid)

    def kill_paused(self, member: str) -> None:
        """Kill a member where it stands; it comes back without a point."""
        self.supervisor.told.pop(member)
        self.kill(member)

    def _await_next(self, member: str, before: Any) -> None:
        self.supervisor.children[member].starts = 1  # the pauses of a member that dies by itself grow
        self.wait_for(lambda: self.process(member) is not before, f"{member} to come back")

    def wait_for(self, true: Callable[[], object], what: str, limit_s: float = BACK_LIMIT_S) -> None:
        """Keep the members alive until something holds; an error when it does not in time."""
        deadline = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {limit_s} s for {what}")
            self.supervisor.revive()
            time.sleep(0.05)

    def memory_mib(self) -> float:
        """Resident memory of all members, in MiB."""
        pids = [child.process.pid for child in self.supervisor.children.values()]
        tree = [
            one
            for pid in pids
            for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
        ]
        return sum(one.memory_info().rss for one in tree) / 2**20


@pytest.fixture(scope="session")
def new_home() -> Iterator[Callable[[], Path]]:
    """Folders for suites, gone at the end.

    Not in pytest's own: Postgres runs under another account when the tests run as root.
    """
    folders: list[Path] = []

    def make() -> Path:
        folders.append(Path(tempfile.mkdtemp(prefix="edulake-suite-")))
        return folders[-1]

    yield make
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def own_prefix() -> Iterator[str]:
    """Topics and groups of their own, as every installation on a shared broker has."""
    with pytest.MonkeyPatch.context() as patch:
        prefix = f"t{uuid.uuid4().hex[:8]}."
        patch.setenv("EDULAKE_KAFKA_PREFIX", prefix)
        yield prefix


@pytest.fixture(scope="module")
def open_suite(new_home: Callable[[], Path], own_prefix: str) -> Iterator[Callable[..., Suite]]:
    """`open_suite(bus="kafka")` starts one; all are stopped at the module's end."""
    opened: list[Suite] = []

    def start(home: Path | None = None, **settings: Any) -> Suite:
        if settings.get("bus") == "kafka":
            settings.setdefault("kafka_bootstrap", os.environ.get("EDULAKE_KAFKA_BOOTSTRAP", ""))
        opened.append(Suite(home or new_home(), **settings))
        return opened[-1]

    yield start
    for suite in opened:
        suite.close()


@pytest.fixture(scope="module", params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def suite(request: pytest.FixtureRequest, open_suite: Callable[..., Suite]) -> Iterator[Suite]:
    """The same suite, its events carried by the log alone or by Kafka."""
    suite = open_suite(bus=request.param)
    yield suite
    suite.close()


@pytest.fixture(scope="module")
def report(suite: Suite) -> Report:
    """The demo's own journey, on the bundled deliveries."""
    import yaml

    plan = write_deliveries(suite.settings.home / "demo")
    with Demo(suite.settings, suite.state.public_url, Console(quiet=True)) as demo:
        return demo.run(yaml.safe_load(plan.read_text(encoding="utf-8")), plan.parent)


@pytest.fixture(scope="session")
def broker_module() -> ModuleType:
    """`tests/kafka/broker.py`, for tests that stop and start a broker of their own."""
    spec = importlib.util.spec_from_file_location("edulake_test_broker", BROKER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
