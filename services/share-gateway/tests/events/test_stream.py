"""The stream of published events: who hears what, resuming, slow readers, ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from edulake.common.bus import announce
from edulake.common.bus.log import PositionGone
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.errors import BadRequest, TooManyRequests, Unavailable
from edulake.common.events import GovernedDatasetReady, PublishedDatasetUpdated
from edulake.share_gateway.events.hub import Hub
from edulake.share_gateway.events.settings import StreamLimits
from edulake.share_gateway.events.stream import PublishedEvents

QUICK = StreamLimits(poll_ms=20, heartbeat_s=0.3, recheck_s=0.1, retry_ms=100)


class Caller:
    """Somebody with a token and perhaps grants."""

    def __init__(self, *datasets: str, client_id: str = "app") -> None:
        self.client_id = client_id
        self.granted = frozenset(datasets)
        self.welcome = True

    def is_welcome(self) -> bool:
        return self.welcome

    def datasets(self) -> frozenset[str]:
        return self.granted


class Connection:
    """One listener: runs the stream and parses what it writes."""

    def __init__(self, events: PublishedEvents, caller: Caller, headers: list[tuple[bytes, bytes]]) -> None:
        self.gone = asyncio.Event()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.raw = b""
        self.is_finished = False
        self.blocked: asyncio.Event | None = None
        scope = {"type": "http", "method": "GET", "path": "/events/published", "headers": headers}
        self.task = asyncio.create_task(events.stream(scope, self._receive, self._send, caller))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        if self.blocked is not None:
            await self.blocked.wait()
        self.raw += message["body"]
        self.is_finished = not message["more_body"]

    @property
    def blocks(self) -> list[dict[str, str]]:
        found = [
            dict(line.split(": ", 1) for line in block.splitlines())
            for block in self.raw.decode().split("\n\n")
        ]
        return [block for block in found if "data" in block]

    @property
    def versions(self) -> list[int]:
        return [orjson.loads(b["data"])["version"] for b in self.blocks if b["event"].startswith("published")]

    async def until(self, condition: Any, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                if self.task.done():
                    self.task.result()
                    assert condition(), self.raw
                await asyncio.sleep(0.01)

    async def leave(self) -> None:
        self.gone.set()
        await self.task


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url.replace("{role}", "edulake_gateway"), pool_size=5)
    yield found
    await found.close()


@pytest.fixture
def say(database: Database) -> Any:
    """`await say(version, dataset=…, level=…)` announces a publication; its event id."""

    async def tell(version: int, *, dataset: str = "school_base", level: int = 1, batch: str = "b1") -> str:
        facts = PublishedDatasetUpdated(
            dataset=dataset, title="学校", version=version, governed_version=version, batch_id=batch, row_count=3,
            content_digest="d", level=level, published_at=now(),
        )  # fmt: skip
        async with database.transaction() as session:
            return str((await announce(session, facts)).event_id)

    return tell


@pytest.fixture
async def listen(database: Database) -> AsyncIterator[Any]:
    """`await listen(caller, last_event_id=…, limits=…)` → a connection that has been answered."""
    hubs: dict[StreamLimits, PublishedEvents] = {}
    opened: list[Connection] = []

    async def connect(
        caller: Caller | None = None, *, last_event_id: str | None = None, limits: StreamLimits = QUICK
    ) -> Connection:
        events = hubs.setdefault(limits, PublishedEvents(database, limits))
        headers = [] if last_event_id is None else [(b"last-event-id", last_event_id.encode())]
        connection = Connection(events, caller or Caller(), headers)
        opened.append(connection)
        await connection.until(lambda: b"connected" in connection.raw)
        return connection

    yield connect
    for connection in opened:
        connection.gone.set()
        if connection.blocked is not None:
            connection.blocked.set()
    await asyncio.gather(*(connection.task for connection in opened), return_exceptions=True)


class TestListening:
    async def test_an_event_arrives_with_its_id_and_facts(self, listen: Any, say: Any) -> None:
        connection = await listen()
        event_id = await say(7)
        await connection.until(lambda: connection.versions == [7])
        [block] = connection.blocks
        assert block["id"] == event_id
        assert block["event"] == "published.dataset.updated.v1"
        assert orjson.loads(block["data"]).keys() == PublishedDatasetUpdated.model_fields.keys()
        assert connection.status == 200
        assert connection.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert b"retry: 100\n" in connection.raw

    async def test_what_was_before_is_not_told(self, listen: Any, say: Any) -> None:
        await say(1)
        connection = await listen()
        await say(2)
        await connection.until(lambda: connection.versions == [2])

    async def test_an_unforeseen_error_does_not_silence_the_stream(
        self, listen: Any, say: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = await listen()
        page, told = Hub._page, asyncio.Event()

        async def fail_once(self: Hub, after: int) -> Any:
            if not told.is_set():
                told.set()
                raise RuntimeError("a defect of ours")
            return await page(self, after)

        monkeypatch.setattr(Hub, "_page", fail_once)
        await asyncio.wait_for(told.wait(), 60)
        await say(7)
        await connection.until(lambda: connection.versions == [7])

    async def test_everybody_hears_everything_once_in_order(self, listen: Any, say: Any) -> None:
        connections = [await listen(Caller(client_id=f"app{n}")) for n in range(5)]
        for version in range(1, 31):
            await say(version)
        for connection in connections:
            await connection.until(lambda c=connection: len(c.versions) == 30)
            assert connection.versions == list(range(1, 31))

    async def test_other_events_are_not_told(self, listen: Any, say: Any, database: Database) -> None:
        connection = await listen()
        async with database.transaction() as session:
            await announce(
                session,
                GovernedDatasetReady(
                    dataset="school_base",
                    version=1,
                    batch_id="b",
                    row_count=1,
                    content_digest="d",
                    level=1,
                    quality=1.0,
                ),
            )
        await say(2)
        await connection.until(lambda: connection.versions == [2])
        assert len(connection.blocks) == 1

    async def test_silence_is_broken_by_heart_beats(self, listen: Any) -> None:
        connection = await listen()
        await connection.until(lambda: connection.raw.count(b": heartbeat\n\n") >= 3)


class TestRights:
    async def test_personal_datasets_are_known_to_who_holds_a_grant(self, listen: Any, say: Any) -> None:
        nobody, holder = await listen(Caller()), await listen(Caller("student_base"))
        await say(1, dataset="student_base", level=4)
        await say(2, dataset="senior_quota", level=2)
        await say(3, dataset="teacher_base", level=3)
        await say(4)
        await nobody.until(lambda: nobody.versions[-1:] == [4])
        await holder.until(lambda: holder.versions[-1:] == [4])
        assert nobody.versions == [2, 4]
        assert holder.versions == [1, 2, 4]
        assert b"student" not in nobody.raw

    async def test_a_grant_taken_away_counts_at_once(self, listen: Any, say: Any) -> None:
        caller = Caller("student_base")
        connection = await listen(caller)
        await say(1, dataset="student_base", level=4)
        await connection.until(lambda: connection.versions == [1])
        caller.granted = frozenset()
        await say(2, dataset="student_base", level=4)
        await say(3)
        await connection.until(lambda: connection.versions == [1, 3])

    async def test_the_same_holds_for_what_was_missed(self, listen: Any, say: Any) -> None:
        first = await say(1)
        await say(2, dataset="student_base", level=4)
        await say(3)
        connection = await listen(last_event_id=first)
        await connection.until(lambda: connection.versions == [3])

    async def test_a_token_no_longer_good_ends_the_stream_with_words(self, listen: Any, say: Any) -> None:
        caller = Caller()
        connection = await listen(caller)
        caller.welcome = False
        await say(1)
        await connection.until(lambda: connection.is_finished)
        assert [block["event"] for block in connection.blocks] == ["goodbye"]
        await connection.task


class TestResuming:
    async def test_what_was_missed_is_told_once_and_then_what_comes(self, listen: Any, say: Any) -> None:
        ids = [await say(version) for version in range(1, 6)]
        others = await listen()
        connection = await listen(last_event_id=ids[1])
        await say(6)
        await connection.until(lambda: connection.versions[-1:] == [6])
        assert connection.versions == [3, 4, 5, 6]
        assert others.versions == [6]

    async def test_nothing_is_lost_or_doubled_when_events_come_while_resuming(
        self, listen: Any, say: Any
    ) -> None:
        small = QUICK.model_copy(update={"page_events": 3})
        await listen(limits=small)
        first = await say(0)
        for version in range(1, 20):
            await say(version)

        async def keep_saying() -> None:
            for version in range(20, 60):
                await say(version)

        saying = asyncio.create_task(keep_saying())
        connections = [
            await listen(Caller(client_id=f"app{n}"), last_event_id=first, limits=small) for n in range(5)
        ]
        await saying
        for connection in connections:
            await connection.until(lambda c=connection: len(c.versions) >= 59)
            assert connection.versions == list(range(1, 60))

    async def test_an_event_no_longer_kept_is_said_so(self, listen: Any) -> None:
        with pytest.raises(PositionGone) as caught:
            await listen(last_event_id="018f3a7e-7c1b-7cc3-8888-000000000000")
        assert caught.value.status == 410

    @pytest.mark.parametrize("value", ["", "x", "1", "'; DROP TABLE bus.log; --", "9" * 400, "018f3a7e"])
    async def test_what_is_no_event_id_is_refused(self, value: str, listen: Any) -> None:
        with pytest.raises(BadRequest):
            await listen(last_event_id=value)


class TestSlowReaders:
    async def test_a_reader_that_falls_behind_is_cut_and_can_resume(self, listen: Any, say: Any) -> None:
        narrow = QUICK.model_copy(update={"buffer_events": 5, "write_timeout_s": 3600.0})
        slow, quick = await listen(limits=narrow), await listen(limits=narrow)
        slow.blocked = asyncio.Event()
        for version in range(1, 21):
            await say(version)
            await quick.until(lambda v=version: quick.versions[-1:] == [v])
        slow.blocked.set()
        await slow.until(lambda: slow.is_finished)
        assert slow.blocks[-1]["event"] == "overflow"
        heard = slow.versions
        assert heard == list(range(1, len(heard) + 1))
        assert len(heard) < 20
        again = await listen(last_event_id=slow.blocks[-2]["id"], limits=narrow)
        await again.until(lambda: again.versions[-1:] == [20])
        assert heard + again.versions == list(range(1, 21))

    async def test_a_reader_that_takes_nothing_is_dropped(self, listen: Any, say: Any) -> None:
        impatient = QUICK.model_copy(update={"write_timeout_s": 0.2})
        connection = await listen(limits=impatient)
        connection.blocked = asyncio.Event()
        await say(1)
        async with asyncio.timeout(60):
            await connection.task


class TestLimits:
    async def test_streams_of_a_client_and_of_the_process_are_bounded(self, listen: Any) -> None:
        narrow = QUICK.model_copy(update={"client_connections_max": 2, "connections_max": 3})
        first = await listen(limits=narrow)
        await listen(limits=narrow)
        with pytest.raises(TooManyRequests):
            await listen(limits=narrow)
        await listen(Caller(client_id="other"), limits=narrow)
        with pytest.raises(Unavailable):
            await listen(Caller(client_id="third"), limits=narrow)
        await first.leave()
        await listen(limits=narrow)

    async def test_the_log_is_not_read_when_nobody_listens(
        self, listen: Any, say: Any, database: Database
    ) -> None:
        connection = await listen()
        await say(1)
        await connection.until(lambda: connection.versions == [1])
        await connection.leave()
        async with asyncio.timeout(60):
            while [task for task in asyncio.all_tasks() if task.get_name() == "published events"]:
                await asyncio.sleep(0.01)
        await say(2)
        again = await listen()
        await say(3)
        await again.until(lambda: again.versions == [3])
