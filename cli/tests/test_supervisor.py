"""What starting and stopping leaves behind: nothing of its own, and nothing of anybody else's is touched."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from edulake.cli import supervisor as supervisor_module
from edulake.cli.children import Child
from edulake.cli.doctor import examine
from edulake.cli.main import app
from edulake.cli.state import Process, SuiteFailed, SuiteState, read_state, running_suite
from edulake.cli.suite import Member
from edulake.cli.supervisor import Supervisor
from edulake.common.settings import Settings
from typer.testing import CliRunner

SLOW_END = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.5), exit(7)))
print('up', flush=True)
time.sleep(600)
"""


class Interrupted(Supervisor):
    """Ctrl-C when stores run and members are about to start."""

    def _start_members(self, state: SuiteState) -> None:
        raise KeyboardInterrupt


class StoresOnly(Supervisor):
    def _bootstrap(self) -> None:
        pass

    def _start_members(self, state: SuiteState) -> None:
        pass


class NothingStarts(Supervisor):
    """Ends where the stores would be started."""

    def _start_stores(self, state: SuiteState) -> None:
        raise SuiteFailed("enough")


@pytest.fixture
def settings(suite_home: Path, free_port: int) -> Settings:
    return Settings(home=suite_home, port=free_port)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)  # edulake"])
    yield process
    process.kill()
    process.wait()


def quiet(line: str) -> None:
    pass


def postgres_pid(home: Path) -> int | None:
    """The server's process, told by itself; None when none runs."""
    try:
        return int((home / "postgres" / "postmaster.pid").read_text().split()[0])
    except FileNotFoundError:
        return None


def left_state(home: Path, process: Process) -> None:
    """What a supervisor that was killed leaves."""
    home.mkdir(parents=True)
    state = SuiteState(
        Process(2**22 + 1, 1.0), 1, "http://x", "lake", processes={"auth": process}, ready=True
    )
    state.write(home)


