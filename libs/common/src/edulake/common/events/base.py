"""What every event is: a named, versioned fact with a key, in an envelope that tells when and by whom.

Events are a product. A consumer ignores fields it does not know, and a new field is optional, so both
sides upgrade in any order; anything else needs a new version in the name. Events carry references,
counts and digests, never rows.
"""

import os
import time
from typing import Any, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict


class EventData(BaseModel):
    """The facts of one event; a subclass names itself `<zone>.<subject>.<action>.vN`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: ClassVar[str]
    #: The field whose value keeps events in order: events of one key are handled one after another.
    key_field: ClassVar[str] = "dataset"

    def key(self) -> str:
        return str(getattr(self, self.key_field))


class Event(BaseModel):
    """The envelope; `data` is the JSON form of an `EventData`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    event_id: UUID
    name: str
    key: str
    occurred_at: AwareDatetime
    producer: str
    trace_id: str
    data: dict[str, Any]

    @property
    def topic(self) -> str:
        """The zone, which is the topic: the first word of the name."""
        return topic_of(self.name)


def topic_of(name: str) -> str:
    return name.partition(".")[0]


def new_event_id() -> UUID:
    """A time-ordered id: 48 bits of Unix milliseconds, then random (RFC 9562, version 7)."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | (0x7 << 76)
    return UUID(int=value & ~(0x3 << 62) | (0x2 << 62))
