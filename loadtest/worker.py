"""`make bench-wrk`: how much one gateway worker answers, with every check on, cached and not.

A worker of its own is started beside the running suite, once as configured and once with the answer cache off
(`EDULAKE_CACHE_S=0`), so that the suite's processes do not take part. Anything but 2xx, or a broken connection, fails
the run; a missed goal is told. wrk counts 3xx as good, and the data plane has none.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import httpx
import yaml
from edulake.cli.calls import CallFailed
from edulake.cli.state import SuiteState
from edulake.cli.suite import PYTHON, environment
from edulake.common.settings import PORT_OFFSETS, Settings
from prepare import NotReady, prepared, suite

HERE = Path(__file__).parent
TARGET = yaml.safe_load((HERE / "targets.yaml").read_text())["worker"]
READY_WITHIN_S = 30


@dataclass(frozen=True)
class Run:
    """One measurement: what is asked, of a worker that keeps answers or does not."""

    name: str
    addresses: tuple[str, ...]
    is_cached: bool


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def worker(settings: Settings, state: SuiteState, *, is_cached: bool) -> Iterator[str]:
    """A gateway process of the running suite's data and grants; its address."""
    port = free_port()
    behind = {
        f"EDULAKE_{name.upper()}_URL": settings.service_url(name)
        for name in PORT_OFFSETS
        if name != "gateway"
    }
    told = {**behind, "EDULAKE_PORT": str(port), "EDULAKE_PUBLIC_URL": state.public_url}
    if not is_cached:
        told["EDULAKE_CACHE_S"] = "0"
    log = state_log(settings)
    with log.open("ab") as sink:
        running = subprocess.Popen(
            [PYTHON, "-m", "edulake.share_gateway"],
            env={**environment(settings, state), **told},
            stdout=sink,
            stderr=sink,
        )
    try:
        _await_ready(f"http://127.0.0.1:{port}", running, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(20)


def state_log(settings: Settings) -> Path:
    return settings.home.resolve() / "logs" / "bench-worker.log"


def _await_ready(url: str, running: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if running.poll() is not None or time.monotonic() > deadline:
            raise NotReady(f"the worker did not become ready, see {log}")
        time.sleep(0.1)


def measure(wrk: str, url: str, token: str, run: Run, seconds: int) -> dict[str, float]:
    """wrk's own figures for one run."""
    command = [wrk, "-t1", f"-c{TARGET['connections']}", f"-d{seconds}s", "-s", str(HERE / "request.lua")]
    command += ["-H", f"Authorization: Bearer {token}", url, "--", *run.addresses]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    line = next(line for line in told.splitlines() if line.startswith("RESULT "))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return found


def runs(codes: list[str], districts: list[str]) -> list[Run]:
    """More different questions than connections: equal ones at the same time would be answered once for all."""
    one = tuple(f"/share/v1/schools?code={code}" for code in codes)
    chosen = [*combinations(districts, 2), *combinations(districts, 3)]
    twenty = tuple(f"/share/v1/schools?district={','.join(some)}&limit=20" for some in chosen)
    return [
        Run("cached, one row", one[:1], True),
        Run("cached, twenty rows", twenty[:1], True),
        Run("one row from Postgres", one, False),
        Run("twenty rows from Postgres", twenty, False),
    ]


def show(run: Run, found: dict[str, float]) -> bool:
    """Print one line; False when an answer was not 2xx or a connection broke."""
    rate = found["requests"] / found["seconds"]
    goal = TARGET["goal_rps"].get(run.name)
    size = found["bytes"] / max(1, found["requests"])
    good = found["not_2xx"] == 0 and found["socket_errors"] == 0 and found["requests"] > 0
    aim = "" if goal is None else f"  goal {goal}: {'reached' if rate >= goal else 'NOT reached'}"
    print(  # noqa: T201 - the report of the run
        f"{'ok  ' if good else 'FAIL'} {run.name:26} {rate:8.0f} req/s  p50 {found['p50_ms']:6.2f} ms  "
        f"p99 {found['p99_ms']:7.2f} ms  {size:5.0f} B  not 2xx {found['not_2xx']:.0f}  "
        f"socket errors {found['socket_errors']:.0f}{aim}"
    )
    return good


def main() -> int:
    """0 when every answer of every run was 2xx; 2 when nothing could be measured."""
    wrk = shutil.which("wrk")
    if wrk is None:
        print("wrk is not on PATH: install it (Debian: apt install wrk)", file=sys.stderr)  # noqa: T201
        return 2
    settings = Settings()
    try:
        state = suite(settings)
        caller = prepared(settings, state)
        rows = caller.call("GET", "/share/v1/schools?limit=100")["data"]
        codes = [row["school_code"] for row in rows if row["school_code"]]
        listed = runs(codes, sorted({row["district_code"] for row in rows})[:8])
        seconds = int(os.environ.get("BENCH_SECONDS", str(TARGET["duration_s"])))
        good = []
        for is_cached in (True, False):
            with worker(settings, state, is_cached=is_cached) as url:
                for run in (run for run in listed if run.is_cached == is_cached):
                    measure(wrk, url, caller.token(), run, 1)
                    good.append(show(run, measure(wrk, url, caller.token(), run, seconds)))
    except (NotReady, CallFailed, KeyError) as error:
        print(error.args[0], file=sys.stderr)  # noqa: T201
        return 2
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
