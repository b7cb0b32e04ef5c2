"""One suite on one machine through a bad night: started twice, its supervisor killed, stopped twice.

The commands run as an operator types them, and `edulake doctor` is asked after each.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from edulake.cli.main import app
from typer.testing import CliRunner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Operator:
    """Somebody at a terminal."""

    def __init__(self, home: Path, port: int) -> None:
        self.told = {"EDULAKE_HOME": str(home), "EDULAKE_PORT": str(port), "COLUMNS": "200"}
        self.told["EDULAKE_GATEWAY_PROCESSES"] = "1"  # sooner ready

    def types(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, words, env=self.told)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.exit_code, done.output

    def starts(self) -> tuple[int, str]:
        """In a process of its own, whose child the suite becomes."""
        command = [sys.executable, "-m", "edulake.cli.main", "up", "--detach"]
        told = {**os.environ, **self.told}
        done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=400, check=False)
        return done.returncode, done.stdout + done.stderr

    def is_told_by_the_doctor(self, words: str) -> None:
        code, told = self.types("doctor")
        assert (code, words in told) == (0, True), told

    def pids(self) -> dict[str, int]:
        code, told = self.types("status", "--json")
        facts = json.loads(told)
        assert (code, facts["healthy"]) == (0, True), told
        pids: dict[str, int] = facts["pids"]
        return pids


def kill_supervisor(home: Path) -> None:
    supervisor = psutil.Process(json.loads((home / "suite.json").read_text())["supervisor"]["pid"])
    supervisor.kill()
    supervisor.wait(60)


@pytest.fixture
def operator(suite_home: Path, free_port: int) -> Iterator[Operator]:
    operator = Operator(suite_home, free_port)
    yield operator
    operator.types("down")


def test_a_bad_night(operator: Operator, suite_home: Path) -> None:
    operator.is_told_by_the_doctor("还没有运行过")
    assert operator.starts()[0] == 0
    first = operator.pids()
    operator.is_told_by_the_doctor("正在运行")

    code, told = operator.starts()
    assert (code, "edulake down" in told) == (1, True), told
    assert operator.pids() == first, "the refused one has touched nothing"

    kill_supervisor(suite_home)
    assert operator.types("status")[0] == 1
    operator.is_told_by_the_doctor("没有正常停止")
    assert operator.starts()[0] == 0
    assert not set(first.values()) & set(operator.pids().values())
    assert [pid for pid in first.values() if psutil.pid_exists(pid)] == []

    assert operator.types("down") == (0, "已停止 / stopped\n")
    assert not (suite_home / "postgres" / "postmaster.pid").exists()
    operator.is_told_by_the_doctor("已停止")
    assert operator.types("down") == (0, "没有在运行 / nothing runs\n")
    operator.is_told_by_the_doctor("已停止")