class TestFailedStart:
    def test_that_is_interrupted_leaves_no_store_running(self, settings: Settings) -> None:
        suite = Interrupted(settings, quiet)
        suite._bootstrap = lambda: None  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            suite.start()
        assert postgres_pid(settings.home) is None
        state = read_state(settings.home)
        assert state
        assert (state.ready, state.stopped, state.processes, suite.lock) == (False, True, {}, None)

    def test_whose_migration_fails_leaves_no_postgres_running(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[int | None] = []

        async def fail(*_: str) -> None:
            seen.append(postgres_pid(settings.home))
            raise SuiteFailed("a migration")

        monkeypatch.setattr(supervisor_module, "_prepare_database", fail)
        with pytest.raises(SuiteFailed, match="a migration"):
            Supervisor(settings, quiet).start()
        assert seen != [None]
        assert postgres_pid(settings.home) is None

    def test_on_a_home_that_cannot_be_made_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        settings = Settings(home=tmp_path / "file" / "home")
        with pytest.raises(SuiteFailed, match="EDULAKE_HOME"):
            Supervisor(settings, quiet).start()
        assert any("EDULAKE_HOME" in one.words for one in examine(settings) if one.grade == "bad")


class TestTwo:
    def test_a_refused_second_one_leaves_the_first_its_stores(self, settings: Settings) -> None:
        first, second = StoresOnly(settings, quiet), StoresOnly(settings, quiet)
        first.start()
        try:
            before = postgres_pid(settings.home)
            with pytest.raises(SuiteFailed, match="edulake down"):
                second.start()
            second.stop()
            assert first.redis
            assert first.redis.process.poll() is None
            assert before is not None
            assert postgres_pid(settings.home) == before
            state = running_suite(settings)
            assert state
            assert state.ready
        finally:
            first.stop()
        assert postgres_pid(settings.home) is None
        first.stop()  # again: nothing to do, nothing to complain of
        assert [one.words for one in examine(settings) if "没有正常停止" in one.words] == []

    def test_one_that_is_still_starting_is_there_for_the_second_and_for_down(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found: list[SuiteState | None] = []

        def start(self: Supervisor, state: SuiteState) -> None:
            found.append(running_suite(settings))
            with pytest.raises(SuiteFailed, match="edulake down"):
                NothingStarts(settings, quiet).start()
            raise SuiteFailed("enough")

        monkeypatch.setattr(Supervisor, "_start_stores", start)
        with pytest.raises(SuiteFailed, match="enough"):
            Supervisor(settings, quiet).start()
        assert found[0]
        assert (found[0].supervisor.pid, found[0].ready) == (os.getpid(), False)


class TestLeftovers:
    def test_of_a_killed_supervisor_are_ended(
        self, settings: Settings, sleeper: "subprocess.Popen[bytes]"
    ) -> None:
        left = Process.of(sleeper.pid)
        left_state(settings.home, left)
        with pytest.raises(SuiteFailed, match="enough"):
            NothingStarts(settings, quiet).start()
        assert not left.is_alive

    def test_a_later_process_of_the_same_number_is_none_of_ours(
        self, settings: Settings, sleeper: "subprocess.Popen[bytes]"
    ) -> None:
        """However its command line reads: a pytest in a folder called edulake, say."""
        now = Process.of(sleeper.pid)
        left_state(settings.home, Process(now.pid, now.began - 60))
        with pytest.raises(SuiteFailed, match="enough"):
            NothingStarts(settings, quiet).start()
        assert sleeper.poll() is None

    def test_are_ended_by_down_with_their_stores(self, settings: Settings) -> None:
        killed = StoresOnly(settings, quiet)
        killed.start()
        assert killed.redis
        assert killed.lock is not None
        os.close(killed.lock)  # as the kernel does when a supervisor is killed
        state = read_state(settings.home)
        assert state
        state.supervisor = Process(2**22 + 1, 1.0)
        state.write(settings.home)
        told = CliRunner().invoke(app, ["down"], env={"EDULAKE_HOME": str(settings.home)})
        assert (told.exit_code, "遗留的进程已结束" in told.output) == (0, True)
        assert postgres_pid(settings.home) is None
        assert killed.redis.process.wait(60) is not None
        told = CliRunner().invoke(app, ["down"], env={"EDULAKE_HOME": str(settings.home)})
        assert told.output == "没有在运行 / nothing runs\n"

    def test_are_told_by_the_doctor_until_the_next_start(self, settings: Settings) -> None:
        left_state(settings.home, Process(2**22 + 1, 1.0))
        assert [one.grade for one in examine(settings) if "没有正常停止" in one.words] == ["warn"]
        with pytest.raises(SuiteFailed, match="enough"):
            NothingStarts(settings, quiet).start()
        assert [one.words for one in examine(settings) if "没有正常停止" in one.words] == []


class TestStop:
    def test_waits_for_what_a_process_was_promised(self, suite_home: Path) -> None:
        """Requests and background work may each take `shutdown_timeout_s`, here a second."""
        process = subprocess.Popen([sys.executable, "-c", SLOW_END], stdout=subprocess.PIPE)
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        suite = Supervisor(Settings(home=suite_home, shutdown_timeout_s=1), quiet)
        suite.children["slow"] = Child(Member("slow", "慢", ()), process)
        suite.stop()
        assert process.returncode == 7
        process.stdout.close()


class TestCommand:
    """`edulake up` as a person types it, and as impatient."""

    def up(self, home: Path, port: int) -> "subprocess.Popen[str]":
        told = {**os.environ, "EDULAKE_HOME": str(home), "EDULAKE_PORT": str(port)}
        command = [sys.executable, "-m", "edulake.cli.main", "up"]
        return subprocess.Popen(
            command, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def until(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 90
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @pytest.mark.parametrize("begun", ["suite.json", "postgres.new/PG_VERSION", "postgres/postmaster.pid"])
    def test_interrupted_while_starting_stops_and_starts_again(
        self, suite_home: Path, free_port: int, begun: str
    ) -> None:
        """At once, while Postgres is made, while it is migrated; and once more while it stops."""
        running = self.up(suite_home, free_port)
        try:
            # A new Postgres is moved to its place within a moment: who looks late sees it there.
            seen = [suite_home / begun, suite_home / begun.replace(".new", "")]
            self.until(lambda: any(path.exists() for path in seen))
        finally:
            running.send_signal(signal.SIGINT)
            running.send_signal(signal.SIGTERM)
            told, _ = running.communicate(timeout=140)
        assert running.returncode == 0, told
        assert "已停止" in told
        assert "Traceback" not in told
        assert postgres_pid(suite_home) is None
        assert json.loads((suite_home / "suite.json").read_text())["stopped"]

        again = StoresOnly(Settings(home=suite_home, port=free_port), quiet)
        again.start()
        again.stop()

    def test_an_interrupt_that_is_lost_is_seen_by_the_next_step(self, settings: Settings) -> None:
        class Deaf(StoresOnly):
            def _start_stores(self, state: SuiteState) -> None:
                self.stopping.set()

        with pytest.raises(KeyboardInterrupt):
            Deaf(settings, quiet).start()
