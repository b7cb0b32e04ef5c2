"""What stands in `EDULAKE_HOME/suite.json`: the suite that runs on this home, or the last one that did."""

import errno
import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import psutil
from edulake.common.settings import Settings

#: The kernel counts a start in ticks since boot; the time of boot may differ by this much between two looks.
SAME_MOMENT_S = 2.0


class SuiteFailed(RuntimeError):
    """The suite could not be started; the message says what to do."""


@dataclass(frozen=True)
class Process:
    """A process, told from a later one of the same number by the moment it began (Unix time, seconds)."""

    pid: int
    began: float

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has this number now, or one that is not alive when there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return cls(pid, 0.0)

    @property
    def is_alive(self) -> bool:
        """True while this very process runs; one that ended and was not waited for yet does not."""
        try:
            found = psutil.Process(self.pid)
            began_then = abs(found.create_time() - self.began) < SAME_MOMENT_S
            return began_then and bool(found.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


@dataclass
class SuiteState:
    """What other commands need to find a running suite."""

    supervisor: Process
    port: int
    public_url: str
    lake_url: str
    #: Addresses of the stores; empty until they are started.
    database_url: str = ""
    admin_url: str = ""
    redis_url: str = ""
    #: Name → process of each member and of Redis; none once the suite was stopped.
    processes: dict[str, Process] = field(default_factory=dict)
    ready: bool = False
    #: True once everything was ended in an orderly way.
    stopped: bool = False
    #: Name → title and port of each member, in the order they are started.
    members: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    bus: Literal["postgres", "kafka"] = "postgres"
    kafka_bootstrap: str = ""
    #: Begins the names of this suite's topics, so that other commands look at the same ones.
    kafka_prefix: str = ""

    @property
    def running(self) -> bool:
        """True while the supervisor itself is alive."""
        return self.supervisor.is_alive

    @property
    def was_cut_off(self) -> bool:
        """True when the supervisor ended without stopping what it had started."""
        return not self.running and not self.stopped

    @property
    def leftovers(self) -> list[Process]:
        """What a supervisor that was killed left running."""
        return [] if self.running else [one for one in self.processes.values() if one.is_alive]

    def runs(self, name: str) -> bool:
        """True while this member (or Redis) is alive."""
        return name in self.processes and self.processes[name].is_alive

    def write(self, home: Path) -> None:
        """Replace the file at once, readable by its owner only."""
        draft = state_path(home).with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self), indent=2))
        draft.replace(state_path(home))


def state_path(home: Path) -> Path:
    return home / "suite.json"


def read_state(home: Path) -> SuiteState | None:
    """The last suite of this home, running or not; None when there never was one."""
    try:
        facts = json.loads(state_path(home).read_text())
        facts["supervisor"] = Process(**facts["supervisor"])
        facts["processes"] = {name: Process(**one) for name, one in facts["processes"].items()}
        return SuiteState(**facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def running_suite(settings: Settings) -> SuiteState | None:
    """The suite that runs on this home now, or is being started or stopped."""
    state = read_state(settings.home)
    return state if state and state.running else None


def make_home(settings: Settings) -> Path:
    """The home with its folders; raises SuiteFailed when it cannot be made or written."""
    home = settings.home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        for folder in ("logs", "secrets"):
            (home / folder).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SuiteFailed(not_writable(home, error.strerror or "")) from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise SuiteFailed(not_writable(home))
    return home


def lock_home(home: Path) -> int:
    """Make this process the home's one supervisor until the descriptor is closed or the process ends.

    Raises SuiteFailed when another one is, also while that is still starting or stopping.
    """
    lock = os.open(home / "suite.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SuiteFailed(_second(home)) from error
    return lock


def _second(home: Path) -> str:
    old = read_state(home)
    place = f"（进程 {old.supervisor.pid}，{old.public_url}）" if old and old.running else ""
    return (
        f"{home} 已有一套在运行、启动或停止中{place}，先执行 edulake down / "
        "a suite runs on this home already, or is starting or stopping: `edulake down` first"
    )


def not_writable(place: Path, why: str = os.strerror(errno.EACCES)) -> str:
    """What to say, and what to do, about a place where no home can be."""
    return f"{place} 不可写（{why}）：换一个 EDULAKE_HOME / cannot be written: choose another EDULAKE_HOME"
