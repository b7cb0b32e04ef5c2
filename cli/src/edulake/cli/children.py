"""The processes a supervisor started: starting one, asking whether it is ready, ending several."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import current_thread, main_thread

import httpx
from edulake.cli.suite import Member

RESTART_PAUSE_S = (0.5, 1, 2, 5, 10)
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Child:
    """A member's present process and how often it had to be started."""

    member: Member
    process: "subprocess.Popen[bytes]"
    starts: int = 1
    again_at: float = 0.0

    @property
    def is_ready(self) -> bool:
        """What it says of itself; a worker, which serves nothing, is ready while it lives."""
        if self.member.port is None:
            return self.process.poll() is None
        try:
            url = f"http://127.0.0.1:{self.member.port}/readyz"
            return httpx.get(url, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def restart_pause_s(self) -> float:
        """How long it stays away after its end: longer each time."""
        return RESTART_PAUSE_S[min(self.starts, len(RESTART_PAUSE_S)) - 1]


def spawn(member: Member, environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a member in a session of its own, its words at the end of the log."""
    with log.open("ab") as sink:
        return subprocess.Popen(  # noqa: S603
            member.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )


def end(children: Sequence[Child], limit_s: float, say: Callable[[str], None]) -> None:
    """Ask all to end and wait for each; what still runs after the limit is killed."""
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + limit_s
    for child in children:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"{child.member.name} 没有按时结束，强制结束 / did not end in time, killed")
            child.process.kill()
            child.process.wait()


@contextmanager
def undisturbed() -> Iterator[None]:
    """While the block runs, an impatient second Ctrl-C breaks nothing off: it would leave stores behind."""
    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
