"""One look at the event log for all connections of a process, and what each of them has still to be sent.

The hub reads while somebody listens and rests otherwise. A listener that asks for what it missed reads
the log by itself until it has caught up with the hub, and joins it in that same moment: nothing is left
out, and what it saw already is recognised by its id.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from edulake.common.bus import log as event_log
from edulake.common.db import Database
from edulake.common.errors import Unavailable
from edulake.common.events import Event
from edulake.common.service import keep_running
from edulake.common.telemetry import logger
from edulake.share_gateway.events.settings import StreamLimits
from sqlalchemy.exc import SQLAlchemyError

log = logger(__name__)
TOPICS = ("published",)
REMEMBERED_IDS = 1000


class Listener:
    """The events that wait for one connection.

    `is_live`: it has caught up and takes what the hub reads; `is_cut`: too many waited, it is given up.
    """

    def __init__(self, limit_events: int, *, is_live: bool) -> None:
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(limit_events)
        self._seen: deque[UUID] = deque(maxlen=REMEMBERED_IDS)
        self.is_live = is_live
        self.is_cut = False

    def offer(self, event: Event) -> None:
        """Keep an event for the connection, unless it reads by itself, has had it, or is too slow."""
        if not self.is_live or self.is_cut or event.event_id in self._seen:
            return
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            self.is_cut = True

    def has_had(self, event: Event) -> None:
        """Note an event that the connection was sent from the log."""
        self._seen.append(event.event_id)

    async def next(self, timeout_s: float) -> Event | None:
        """The next event, or None when none came in time."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(self._waiting.get(), timeout_s)
        return None


class Hub:
    """Reads `bus.log` while there are listeners."""

    def __init__(self, database: Database, limits: StreamLimits) -> None:
        self._database = database
        self._limits = limits
        self._listeners: set[Listener] = set()
        self._at = 0
        self._reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self, listener: Listener) -> AsyncIterator[None]:
        """Offer events to the listener for as long as the block lasts, from this moment on."""
        self._listeners.add(listener)
        try:
            if self._reading is None:
                self._at = await event_log.position_of(self._database, None)
            if self._reading is None:  # another listener may have begun meanwhile
                kept = keep_running("published events", self._read, asyncio.Event(), longest_pause_s=1.0)
                self._reading = asyncio.create_task(kept, name="published events")
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._reading is not None:
                reading, self._reading = self._reading, None
                reading.cancel()

    async def missed(self, listener: Listener, after: str) -> AsyncIterator[Event]:
        """Everything after the event of that id; at its end the listener is live. PositionGone (410)."""
        at = await event_log.position_of(self._database, UUID(after))
        while True:
            page = await self._page(at)
            for event in page.events:
                listener.has_had(event)
                yield event
            at = page.pos
            if at >= self._at:  # nothing is awaited between this look and joining the hub
                listener.is_live = True
                return

    async def _read(self) -> None:
        while True:
            try:
                page = await self._page(self._at)
            except (Unavailable, SQLAlchemyError, OSError) as error:
                log.warning("published events not read", error=type(error).__name__)
                await asyncio.sleep(1)
                continue
            for event in page.events:
                for listener in tuple(self._listeners):
                    listener.offer(event)
            self._at = page.pos
            if not page.is_full:
                await asyncio.sleep(self._limits.poll_ms / 1000)

    async def _page(self, after: int) -> event_log.Page:
        async with self._database.transaction() as session:
            return await event_log.read_after(session, after, TOPICS, self._limits.page_events)
