"""Fixtures every test shares: a real Postgres, a real Redis, a fresh migrated database per test."""

import asyncio
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import hypothesis
import pytest
import redis as sync_redis
from edulake.cli.embedded import EmbeddedPostgres, start_postgres, start_redis, stop_postgres
from edulake.common import migrate
from edulake.common.identity import HEADER, ContextSigner, Subject
from edulake.common.settings import Settings, find_standards
from edulake.common.standards import Standards
from fastapi import FastAPI

#: The same examples in every run: whoever mends one thing is not stopped by luck with another, nor by a pause of
#: the machine (no deadline for an example). New ones are
#: looked for with `EDULAKE_HYPOTHESIS=default make test`.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile(os.environ.get("EDULAKE_HYPOTHESIS", "repeatable"))
TEMPLATE = "edulake_template"
ROOM_BYTES = 2 * 1024**3  # several times what a run was seen to use
# Tests lose nothing by a crash of the test server itself.
TEST_CONF = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"


def _roomy() -> Path | None:
    """Memory to keep the test server in, if this machine has some to spare; else the usual place (None).

    A fresh database per test is 650 small files: 15 ms in memory, 150-500 ms on a disk.
    """
    memory = Path("/dev/shm")
    is_usable = memory.is_dir() and os.access(memory, os.W_OK)
    return memory if is_usable and shutil.disk_usage(memory).free >= ROOM_BYTES else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One embedded Postgres per test process, with a migrated template database.

    It stands outside pytest's own folders: another run resets their rights, and as root the server
    runs under another account.
    """
    folder = Path(tempfile.mkdtemp(prefix="edulake-test-postgres-", dir=_roomy()))
    server = start_postgres(folder / "data", extra_conf=TEST_CONF)
    asyncio.run(_make_template(server))
    yield server
    stop_postgres(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


async def _make_template(server: EmbeddedPostgres) -> None:
    await _admin(server, f"CREATE DATABASE {TEMPLATE} TEMPLATE template0 ENCODING 'UTF8'")
    await migrate.upgrade_all(server.admin_url(TEMPLATE))


async def _admin(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.admin_url("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def database_name(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"t_{uuid.uuid4().hex[:12]}"
    await _admin(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield name
    await _admin(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    """A fresh migrated database; `{role}` in it stands for the role."""
    return postgres.url(database_name)


@pytest.fixture
def postgres_admin_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    """The superuser's address of the same fresh database."""
    return postgres.admin_url(database_name)


@pytest.fixture
def role_url(database_url: str) -> Callable[[str], str]:
    """`role_url("edulake_ingest")` → the address of this test's database for one role."""
    return lambda role: database_url.replace("{role}", role)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A Redis that is empty at the start of each test."""
    client = sync_redis.Redis.from_url(redis_server)
    client.flushall()
    client.close()
    return redis_server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def make_settings(database_url: str, redis_url: str, home: Path) -> Callable[..., Any]:
    """`make_settings(ServiceSettings, field=value)` → settings wired to this test's stores."""

    def make(kind: type[Settings] = Settings, **over: Any) -> Settings:
        wired = {"home": home, "database_url": database_url, "redis_url": redis_url, "bus_poll_ms": 20}
        return kind(**{**wired, **over})

    return make


@pytest.fixture(scope="session")
def standards() -> Standards:
    """The contracts, code tables and APIs of this repository."""
    return Standards.load(find_standards())


class SignedHeaders(Mapping[str, str]):
    """The header of an internal call, signed when it is read: a signature is good for a minute, a test may last longer."""

    def __init__(self, sign: Callable[[], str]) -> None:
        self._sign = sign

    def __getitem__(self, name: str) -> str:
        if name != HEADER:
            raise KeyError(name)
        return self._sign()

    def __iter__(self) -> Iterator[str]:
        yield HEADER

    def __len__(self) -> int:
        return 1


@pytest.fixture
def as_subject(make_settings: Callable[..., Settings]) -> Callable[..., Mapping[str, str]]:
    """`as_subject("steward", id="person:li", audience="catalog")` → headers of a signed internal call."""

    def headers(*roles: str, id: str = "person:tester", audience: str, **more: Any) -> Mapping[str, str]:  # noqa: A002
        kind = id.split(":", 1)[0]
        if kind == "client":  # nobody owns it unless the test says so
            more = {"accountable": id, **more}
        subject = Subject(id=id, kind=kind, name=more.pop("name", id), roles=frozenset(roles), **more)  # type: ignore[arg-type]
        signer = ContextSigner(make_settings().internal_key, "tests")
        return SignedHeaders(lambda: signer.sign(subject, audience))

    return headers


class Neighbourhood(httpx.AsyncBaseTransport):
    """Ingest and auth, as far as a service under test asks them to decide: contacts of sources, who is let in.

    A test says who is who; whoever it does not name is let in without a role, unless it is in `nobody`.
    """

    def __init__(self) -> None:
        self.contacts: dict[str, str] = {}
        self.subjects: dict[str, Subject] = {}
        self.nobody: set[str] = set()
        self.silent = False
        self.asked: list[str] = []

    def know(self, id: str, *roles: str, **more: Any) -> Subject:  # noqa: A002
        """Let somebody in with these roles."""
        kind: Any = id.partition(":")[0]
        self.subjects[id] = Subject(id=id, kind=kind, name=id, roles=frozenset(roles), **more)
        return self.subjects[id]

    def join(self, app: FastAPI) -> None:
        """Answer this running service's questions from now on."""
        app.state.resources.extra["asking"].client._http = httpx.AsyncClient(transport=self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        if self.silent:
            raise httpx.ConnectError("connection refused", request=request)
        if path == "/internal/sources":
            wanted = request.url.params["contact"]
            return self._told({"ids": [source for source, who in self.contacts.items() if who == wanted]})
        if path == "/internal/sources/contacts":
            ids = json.loads(await request.aread())["ids"]
            return self._told({"contacts": {one: self.contacts[one] for one in ids if one in self.contacts}})
        who = path.removeprefix("/internal/subjects/")
        if who in self.nobody:
            return httpx.Response(404, request=request)
        return self._told(self.subjects.get(who) or self.know(who))

    def _told(self, answer: Any) -> httpx.Response:
        return httpx.Response(
            200, text=answer.model_dump_json() if isinstance(answer, Subject) else json.dumps(answer)
        )


@pytest.fixture
def neighbourhood() -> Neighbourhood:
    """Who the other services say is who; `neighbourhood.join(app)` makes a service hear it."""
    return Neighbourhood()


@pytest.fixture
def client_for() -> Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]:
    """`async with client_for(app) as client` runs the lifespan and calls the app in-process."""

    @asynccontextmanager
    async def open_client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                yield client

    return open_client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With EDULAKE_NO_SKIPS (CI sets it) a test that finds no browser, tool or data fails instead."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("EDULAKE_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where nothing may be: {report.longrepr}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Broker tests run where a broker is given, and say so where not."""
    if os.environ.get("EDULAKE_KAFKA_BOOTSTRAP"):
        return
    for item in items:
        if item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.skip(reason="no Kafka broker here; `make test-kafka` starts one"))
