"""Real gateway processes, the real engine, real stores: `python -m edulake.share_gateway`."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import orjson
import polars as pl
import pytest
from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.events import AccessTokenRevoked
from edulake.common.standards import Standards
from edulake.share_gateway.engine import serving
from edulake.share_gateway.listening import listen
from edulake.share_gateway.publication import loader

Give = Callable[..., Awaitable[Any]]
NewPort = Callable[[], int]
pytestmark = pytest.mark.timeout(
    300
)  # every start of a process costs seconds, on a busy machine ten times as many
CALL = "/share/v1/schools?district=310115&limit=2"


@pytest.fixture
def new_port() -> Iterator[Callable[[], int]]:
    """`new_port()` → a port that only the processes of this test listen on; it is held, but not listened on."""
    held: list[socket.socket] = []

    def hold() -> int:
        held.append(listen("127.0.0.1", 0))
        return int(held[-1].getsockname()[1])

    yield hold
    for each in held:
        each.close()


@pytest.fixture
async def schools(role_url: Any, standards: Standards) -> None:
    """Nine schools of one district, served as version 1."""
    contract = standards.datasets["school_base"]
    columns = serving.served_columns(contract)
    rows = [
        {
            "school_key": f"S{number:016x}",
            "school_code": f"{990000 + number}",
            "school_name": f"第{number}中学",
            "district_code": "310115",
            "stage": "3",
            "office": "11",
            "boarding": "NONE",
        }
        for number in range(1, 10)
    ]
    ready = loader.serving_rows(pl.DataFrame(rows), contract)
    connection = await asyncpg.connect(role_url("edulake_gateway"))
    async with connection.transaction():
        await connection.execute(serving.create_table("school_base", 1, columns))
        await connection.copy_records_to_table(
            "school_base__v1", schema_name="published", columns=ready.columns, records=ready.rows()
        )
        await connection.execute(
            """INSERT INTO gateway.publication (dataset, version, governed_version, batch_id, title, row_count,
            content_digest, level, columns, protection, is_current, published_at, current_by)
            VALUES ('school_base', 1, 1, 'b', 't', 9, 'd', 1, $1::json, $2::json, true, now(), 'test')""",
            orjson.dumps(columns).decode(),
            orjson.dumps(serving.served_protection(contract)).decode(),
        )
    await connection.close()


class Load:
    """Callers that call without a pause, on connections they keep and on new ones. `failed` says what went wrong."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url, self.headers = url, headers
        self.answered = 0
        self.failed: list[str] = []

    async def more(self, calls: int) -> None:
        """Return when so many more calls were answered, or one failed."""
        wanted = self.answered + calls
        while self.answered < wanted and not self.failed:
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self, *, keeping: int, connecting: int) -> AsyncIterator[None]:
        stop = asyncio.Event()
        callers = [self._keep(stop) for _ in range(keeping)] + [
            self._connect(stop) for _ in range(connecting)
        ]
        tasks = [asyncio.create_task(caller) for caller in callers]
        yield
        stop.set()
        await asyncio.gather(*tasks)

    async def _keep(self, stop: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=90) as http:
            while not stop.is_set():
                await self._call(http)

    async def _connect(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            async with httpx.AsyncClient(timeout=90) as http:
                await self._call(http)

    async def _call(self, http: httpx.AsyncClient) -> None:
        try:
            answer = await http.get(self.url, headers=self.headers)
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return
        self.answered += 1
        if answer.status_code != 200:
            self.failed.append(answer.text)


@asynccontextmanager
async def process(
    settings: Any, port: int, *, own_port: int = 0, drain_s: float = 1, shutdown_s: int = 5
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One gateway process on a port, ready; ended by SIGTERM."""
    told = {
        "EDULAKE_PORT": str(port),
        "EDULAKE_OWN_PORT": str(own_port),
        "EDULAKE_DRAIN_S": str(drain_s),
        "EDULAKE_PUBLIC_URL": settings.issuer,
        "EDULAKE_HOME": str(settings.home),
        "EDULAKE_DATABASE_URL": settings.database_url,
        "EDULAKE_REDIS_URL": settings.redis_url,
        "EDULAKE_AUTH_URL": settings.auth_url,
        "EDULAKE_SHUTDOWN_TIMEOUT_S": str(shutdown_s),
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edulake.share_gateway", env={**os.environ, **told}
    )
    try:
        await _ready(own_port or port, running)
        yield running
    finally:
        if running.returncode is None:
            running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 60) in (0, -signal.SIGTERM)


async def _ready(port: int, running: asyncio.subprocess.Process) -> None:
    async with httpx.AsyncClient(timeout=90) as http:
        for _ in range(900):
            assert running.returncode is None, "the process ended at its start"
            try:
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("the process did not become ready")


async def _closed(port: int) -> None:
    """Return when nobody listens on the port any more."""
    while True:
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
        except ConnectionRefusedError:
            return
        except TimeoutError:
            continue


class TestTwoProcesses:
    async def test_answer_with_real_rows_and_know_a_revocation(
        self,
        settings: Any,
        schools: None,
        give: Give,
        issuer: Any,
        role_url: Any,
        new_port: NewPort,
        record_property: Callable[[str, object], None],
    ) -> None:
        """P4; the seconds seen stand in the test report."""
        grant = await give()
        await give("other")
        stolen = issuer.bearer("other", jti="stolen")
        ports = (new_port(), new_port())
        catalog, auth = Database(role_url("edulake_catalog")), Database(role_url("edulake_auth"))
        async with (
            process(settings, ports[0]),
            process(settings, ports[1]),
            httpx.AsyncClient(timeout=90) as http,
        ):

            async def status(port: int, headers: dict[str, str]) -> int:
                return (await http.get(f"http://127.0.0.1:{port}{CALL}", headers=headers)).status_code

            for port in ports:
                answer = await http.get(f"http://127.0.0.1:{port}{CALL}", headers=issuer.bearer())
                assert answer.status_code == 200, answer.text
                assert [row["district_code"] for row in answer.json()["data"]] == ["310115"] * 2
                assert await status(port, stolen) == 200
            began = time.monotonic()
            async with catalog.transaction() as session:
                await announce(session, grant.model_copy(update={"status": "revoked", "change": "revoked"}))
            async with auth.transaction() as session:
                expires = now() + timedelta(hours=1)
                await announce(session, AccessTokenRevoked(jti="stolen", before=now(), expires_at=expires))
            waiting = {(port, kind) for port in ports for kind in ("grant", "token")}
            while waiting:
                assert time.monotonic() - began < 60, waiting
                for port in ports:
                    if await status(port, issuer.bearer()) == 403:
                        waiting.discard((port, "grant"))
                    if await status(port, stolen) == 401:
                        waiting.discard((port, "token"))
                await asyncio.sleep(0.05)
            record_property("refused_by_both_after_s", round(time.monotonic() - began, 2))
        await catalog.close()
        await auth.close()

    async def test_share_one_port_and_one_ends_under_load_without_the_callers_noticing(
        self, settings: Any, schools: None, give: Give, issuer: Any, new_port: NewPort
    ) -> None:
        await give()
        port = new_port()
        load = Load(f"http://127.0.0.1:{port}{CALL}", issuer.bearer())
        async with (
            process(settings, port),
            process(settings, port) as second,
            load.running(keeping=4, connecting=4),
        ):
            await load.more(200)
            second.send_signal(signal.SIGTERM)
            await asyncio.wait_for(second.wait(), 60)
            await load.more(200)
        assert load.failed == []


class TestOwnPort:
    """Each of several processes also answers on a port of its own."""

    async def test_shows_its_readiness_and_metrics_there_and_no_metrics_on_the_shared_port(
        self, settings: Any, new_port: NewPort
    ) -> None:
        port, own = new_port(), (new_port(), new_port())
        async with (
            process(settings, port, own_port=own[0]) as first,
            process(settings, port, own_port=own[1]),
            httpx.AsyncClient(timeout=90) as http,
        ):
            told = [await http.get(f"http://127.0.0.1:{each}/metrics") for each in own]
            started = [
                re.search(r"^process_start_time_seconds \S+", answer.text, re.MULTILINE) for answer in told
            ]
            assert all(started)
            assert started[0][0] != started[1][0], "two processes"
            shared = await http.get(f"http://127.0.0.1:{port}/metrics")
            assert shared.status_code == 404
            assert "port of its own" in shared.json()["detail"]
            first.send_signal(signal.SIGTERM)
            await first.wait()
            with pytest.raises(httpx.ConnectError):
                await http.get(f"http://127.0.0.1:{own[0]}/readyz")
            assert (await http.get(f"http://127.0.0.1:{own[1]}/readyz")).status_code == 200


class TestOneProcess:
    async def test_a_kept_connection_may_ask_once_more_after_sigterm(
        self, settings: Any, schools: None, give: Give, issuer: Any, new_port: NewPort
    ) -> None:
        await give()
        port = new_port()
        url = f"http://127.0.0.1:{port}"
        async with process(settings, port, drain_s=60) as running, AsyncExitStack() as stack:
            kept, probe = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=90)) for _ in range(2)
            ]
            assert (await kept.get(CALL, headers=issuer.bearer())).status_code == 200
            await probe.get("/livez")
            running.send_signal(signal.SIGTERM)
            while (told := await probe.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.02)
            assert told.json()["type"] == "urn:edulake:problem:stopping"
            await _closed(port)
            last = await kept.get(CALL, headers=issuer.bearer())
            assert (last.status_code, last.headers["connection"]) == (200, "close")
            # nobody is left, so it does not wait for its sixty seconds
            await asyncio.wait_for(running.wait(), 45)

    async def test_an_open_event_stream_does_not_hold_up_the_end(
        self, settings: Any, issuer: Any, new_port: NewPort
    ) -> None:
        port = new_port()
        async with process(settings, port, shutdown_s=90) as running, httpx.AsyncClient(timeout=90) as http:
            async with http.stream(
                "GET", f"http://127.0.0.1:{port}/events/published", headers=issuer.bearer()
            ) as stream:
                assert stream.status_code == 200
                assert stream.headers["content-type"].startswith("text/event-stream")
                assert stream.headers["x-trace-id"]
                lines = stream.aiter_lines()
                await anext(lines)
                running.send_signal(signal.SIGTERM)
                said = [line async for line in lines]
            await asyncio.wait_for(
                running.wait(), 60
            )  # it has ninety seconds for what does not end by itself
            assert "event: goodbye" in said

    async def test_counts_of_the_last_second_are_written_at_the_end(
        self,
        settings: Any,
        schools: None,
        give: Give,
        issuer: Any,
        postgres_admin_url: str,
        new_port: NewPort,
    ) -> None:
        await give()
        port = new_port()
        async with process(settings, port), httpx.AsyncClient(timeout=90) as http:
            for _ in range(7):
                answer = await http.get(f"http://127.0.0.1:{port}{CALL}", headers=issuer.bearer())
                assert answer.status_code == 200
        connection = await asyncpg.connect(postgres_admin_url)
        assert await connection.fetchval("SELECT sum(calls) FROM gateway.audit WHERE status = 200") == 7
        await connection.close()
