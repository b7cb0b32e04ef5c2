"""One event, one group, one effect: the inbox, the tries and the dead letter, the same for every adapter."""

import asyncio
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edulake.common import faults
from edulake.common.bus import metrics
from edulake.common.bus.limits import BusLimits
from edulake.common.bus.message import UNREADABLE, Message, Unreadable, unfit, written
from edulake.common.bus.port import Handler, Handlers
from edulake.common.db import Database
from edulake.common.events import Event, EventData, topic_of
from edulake.common.telemetry import adopt_trace, logger
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from edulake.common.service import Resources

log = logger(__name__)

# Losing the last tries with the server's crash is fine; losing them with this process's is not.
_FAST = text("SET LOCAL synchronous_commit = off")
_BEGIN = text(
    """WITH begun AS (
        INSERT INTO bus.attempt AS a (consumer, event_id, key, tries, next_try_at)
        SELECT :consumer, :event_id, :key, 1, now()
        WHERE NOT EXISTS (SELECT FROM bus.inbox WHERE consumer = :consumer AND event_id = :event_id)
        ON CONFLICT (consumer, event_id) DO UPDATE SET tries = a.tries + 1 WHERE a.next_try_at <= now()
        RETURNING tries)
    SELECT (SELECT tries FROM begun) AS tries,
        (SELECT next_try_at FROM bus.attempt
         WHERE consumer = :consumer AND event_id = :event_id AND next_try_at > now()) AS waits"""
)
_SETTLE = text(
    "INSERT INTO bus.inbox (consumer, event_id) VALUES (:consumer, :event_id) "
    "ON CONFLICT DO NOTHING RETURNING true"
)
_END = text("DELETE FROM bus.attempt WHERE consumer = :consumer AND event_id = :event_id")
_WAIT = text(
    "UPDATE bus.attempt SET next_try_at = now() + make_interval(secs => :seconds) "
    "WHERE consumer = :consumer AND event_id = :event_id RETURNING next_try_at"
)
_BURY = text(
    """INSERT INTO bus.dead_letter AS d (consumer, event_id, name, key, event, reason, tries, state)
    VALUES (:consumer, :event_id, :name, :key, CAST(:event AS jsonb), :reason, :tries, 'dead')
    ON CONFLICT (consumer, event_id) DO UPDATE
    SET reason = excluded.reason, tries = excluded.tries, state = 'dead', updated_at = now()"""
)


class Delivery:
    """Delivers events to the handlers of one group."""

    def __init__(
        self, database: Database, group: str, handlers: Handlers, resources: "Resources", limits: BusLimits
    ) -> None:
        self.database = database
        self.group = group
        self.limits = limits
        self._resources = resources
        self._handlers = {kind.name: (kind, handler) for kind, handler in handlers.items()}

    @property
    def names(self) -> list[str]:
        return sorted(self._handlers)

    @property
    def topics(self) -> list[str]:
        return sorted({topic_of(name) for name in self._handlers})

    async def deliver(self, message: Message) -> datetime | None:
        """Settle a message: None when it is settled, else the moment before which not to try again.

        Raises only when the database is lost; everything a handler does wrong is counted and recorded, and
        what cannot be read is a dead letter at once.
        """
        if message.name not in self._handlers and message.name != UNREADABLE:
            return None
        if isinstance(message, Unreadable):
            await self._bury(message, 1, message.reason)
            return None
        return await self._begin(message)

    async def _begin(self, event: Event) -> datetime | None:
        async with self.database.transaction() as session:
            await session.execute(_FAST)
            state = (await session.execute(_BEGIN, {**self._id(event), "key": event.key})).one()
        if state.tries is None:  # settled already (no moment), or waiting for its moment
            waits: datetime | None = state.waits
            return waits
        if state.tries > self.limits.tries:
            await self._bury(event, state.tries - 1, "the process ended while it handled the event")
            return None
        return await self._try(event, state.tries)

    async def _try(self, event: Event, tries: int) -> datetime | None:
        adopt_trace(event.trace_id)
        kind, handler = self._handlers[event.name]
        try:
            facts = kind.model_validate(event.data)
        except Exception as error:  # noqa: BLE001 - a field's own validator may raise anything
            await self._bury(event, tries, _describe_unfit(error, kind))  # will never be readable
            return None
        try:
            async with asyncio.timeout(self.limits.handler_timeout_s):
                await self._handle(event, handler, facts)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is one failed try
            # When the database is gone, recording the try raises, and the reader starts again.
            if tries < self.limits.tries:
                return await self._wait(event, tries, describe(error))
            await self._bury(event, tries, describe(error))
            return None
        await faults.point("bus.after_commit")
        metrics.DELIVERIES.labels(self.group, event.name, "done").inc()
        return None

    async def _handle(self, event: Event, handler: Handler, facts: EventData) -> None:
        async with self.database.transaction() as session:
            if await self._settle(session, event):
                await handler(session, facts, event, self._resources)
                await faults.point("bus.before_commit")

    async def _settle(self, session: AsyncSession, event: Message) -> bool:
        """Claim the event for this transaction; False when it is settled already."""
        await session.execute(_END, self._id(event))
        return bool(await session.scalar(_SETTLE, self._id(event)))

    async def _wait(self, event: Event, tries: int, reason: str) -> datetime | None:
        seconds = self.limits.backoff_s(tries)
        async with self.database.transaction() as session:
            until: datetime | None = await session.scalar(_WAIT, {**self._id(event), "seconds": seconds})
        self._record("again", event, tries, reason)
        return until

    async def _bury(self, event: Message, tries: int, reason: str) -> None:
        letter: dict[str, Any] = {
            **self._id(event),
            "name": event.name,
            "key": event.key,
            "event": written(event),
            "reason": reason,
            "tries": tries,
        }
        async with self.database.transaction() as session:
            if not await self._settle(session, event):
                return
            await session.execute(_BURY, letter)
        self._record("dead", event, tries, reason)

    def _id(self, event: Message) -> dict[str, Any]:
        return {"consumer": self.group, "event_id": event.event_id}

    def _record(self, outcome: str, event: Message, tries: int, reason: str) -> None:
        metrics.DELIVERIES.labels(self.group, event.name, outcome).inc()
        facts = {"group": self.group, "event_name": event.name, "event_id": str(event.event_id)}
        write = log.error if outcome == "dead" else log.warning
        write("event not handled", outcome=outcome, tries=tries, reason=reason, **facts)


def _describe_unfit(error: Exception, kind: type[EventData]) -> str:
    if isinstance(error, ValidationError):
        return f"{type(error).__name__}: {unfit(error, kind.model_fields)}"
    return describe(error)


def describe(error: BaseException) -> str:
    """What failed and where, without the message, which may repeat values of people."""
    code = getattr(getattr(error, "orig", None), "sqlstate", None) or getattr(error, "code", None)
    said = f"{type(error).__name__} ({code})" if isinstance(code, str) else type(error).__name__
    if error.__cause__:
        return f"{said} from {describe(error.__cause__)}"
    place = _innermost_own_frame(error.__traceback__)
    return f"{said} at {place}" if place else said


def _innermost_own_frame(trace: TracebackType | None) -> str:
    place = ""
    while trace:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if not place or module.startswith("edulake."):
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
