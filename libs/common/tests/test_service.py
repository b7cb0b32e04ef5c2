"""The shape of a service, seen from outside."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from edulake.common import service
from edulake.common.bus import Handlers, announce
from edulake.common.bus import log as event_log
from edulake.common.db import Database
from edulake.common.errors import Conflict
from edulake.common.events import RawBatchWithdrawn
from edulake.common.identity import Subject, public
from edulake.common.policy import allow
from edulake.common.service import Resources, create_service, keep_running
from edulake.common.settings import Settings
from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Order(BaseModel):
    amount: int


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/clash", dependencies=[public()])
    def clash() -> None:
        raise Conflict(
            "已存在", "exists already", mend_zh="换一个", mend_en="choose another", where="body.id", id=7
        )

    @router.get("/defect", dependencies=[public()])
    def defect() -> None:
        raise ValueError("310199200001010000")

    @router.post("/orders", dependencies=[public()])
    def order(body: Order) -> int:
        return body.amount

    @router.get("/mine")
    def mine(subject: Annotated[Subject, allow("source", "register")]) -> str:
        return subject.name

    return router


@pytest.fixture
async def client(make_settings: Callable[..., Settings], client_for: Any) -> Any:
    app = create_service(name="catalog", title="t", settings=make_settings(), routers=[routes()])
    async with client_for(app) as client:
        yield client


class TestProblems:
    async def test_says_what_where_and_how_to_mend_in_both_languages(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/clash", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json() == {
            "type": "urn:edulake:problem:conflict",
            "title": "与现有状态冲突 / Conflicts with the present state",
            "status": 409,
            "detail": "已存在 / exists already",
            "mend": "换一个 / choose another",
            "where": "body.id",
            "trace_id": TRACE,
            "id": 7,
        }

    async def test_a_defect_tells_the_trace_and_nothing_else(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/defect")
        assert answer.status_code == 500
        assert answer.json()["trace_id"] == answer.headers["x-trace-id"]
        assert "310199" not in answer.text

    async def test_invalid_input_names_the_field_and_not_the_value(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/orders", json={"amount": "张三"})
        assert answer.status_code == 422
        assert answer.json()["where"] == "body.amount"
        assert "张三" not in answer.text

    async def test_an_unknown_path_is_a_problem_too(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/nowhere")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:edulake:problem:not-found")

    @pytest.mark.parametrize("path", ["/clash/", "/livez/"])
    async def test_another_spelling_of_a_path_is_no_path(self, client: httpx.AsyncClient, path: str) -> None:
        """A redirect would name the host this hop was made to, which callers of the gateway cannot reach."""
        assert (await client.get(path)).status_code == 404

    async def test_a_wrong_method_is_a_problem_too(self, client: httpx.AsyncClient) -> None:
        assert (await client.delete("/clash")).json()["type"] == "urn:edulake:problem:method-not-allowed"


class TestPolicies:
    async def test_an_unsigned_call_is_refused(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/mine")).status_code == 401

    async def test_the_wrong_role_is_refused_with_the_right_one_named(
        self, client: httpx.AsyncClient, as_subject: Any
    ) -> None:
        answer = await client.get("/mine", headers=as_subject("applicant", audience="catalog"))
        assert answer.status_code == 403
        assert "数据治理工程师" in answer.text

    async def test_the_right_role_passes(self, client: httpx.AsyncClient, as_subject: Any) -> None:
        answer = await client.get("/mine", headers=as_subject("steward", audience="catalog", name="李治理"))
        assert answer.json() == "李治理"


class TestHealth:
    async def test_is_live_and_ready(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/livez")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ok", "redis": "ok"}

    async def test_losing_redis_is_told_and_does_not_make_it_unready(
        self, make_settings: Callable[..., Settings], client_for: Any
    ) -> None:
        settings = make_settings(redis_url="unix:///nonexistent.sock")
        app = create_service(name="catalog", title="t", settings=settings, routers=[])
        async with client_for(app) as client:
            assert (await client.get("/readyz")).json()["redis"] == "unreachable"

    async def test_counts_requests_by_route(self, client: httpx.AsyncClient) -> None:
        await client.get("/livez")
        text = (await client.get("/metrics")).text
        assert (
            'edulake_http_requests_total{method="GET",route="/livez",service="catalog",status="200"}' in text
        )


class TestReadingEvents:
    """A service whose reader stands still says so, and since when."""

    @pytest.fixture
    def is_mended(self) -> list[bool]:
        return []

    @pytest.fixture
    def handlers(self, is_mended: list[bool]) -> Handlers:
        async def handle(*_: object) -> None:
            if not is_mended:
                raise ValueError

        return {RawBatchWithdrawn: handle}

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"STUCK_S": 1, "BACKOFF_MS": 3_600_000, "BACKOFF_MAX_MS": 3_600_000}.items():
            monkeypatch.setenv(f"EDULAKE_BUS_{name}", str(value))

    @pytest.fixture
    async def database(self, role_url: Callable[[str], str]) -> AsyncIterator[Database]:
        database = Database(role_url("edulake_catalog"))
        yield database
        await database.close()

    async def announce(self, database: Database) -> None:
        async with database.transaction() as session:
            await announce(session, RawBatchWithdrawn(dataset="d", batch_id="b", source_id="s", by="t"))

    async def ready_when(self, client: httpx.AsyncClient, status: int, words: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                answer = await client.get("/readyz")
                if answer.status_code == status and words in answer.text:
                    found: dict[str, Any] = answer.json()
                    return found
                await asyncio.sleep(0.05)

    async def test_one_that_stands_still_is_not_ready_until_it_moves(
        self,
        make_settings: Callable[..., Settings],
        client_for: Any,
        database: Database,
        handlers: Handlers,
        is_mended: list[bool],
    ) -> None:
        app = create_service(
            name="catalog", title="t", settings=make_settings(), routers=[], handlers=handlers
        )
        async with client_for(app) as client:
            assert (await client.get("/readyz")).json() == {"status": "ok", "redis": "ok"}
            await self.announce(database)
            told = await self.ready_when(client, 503, "events-stuck")
            assert "catalog 有 1 条事件未处理" in told["detail"]
            assert "catalog is 1 events behind" in told["detail"]
            assert "tried 1 times" in told["detail"]
            assert (await client.get("/livez")).status_code == 200, "starting it again would mend nothing"
            is_mended.append(True)
            async with database.transaction() as session:
                await session.execute(text("UPDATE bus.attempt SET next_try_at = now()"))
            told = await self.ready_when(client, 200, "ok")
            assert told == {"status": "ok", "redis": "ok"}

    async def test_it_only_says_so_where_the_settings_want_that(
        self,
        make_settings: Callable[..., Settings],
        client_for: Any,
        database: Database,
        handlers: Handlers,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("EDULAKE_BUS_STUCK_IS_UNREADY", "false")
        app = create_service(
            name="catalog", title="t", settings=make_settings(), routers=[], handlers=handlers
        )
        async with client_for(app) as client:
            await self.announce(database)
            told = await self.ready_when(client, 200, "has not moved for 1 s")
            assert told["status"] == "ok"

    async def test_one_that_fails_at_every_look_is_told_with_its_lag(
        self,
        make_settings: Callable[..., Settings],
        client_for: Any,
        database: Database,
        handlers: Handlers,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As one message once did: the reader never came to tell its lag."""

        async def fail(*_: object) -> None:
            raise ValueError

        monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr(event_log, "due", fail)
        await self.announce(database)
        app = create_service(
            name="catalog", title="t", settings=make_settings(), routers=[], handlers=handlers
        )
        async with client_for(app) as client:
            told = await self.ready_when(client, 200, "consumer")
            assert "failed" in told["background"]
            async with asyncio.timeout(60):
                while (
                    'edulake_bus_lag_events{group="catalog"} 1.0' not in (await client.get("/metrics")).text
                ):
                    await asyncio.sleep(0.05)
            await self.ready_when(client, 503, "events-stuck")

    async def test_a_process_has_time_to_move_what_stood_still_before_it_began(
        self,
        make_settings: Callable[..., Settings],
        client_for: Any,
        database: Database,
        handlers: Handlers,
        postgres_admin_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("EDULAKE_BUS_STUCK_S", "3600")
        await self.announce(database)
        async with database.transaction() as session:
            await event_log.register(session, "catalog", [RawBatchWithdrawn.name])
        admin = Database(postgres_admin_url)
        async with admin.transaction() as session:
            await session.execute(text("UPDATE bus.log SET created_at = now() - interval '2 days'"))
            await session.execute(
                text("UPDATE bus.cursor SET pos = 1, updated_at = now() - interval '1 day'")
            )
        await admin.close()
        app = create_service(
            name="catalog", title="t", settings=make_settings(), routers=[], handlers=handlers
        )
        async with client_for(app) as client:
            told = await self.ready_when(client, 200, "tried 1 times")
            assert "has not moved for 8640" in told["events"], "a day, and it is told"
            app.state.resources.began -= 3601
            await self.ready_when(client, 503, "events-stuck")


class TestBackground:
    async def test_a_task_that_fails_is_started_again(self) -> None:
        stop, tries = asyncio.Event(), []

        async def work() -> None:
            tries.append(1)
            if len(tries) < 2:
                raise OSError
            stop.set()

        await asyncio.wait_for(keep_running("t", work, stop), 60)
        assert len(tries) == 2

    async def test_after_a_healthy_run_the_pauses_are_short_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.05)
        stop, longest_s = asyncio.Event(), 0.8
        runs: list[None] = []
        pauses: list[float] = []

        class Told:
            def exception(self, _event: str, *, again_in_s: float, **_facts: object) -> None:
                pauses.append(again_in_s)

        monkeypatch.setattr(service, "log", Told())

        async def work() -> None:
            runs.append(None)
            if len(runs) == 6:
                stop.set()
                return
            if len(runs) == 5:  # a run that lasts, before it fails too
                await asyncio.sleep(longest_s + 0.1)
            raise OSError

        await asyncio.wait_for(keep_running("t", work, stop, longest_pause_s=longest_s), 60)
        assert pauses == [0.05, 0.1, 0.2, 0.4, 0.05], (
            "slower each time, short again after the run that lasted"
        )

    async def test_no_pause_is_longer_than_the_longest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.01)
        stop, tries = asyncio.Event(), []

        async def work() -> None:
            tries.append(1)
            if len(tries) == 40:  # doubling without a bound would take longer than the world is old
                stop.set()
            raise OSError

        await asyncio.wait_for(keep_running("t", work, stop, longest_pause_s=0.02), 60)

    async def test_a_task_is_told_to_stop_and_awaited(
        self, make_settings: Callable[..., Settings], client_for: Any
    ) -> None:
        ended = []

        async def watch(resources: Resources, stop: asyncio.Event) -> None:
            await stop.wait()
            ended.append(resources.name)

        app = create_service(
            name="catalog", title="t", settings=make_settings(), routers=[], background=[watch]
        )
        async with client_for(app) as client:
            await client.get("/livez")
        assert ended == ["catalog"]
