"""`GET /events/published`: server-sent events (WHATWG HTML, 9.2) of what was published, straight on ASGI.

An event says which dataset has which version, never a row. Datasets of level 3 and above are known only
to who holds a grant for them now. The rights of a connection are asked again every few seconds; a reader
that is too slow is cut with `event: overflow`, and goes on with `Last-Event-ID` where it stopped.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

import orjson
from edulake.common.db import Database
from edulake.common.errors import BadRequest, TooManyRequests, Unavailable
from edulake.common.events import Event, PublishedDatasetUpdated
from edulake.common.telemetry import logger
from edulake.share_gateway.events.hub import Hub, Listener
from edulake.share_gateway.events.settings import StreamLimits
from prometheus_client import Gauge
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

log = logger(__name__)
OPEN = Gauge("edulake_event_streams", "Open streams of published events")
#: Metadata of datasets up to this level is for every authenticated caller.
KNOWN_TO_ALL_LEVEL = 2
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


class Caller(Protocol):
    """Who listens; its rights are asked whenever they matter."""

    @property
    def client_id(self) -> str: ...

    def is_welcome(self) -> bool:
        """False once the token has expired or was revoked, or when nobody can tell."""

    def datasets(self) -> frozenset[str]:
        """The datasets the caller holds a grant for at this moment."""


class SlowReaderError(Exception):
    """What was sent was not taken within the time allowed."""


class PublishedEvents:
    """All event streams of one process."""

    def __init__(self, database: Database, limits: StreamLimits | None = None) -> None:
        self._limits = limits or StreamLimits()
        self._hub = Hub(database, self._limits)
        self._open: Counter[str] = Counter()

    async def stream(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Answer one connection until it ends. Before the first byte it may raise BadRequest (400),
        PositionGone (410), TooManyRequests (429) or Unavailable (503)."""
        after = _last_event_id(scope)
        listener = Listener(self._limits.buffer_events, is_live=not after)
        async with self._counted(caller.client_id), self._hub.listening(listener):
            talk = _Talk(self._limits, send, caller, listener)
            missed = self._hub.missed(listener, after) if after else _nothing()
            first = await anext(missed, None)  # raises PositionGone while a problem can still be answered
            talking = asyncio.create_task(talk.run(first, missed), name="event stream")
            leaving = asyncio.create_task(_until_gone(receive), name="event stream reader")
            try:
                await asyncio.wait((talking, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (talking, leaving):
                    task.cancel()
                ends = await asyncio.gather(talking, leaving, return_exceptions=True)
        _report(ends[0])

    @asynccontextmanager
    async def _counted(self, client_id: str) -> AsyncIterator[None]:
        if self._open.total() >= self._limits.connections_max:
            raise Unavailable("事件连接已满", "too many event streams are open", mend_zh="稍后重试")
        if self._open[client_id] >= self._limits.client_connections_max:
            raise TooManyRequests(
                "该应用的事件连接过多",
                "this client has too many event streams",
                headers={"Retry-After": "30"},
            )
        self._open[client_id] += 1
        OPEN.inc()
        try:
            yield
        finally:
            self._open[client_id] -= 1
            if not self._open[client_id]:
                del self._open[client_id]
            OPEN.dec()


class _Talk:
    """What is written on one connection."""

    def __init__(self, limits: StreamLimits, send: Send, caller: Caller, listener: Listener) -> None:
        self._limits = limits
        self._send = send
        self._caller = caller
        self._listener = listener

    async def run(self, first: Event | None, missed: AsyncIterator[Event]) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await self._write(b"retry: %d\n\n: connected\n\n" % self._limits.retry_ms)
        if first is not None:
            await self._tell(first)
        async for event in missed:
            if not self._caller.is_welcome():
                break
            await self._tell(event)
        reason = await self._live()
        await self._write(b"event: %b\ndata: %b\n\n" % (reason[0].encode(), orjson.dumps(reason[1])))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _live(self) -> tuple[str, dict[str, str]]:
        """Tell events until the caller is no longer welcome or too slow; the words to end with."""
        clock = asyncio.get_running_loop()
        wrote_at = clock.time()
        while self._caller.is_welcome():
            if self._listener.is_cut:
                return "overflow", {
                    "detail": "读取过慢，请以 Last-Event-ID 重新连接 / too slow: reconnect with Last-Event-ID"
                }
            wait_s = min(self._limits.recheck_s, max(0.0, wrote_at + self._limits.heartbeat_s - clock.time()))
            event = await self._listener.next(wait_s)
            if event is not None and self._caller.is_welcome():
                wrote_at = clock.time() if await self._tell(event) else wrote_at
            elif clock.time() - wrote_at >= self._limits.heartbeat_s:
                await self._write(b": heartbeat\n\n")
                wrote_at = clock.time()
        return "goodbye", {"detail": "令牌已失效 / the token is no longer valid"}

    async def _tell(self, event: Event) -> bool:
        """Write an event if the caller may know of it."""
        if event.name != PublishedDatasetUpdated.name:
            return False
        try:
            facts = PublishedDatasetUpdated.model_validate(event.data)
        except ValidationError:
            log.error("published event not readable", event_id=str(event.event_id))
            return False
        if facts.level > KNOWN_TO_ALL_LEVEL and facts.dataset not in self._caller.datasets():
            return False
        body = orjson.dumps(facts.model_dump(mode="json"))
        await self._write(
            b"id: %b\nevent: %b\ndata: %b\n\n" % (str(event.event_id).encode(), facts.name.encode(), body)
        )
        return True

    async def _write(self, body: bytes) -> None:
        message = {"type": "http.response.body", "body": body, "more_body": True}
        try:
            await asyncio.wait_for(self._send(message), self._limits.write_timeout_s)
        except TimeoutError:
            raise SlowReaderError from None


def _last_event_id(scope: Scope) -> str:
    found = [value for name, value in scope["headers"] if name == b"last-event-id"]
    if not found:
        return ""
    try:
        return str(UUID(found[0].decode("ascii"))) if len(found) == 1 else str(UUID(""))
    except ValueError:
        raise BadRequest(
            "Last-Event-ID 不是事件编号",
            "Last-Event-ID is not the id of an event",
            mend_zh="去掉该请求头重新订阅",
            mend_en="subscribe again without the header",
            where="header.Last-Event-ID",
        ) from None


async def _nothing() -> AsyncIterator[Event]:
    """The stream of a caller that missed nothing."""
    for event in list[Event]():
        yield event


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _report(end: object) -> None:
    if isinstance(end, SlowReaderError):
        log.info("event stream cut", reason="the reader takes nothing")
    elif isinstance(end, Exception):
        raise end
