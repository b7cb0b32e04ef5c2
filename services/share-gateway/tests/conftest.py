"""What the gateway's tests share: an issuer of tokens, services behind that write down what they receive,
an engine that answers from memory, grants, and the gateway itself on a real socket.
"""

import asyncio
import base64
import socket
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import orjson
import polars as pl
import pytest
from aiohttp import web
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.events import AccessGrantChanged
from edulake.common.service import Resources
from edulake.common.standards import Standards
from edulake.share_gateway.__main__ import Server, configure
from edulake.share_gateway.app import create_app
from edulake.share_gateway.engine import serving
from edulake.share_gateway.engine.definition import CompiledApi, define
from edulake.share_gateway.engine.execute import Answer
from edulake.share_gateway.engine.query import Call, keys_named, read_call, records_of
from edulake.share_gateway.gateway import Gateway
from edulake.share_gateway.grant.repository import put_grant
from edulake.share_gateway.plane import EngineOpener, Plane
from edulake.share_gateway.publication import loader
from edulake.share_gateway.settings import GatewaySettings
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey


@dataclass
class Issuer:
    """Signs access tokens and shows its keys like auth does. `asked` counts look-ups of the keys."""

    key: OKPKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519", {"kid": "k1", "use": "sig"}))
    url: str = ""
    issuer: str = "http://127.0.0.1:8080"
    asked: int = 0
    is_down: bool = False

    def document(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    def claims(self, client_id: str = "app", **over: Any) -> dict[str, Any]:
        moment = int(time.time())
        standard = {
            "iss": self.issuer,
            "sub": f"client:{client_id}",
            "client_id": client_id,
            "aud": "edulake",
            "iat": moment,
            "exp": moment + 600,
            "jti": uuid.uuid4().hex,
            "roles": ["applicant"],
            "org": "测试单位",
        }
        return {name: value for name, value in {**standard, **over}.items() if value is not None}

    def token(self, client_id: str = "app", *, header: dict[str, Any] | None = None, **over: Any) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            head = {"alg": "EdDSA", "typ": "at+jwt", "kid": self.key.kid, **(header or {})}
            return jwt.encode(head, self.claims(client_id, **over), self.key, algorithms=["EdDSA"])

    def bearer(self, client_id: str = "app", **over: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(client_id, **over)}"}


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """An aiohttp application on a free port of loopback."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    door = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, door).start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """An issuer whose keys stand at `/.well-known/jwks.json` on a port of its own."""
    found = Issuer()

    async def keys(_: web.Request) -> web.Response:
        found.asked += 1
        if found.is_down:
            return web.Response(status=503)
        return web.json_response(found.document())

    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", keys)
    async with served(app) as url:
        found.url = url
        yield found


@dataclass
class Behind:
    """A service behind the gateway. `received` holds (method, raw target, header pairs, body)."""

    url: str = ""
    received: list[tuple[str, str, list[tuple[str, str]], bytes]] = field(default_factory=list)
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.received[-1][2]}


@pytest.fixture
async def behind() -> AsyncIterator[Behind]:
    """One server that plays every service behind."""
    found = Behind()

    async def take(request: web.Request) -> web.StreamResponse:
        pairs = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        body = b"" if found.answer else await request.read()
        found.received.append((request.method, request.raw_path, pairs, body))
        if found.answer:
            return await found.answer(request)
        return web.json_response({"ok": True})

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{rest:.*}", take)
    async with served(app) as url:
        found.url = url
        yield found


class MemoryEngine:
    """Answers from memory in the engine's words; counts how often it was asked."""

    def __init__(self, standards: Standards, page_ring: Any) -> None:
        codes = standards.codes
        self.apis = {
            name: define(api, standards.datasets[api.dataset], codes) for name, api in standards.apis.items()
        }
        self.ring = page_ring
        self.asked: list[tuple[str, tuple[str, ...], tuple[str, ...], str]] = []
        self.version: int | None = 1
        self.pause_s = 0.0
        self.versions = SimpleNamespace(age_s=0.0)
        self.error: Exception | None = None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def route(self, name: str) -> CompiledApi | None:
        return self.apis.get(name)

    def validate(self, api: CompiledApi, raw_query: bytes) -> Call:
        return read_call(api, raw_query, self.ring)

    def data_version(self, dataset: str) -> int | None:
        return self.version

    async def execute(
        self,
        api: CompiledApi,
        call: Call,
        columns: tuple[str, ...],
        districts: tuple[str, ...],
        mask_level: str,
    ) -> Answer:
        version = self.version or 0
        self.asked.append((api.name, columns, districts, mask_level))
        await asyncio.sleep(self.pause_s)
        if self.error:
            raise self.error
        row = ",".join(f'"{name}":"{name} of {len(self.asked)}"' for name in columns)
        records = tuple(records_of(api, keys_named(api, call)))
        return Answer(b'{"data":[{%b}],"next":null,"version":%d}' % (row.encode(), version), version, records)


@dataclass
class Running:
    """A gateway on a real socket, and what a test may look at inside."""

    url: str
    gateway: Gateway
    http: httpx.AsyncClient

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def plane(self) -> Plane:
        plane: Plane = self.gateway.service.state.plane
        return plane

    @property
    def engine(self) -> Any:
        return self.plane.engine


#: No limit that a busy machine could reach by itself; a test about one of them sets it.
PATIENT = {
    "access_stale_s": 3600.0,
    "versions_stale_s": 10.0,
    "lease_timeout_ms": 30_000,
    "redis_timeout_ms": 30_000,
    "cache_timeout_ms": 30_000,
    "audit_timeout_s": 60.0,
    "audit_flush_s": 3600.0,  # counts are written when a test says so
    "jwks_timeout_s": 30.0,
    "upstream_connect_s": 30.0,
    "upstream_timeout_s": 60.0,
    "header_timeout_s": 60.0,
    "keep_alive_s": 600,
}


@pytest.fixture
def settings(make_settings: Any, issuer: Issuer, behind: Behind) -> GatewaySettings:
    """The gateway's settings, wired to the test's stores, issuer and service behind."""
    services = {
        f"{name}_url": behind.url for name in ("catalog", "ingest", "governance", "workorder", "portal")
    }
    found: GatewaySettings = make_settings(
        GatewaySettings, auth_url=issuer.url, access_poll_ms=50, reader_pool_size=2, **services
    )
    issuer.issuer = found.issuer
    return found.model_copy(update=PATIENT)  # some are beyond what is allowed outside


class Served(Server):
    """Our server without its signal handlers, and with an error instead of an exit when it cannot start."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise RuntimeError("the gateway did not start") from error

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def memory_engine(resources: Resources) -> Any:
    return MemoryEngine(resources.standards, resources.keys.ring("page"))


@asynccontextmanager
async def run_gateway(
    settings: GatewaySettings, engine_opener: EngineOpener = memory_engine
) -> AsyncIterator[Running]:
    """The gateway as a process runs it: its protocol class, its limits, a real socket."""
    gateway = create_app(settings, engine_opener=engine_opener)
    config = configure(settings, gateway)
    config.loop = "none"
    server = Served(config, gateway, drain_s=0)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if serving.done():
                raise RuntimeError("the gateway did not start")
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=90) as http:
            yield Running(url, gateway, http)
    finally:
        server.should_exit = True
        await serving
        listener.close()


@pytest.fixture
async def gateway_role(database_url: str) -> AsyncIterator[Any]:
    """A connection of the role that owns the serving tables."""
    connection = await asyncpg.connect(database_url.replace("{role}", "edulake_gateway"))
    yield connection
    await connection.close()


@pytest.fixture
def put_served(gateway_role: Any) -> Callable[..., Awaitable[None]]:
    """`await put_served(standards, "school_base", rows, version)` serves rows of the protected form from now on."""

    async def put(standards: Standards, dataset: str, rows: list[dict[str, Any]], version: int) -> None:
        contract = standards.datasets[dataset]
        columns = serving.served_columns(contract)
        apis = [define(a, standards.datasets[a.dataset], standards.codes) for a in standards.apis.values()]
        ready = loader.serving_rows(pl.DataFrame(rows, infer_schema_length=None), contract)
        async with gateway_role.transaction():
            await gateway_role.execute(serving.create_table(dataset, version, columns))
            await gateway_role.copy_records_to_table(
                f"{dataset}__v{version}", schema_name="published", columns=ready.columns, records=ready.rows()
            )
            for statement in serving.create_indexes(contract, version, columns, apis):
                await gateway_role.execute(statement)
            await gateway_role.execute(serving.grant_reading(dataset, version))
            await gateway_role.execute(
                "UPDATE gateway.publication SET is_current = false WHERE dataset = $1", dataset
            )
            await gateway_role.execute(
                """INSERT INTO gateway.publication (dataset, version, governed_version, batch_id, title, row_count,
                content_digest, level, columns, protection, is_current, published_at, current_by)
                VALUES ($1, $2, $2, 'b', 't', $3, 'd', 1, $4::json, $5::json, true, now(), 'test')""",
                dataset,
                version,
                len(rows),
                orjson.dumps(columns).decode(),
                orjson.dumps(serving.served_protection(contract)).decode(),
            )

    return put


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[Running]:
    async with run_gateway(settings) as running:
        yield running


@pytest.fixture
def start_gateway() -> Callable[[GatewaySettings], AbstractAsyncContextManager[Running]]:
    """For tests that need a gateway of other settings, or two."""
    return run_gateway


@pytest.fixture
async def database(role_url: Callable[[str], str]) -> AsyncIterator[Database]:
    """The gateway's own database, from outside the process."""
    found = Database(role_url("edulake_gateway"))
    yield found
    await found.close()


@pytest.fixture
def give(database: Database, standards: Standards) -> Callable[..., Awaitable[AccessGrantChanged]]:
    """`await give("app", "schools", rate_per_s=5)` puts a grant where the consumer would put it."""

    async def put(client_id: str = "app", api: str = "schools", **over: Any) -> AccessGrantChanged:
        definition = standards.apis[api]
        facts: dict[str, Any] = {
            "grant_id": f"g-{client_id}-{api}",
            "application_id": "a1",
            "client_id": client_id,
            "resource_id": f"api:{api}",
            "api": api,
            "dataset": definition.dataset,
            "purpose": "教学质量分析",
            "columns": list(definition.columns),
            "mask_level": "standard",
            "valid_from": now() - timedelta(days=1),
            "valid_until": now() + timedelta(days=30),
            "rate_per_s": 1000,
            "day_quota": 100_000,
            "level": definition.level,
            "status": "active",
            "change": "granted",
        }
        grant = AccessGrantChanged.model_validate({**facts, **over})
        async with database.transaction() as session:
            await put_grant(session, grant, now())
        return grant

    return put


async def exchange(port: int, raw: bytes, *, wait_s: float = 60.0) -> bytes:
    """Send bytes on a fresh connection and return all that comes until the other side closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        await writer.drain()
        async with asyncio.timeout(wait_s):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
def raw() -> Callable[..., Awaitable[bytes]]:
    return exchange


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
