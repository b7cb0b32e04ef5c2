"""Announcing: one row in the log, in the transaction of the change it tells of.

An event's time is the database's: announcers run on several machines, and readers that keep the newest
state of a thing by time must not take the word of whichever clock runs ahead.
"""

import orjson
from edulake.common.bus.message import MAX_EVENT_BYTES, MAX_KEY_CHARS
from edulake.common.events import Event, EventData, new_event_id, topic_of
from edulake.common.telemetry import trace_id
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# Not the time of the transaction's begin, which may lie before that of what it waited for.
_ANNOUNCE = text(
    """WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at)
    SELECT clock.at, bus.announce(:event_id, :topic, :name, :key, CAST(:payload AS jsonb), :trace_id, clock.at)
        AS producer
    FROM clock"""
)


async def announce(session: AsyncSession, data: EventData) -> Event:
    """Announce `data` if and only if the session's transaction commits.

    Announce last: between this call and the commit, readers wait for this transaction.
    ValueError when no reader would take it: it is larger than `MAX_EVENT_BYTES` (events carry references,
    never rows) or its key is longer than `MAX_KEY_CHARS`.
    """
    facts = data.model_dump(mode="json")
    payload = orjson.dumps(facts)
    if len(payload) > MAX_EVENT_BYTES:
        raise ValueError(f"{data.name} has {len(payload)} bytes, more than {MAX_EVENT_BYTES}")
    event_id, trace, key = new_event_id(), trace_id(), data.key()
    if len(key) > MAX_KEY_CHARS:
        raise ValueError(f"the key of {data.name} has {len(key)} characters, more than {MAX_KEY_CHARS}")
    columns = {
        "event_id": event_id,
        "topic": topic_of(data.name),
        "name": data.name,
        "key": key,
        "payload": payload.decode(),
        "trace_id": trace,
    }
    row = (await session.execute(_ANNOUNCE, columns)).one()
    return Event(
        event_id=event_id,
        name=data.name,
        key=key,
        occurred_at=row.at,
        producer=row.producer,
        trace_id=trace,
        data=facts,
    )
