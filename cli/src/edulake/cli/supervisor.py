"""Starts a whole suite on one machine, keeps it alive, and stops it cleanly.

Order: Postgres, migrations, Redis, bootstrap clients, then the members. A member that dies is started
again, slower each time. What an earlier supervisor left behind after a kill is ended first.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import asyncpg
import psutil
from edulake.cli.carrier import broker_state
from edulake.cli.children import Child, end, spawn, undisturbed
from edulake.cli.embedded import EmbeddedRedis, start_postgres, start_redis, stop_postgres
from edulake.cli.state import Process, SuiteFailed, SuiteState, lock_home, make_home, read_state
from edulake.cli.stores import StoreKeeper
from edulake.cli.suite import PYTHON, Member, environment, members, taken_ports, topic_prefix
from edulake.common import migrate
from edulake.common.settings import Settings

READY_TIMEOUT_S = 300


@dataclass
class Supervisor:
    """One suite. `say` receives a line for every step a person may want to see."""

    settings: Settings
    say: Callable[[str], None]
    children: dict[str, Child] = field(default_factory=dict)
    redis: EmbeddedRedis | None = None
    keepers: list[StoreKeeper] = field(default_factory=list)
    state: SuiteState | None = None
    #: True from the moment this supervisor may have started Postgres: it is this one that stops it.
    owns_postgres: bool = False
    #: The descriptor that makes this process the home's supervisor.
    lock: int | None = None
    #: Set by a signal: a start ends as soon as it sees it, and so does the watch.
    stopping: Event = field(default_factory=Event)

    @property
    def home(self) -> Path:
        return self.settings.home.resolve()

    def start(self) -> SuiteState:
        """Bring everything up and return when the gateway says ready; stops what it started on failure.

        Raises SuiteFailed and StoreFailed, whose messages are for the operator.
        """
        make_home(self.settings)
        self.lock = lock_home(self.home)
        try:
            self._end_leftovers()
            self._refuse_taken_ports()
            self.state = self._begun()
            self._write_state()
            self._start_stores(self.state)
            self._end_if_told()
            self._bootstrap()
            self._end_if_told()
            self._start_members(self.state)
            self._await_ready()
            self.state.ready = True
            self._write_state()
        except BaseException:
            self.stop()
            raise
        return self.state

    def _end_if_told(self) -> None:
        """A KeyboardInterrupt may be lost where it is raised: in a finaliser, in a wait that ends just then."""
        if self.stopping.is_set():
            raise KeyboardInterrupt

    def clear(self) -> None:
        """End what a killed supervisor left of a suite, its stores too. Raises SuiteFailed when another one runs."""
        self.lock = lock_home(self.home)
        try:
            self._end_leftovers()
            self.state, self.owns_postgres = read_state(self.home), True
        finally:
            self.stop()

    def _end_leftovers(self) -> None:
        """After `kill -9` of a supervisor its members live on; they must not hold the ports."""
        old = read_state(self.home)
        for process in old.leftovers if old else ():
            self.say(f"结束上次遗留的进程 {process.pid} / ending what the last run left behind")
            with suppress(psutil.NoSuchProcess):
                left = psutil.Process(process.pid)
                left.kill()
                left.wait(5)  # its ports are free only then

    def _refuse_taken_ports(self) -> None:
        if taken := taken_ports(self.settings):
            raise SuiteFailed(
                f"端口 {taken} 已被占用：换一个 EDULAKE_PORT / ports are taken: choose another EDULAKE_PORT"
            )

    def _begun(self) -> SuiteState:
        """What is known before anything runs; from here on `down` and `status` find this supervisor."""
        return SuiteState(
            supervisor=Process.of(os.getpid()),
            port=self.settings.port,
            public_url=self.settings.issuer,
            lake_url=self.settings.lake,
            bus=self.settings.bus,
            kafka_bootstrap=self.settings.kafka_bootstrap,
            kafka_prefix=topic_prefix(self.settings),
        )

    def _start_stores(self, state: SuiteState) -> None:
        began = time.monotonic()
        self.owns_postgres = True
        postgres = start_postgres(self.home / "postgres")
        state.database_url, state.admin_url = postgres.url(), postgres.admin_url()
        asyncio.run(_prepare_database(postgres.admin_url("postgres"), postgres.admin_url()))
        self.redis = redis = start_redis(self.home / "redis")
        state.redis_url = redis.url
        self.keepers = [self._keep_postgres(postgres.pid), self._keep_redis(redis)]
        self._write_state()
        self.say(f"Postgres、Redis 已启动，数据库结构已更新（{time.monotonic() - began:.1f} 秒）")

    def _start_members(self, state: SuiteState) -> None:
        for member in members(self.settings):
            state.members[member.name] = (member.title, member.port)
            self.children[member.name] = Child(member, self._spawn(member))
            self._write_state()  # at once: whatever kills this supervisor, the next one ends the member

    def _keep_postgres(self, pid: int) -> StoreKeeper:
        process = Process.of(pid)

        def start() -> None:
            nonlocal process
            process = Process.of(start_postgres(self.home / "postgres").pid)

        return StoreKeeper("Postgres", lambda: process.is_alive, start)

    def _keep_redis(self, first: EmbeddedRedis) -> StoreKeeper:
        def start() -> None:
            self.redis = start_redis(self.home / "redis", first.socket)
            self._note_state()

        return StoreKeeper("Redis", lambda: (self.redis or first).process.poll() is None, start)

    def _bootstrap(self) -> None:
        if self.settings.env == "production":
            return
        target = self.settings.secrets / "clients.json"
        done = subprocess.run(  # noqa: S603
            [PYTHON, "-m", "edulake.auth.bootstrap", "--file", str(target.resolve())],
            env=self._environment(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise SuiteFailed("开发用客户端没有建立 / bootstrap failed:\n" + done.stderr.decode()[-2000:])

    def _environment(self, member: Member | None = None) -> dict[str, str]:
        if self.state is None:
            raise SuiteFailed("stores are not started")
        return environment(self.settings, self.state, member)

    def log_path(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _spawn(self, member: Member) -> "subprocess.Popen[bytes]":
        return spawn(member, self._environment(member), self.log_path(member.name))

    def _write_state(self) -> None:
        if self.state is None:
            return
        pids = {name: child.process.pid for name, child in self.children.items()}
        if self.redis:
            pids["redis"] = self.redis.process.pid
        self.state.processes = {name: Process.of(pid) for name, pid in pids.items()}
        self.state.write(self.home)

    def _note_state(self) -> None:
        """Write the state; a full disk, say, is told and ends nothing that runs."""
        try:
            self._write_state()
        except OSError as error:
            self.say(f"suite.json 没有写入 / was not written: {error.strerror}")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        for child in self.children.values():
            while not child.is_ready:
                self._end_if_told()
                if child.process.poll() is not None or time.monotonic() > deadline:
                    raise SuiteFailed(self._why(child))
                time.sleep(0.1)
        self.say(f"{len(self.children)} 个进程就绪")
        if self.settings.bus == "kafka":
            self.say(broker_state(self.settings, self.state).words)

    def _why(self, child: Child) -> str:
        path = self.log_path(child.member.name)
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else ""
        return f"{child.member.title}（{child.member.name}）没有就绪 / not ready, see {path}:\n{tail}"

    def watch(self) -> None:
        """Keep every member alive until `stopping` is set."""
        while not self.stopping.is_set():
            self.revive()
            time.sleep(0.2)

    def revive(self) -> None:
        """Start again what has died: a store at once, a member after a pause that grows with its starts."""
        for keeper in self.keepers:
            keeper.revive(self.say)
        for child in self.children.values():
            code = child.process.poll()
            if code is None:
                continue
            if not child.again_at:
                child.again_at = time.monotonic() + child.restart_pause_s
                told = f"{child.member.title}（{child.member.name}）以 {code} 结束"
                self.say(f"{told}，{child.restart_pause_s} 秒后重启 / ended, will be started again")
            elif time.monotonic() >= child.again_at:
                child.process, child.again_at = self._spawn(child.member), 0.0
                child.starts += 1
                self._note_state()

    def stop(self) -> None:
        """End what this supervisor started; a second call, or one after a refused start, ends nothing."""
        with undisturbed():
            try:
                self._stop()
            finally:
                if self.lock is not None:
                    os.close(self.lock)
                self.lock = None

    def _stop(self) -> None:
        """The gateways first, whose last answers need the others; then the others, then the stores."""
        gateways = [child for name, child in self.children.items() if name.startswith("gateway-")]
        others = [child for child in self.children.values() if child not in gateways]
        for children in (gateways, others):
            end(children, self.settings.stop_limit_s, self.say)
        self.children.clear()
        if self.redis:
            self.redis.stop()
        if self.owns_postgres:
            stop_postgres(self.home / "postgres")
        self.redis, self.owns_postgres, self.keepers = None, False, []
        if self.state:
            self.state.ready, self.state.stopped = False, True
            self._note_state()
        self.state = None


async def _prepare_database(maintenance_url: str, admin_url: str) -> None:
    connection = await asyncpg.connect(maintenance_url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = 'edulake'"):
            await connection.execute("CREATE DATABASE edulake TEMPLATE template0 ENCODING 'UTF8'")
    finally:
        await connection.close()
    await migrate.upgrade_all(admin_url)
