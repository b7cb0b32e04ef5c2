"""What a reader finds in the log or in a topic: an event, or something that is none and says why.

Whatever a defect or a hand wrote there, reading it raises nothing: it ends as a dead letter or is passed over,
and what comes after it is read. So the driver decodes no payload and no time that may not fit, and what is
longer than anything announced is not even taken over. What could not be read is not repeated elsewhere,
because nobody knows what it holds; it stands where it was found, which the reason names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import orjson
from edulake.common.events import Event
from pydantic import ValidationError
from sqlalchemy.engine import Row

#: The facts of an event as they are announced. Events carry references, never rows.
MAX_EVENT_BYTES = 512 * 1024
#: The same as the database writes them, with spaces; with the envelope below what Kafka takes by default.
MAX_FACTS_BYTES = 900_000
MAX_MESSAGE_BYTES = 1_000_000
MAX_NAME_CHARS = 200
MAX_KEY_CHARS = 500
#: The name of what has none.
UNREADABLE = "unreadable"
# The database refuses this character in any text, so no event of the log holds it.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_TRACE = re.compile(r"[0-9a-f]{32}")
_KINDS = {list: "an array", str: "a text", bool: "a truth value", int: "a number", float: "a number"}

#: What `from_row` wants of a row of `bus.log l`: nothing that cannot be decoded, nothing without a bound.
COLUMNS = f"""l.pos, l.event_id, left(l.name, {MAX_NAME_CHARS + 1}) AS name,
    left(l.key, {MAX_KEY_CHARS + 1}) AS key, left(l.trace_id, 64) AS trace_id, left(l.producer, 64) AS producer,
    CASE WHEN l.created_at BETWEEN '0001-01-02' AND '9999-12-30' THEN l.created_at END AS created_at,
    pg_column_size(l.payload) AS stored_bytes,
    CASE WHEN pg_column_size(l.payload) <= {8 * MAX_FACTS_BYTES} THEN octet_length(l.payload::text) END AS bytes,
    CASE WHEN pg_column_size(l.payload) <= {8 * MAX_FACTS_BYTES}
        AND octet_length(l.payload::text) <= {MAX_FACTS_BYTES} THEN l.payload::text END AS payload"""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that is no event. `name` and `key` as far as they could be read, else `UNREADABLE` and the place.

    `reason` names a place and what is wrong there, never a value.
    """

    event_id: UUID
    name: str
    key: str
    reason: str


Message = Event | Unreadable


def from_row(row: Row[Any]) -> Message:
    """The message in a row of the log that was selected by `COLUMNS`."""
    place = f"bus.log {row.pos}"
    fields = {
        "event_id": row.event_id,
        "name": row.name,
        "key": row.key,
        "occurred_at": row.created_at,
        "producer": row.producer,
        "trace_id": row.trace_id,
    }
    if row.payload is None:
        return _unreadable(
            fields, place, f"{row.bytes or row.stored_bytes} bytes, more than an event may have"
        )
    try:
        data = orjson.loads(row.payload)
    except ValueError:
        return _unreadable(fields, place, "the facts are not JSON that can be read")
    return _judged({**fields, "data": data}, place)


def from_json(content: bytes | None, place: str) -> Message:
    """The message in bytes of that place: as `written` wrote it, or as anybody may have."""
    if content and len(content) > MAX_MESSAGE_BYTES:
        return _unreadable({}, place, f"{len(content)} bytes, more than an event may have")
    try:
        fields = orjson.loads(content or b"")
    except ValueError:
        return _unreadable({}, place, "not JSON that can be read")
    if not isinstance(fields, dict):
        return _unreadable({}, place, f"{_kind(fields)}, not an object")
    if _NUL.search(content or b""):
        return _unreadable(fields, place, "it holds U+0000")
    if isinstance(reason := fields.get("unreadable"), str):
        return _unreadable(fields, "", reason[:MAX_KEY_CHARS])
    return _judged(fields, place)


def written(message: Message) -> str:
    """The message as JSON: for a topic, and for whoever looks at a dead letter."""
    if isinstance(message, Event):
        return message.model_dump_json()
    facts = {"event_id": message.event_id, "name": message.name, "key": message.key}
    return orjson.dumps({**facts, "data": None, "unreadable": message.reason}).decode()


def unfit(error: ValidationError, fields: Mapping[str, Any]) -> str:
    """Which of these fields do not fit and how; nothing that the message itself says."""
    found = (
        (str(one["loc"][0]) if one["loc"] else "", one["type"]) for one in error.errors(include_input=False)
    )
    return ", ".join(sorted({f"{name if name in fields else 'another'} {kind}" for name, kind in found}))


def _judged(fields: dict[str, Any], place: str) -> Message:
    data, key, name = fields.get("data"), fields.get("key"), fields.get("name")
    if not isinstance(data, dict):
        return _unreadable(fields, place, f"the facts are {_kind(data)}, not an object")
    if isinstance(key, str) and len(key) > MAX_KEY_CHARS:
        return _unreadable(fields, place, f"the key is longer than {MAX_KEY_CHARS} characters")
    if isinstance(name, str) and len(name) > MAX_NAME_CHARS:
        return _unreadable(fields, place, f"the name is longer than {MAX_NAME_CHARS} characters")
    # A trace only helps to find log lines: an event is not given up for it.
    trace = fields.get("trace_id")
    is_trace = isinstance(trace, str) and _TRACE.fullmatch(trace)
    try:
        return Event.model_validate({**fields, "trace_id": trace if is_trace else ""})
    except ValidationError as error:
        return _unreadable(fields, place, unfit(error, Event.model_fields))


def _unreadable(fields: Mapping[str, Any], place: str, why: str) -> Unreadable:
    """The same each time the message is read, so that it is given up once."""
    name, key = fields.get("name"), fields.get("key")
    is_named = isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS
    try:
        event_id = UUID(str(fields["event_id"]))
    except (KeyError, ValueError):
        event_id = uuid5(NAMESPACE_OID, place)
    return Unreadable(
        event_id=event_id,
        name=_storable(name) if is_named else UNREADABLE,
        key=_storable(key)[:MAX_KEY_CHARS] if isinstance(key, str) else place,
        reason=f"{place}: {why}" if place else why,
    )


def _storable(value: Any) -> str:
    return str(value).replace("\x00", "")


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")
