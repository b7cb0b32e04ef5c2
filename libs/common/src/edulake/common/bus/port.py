"""The bus: one log of events, two ways to read it, one contract.

What every adapter keeps (tests: one class, inherited by each adapter):

* An event is announced in the transaction of the change it tells of (`announce`): both or neither.
* Every event reaches every group at least once; its effect happens exactly once, because the effect
  commits together with a row in the group's inbox.
* Events of one key are handled in the order they were announced, by one handler at a time.
* A handler that fails is tried again after a growing pause. The tries are counted in the database before
  the handler runs, so that a handler that kills its process is counted too. After the last try, or at
  once when the message cannot be read, it becomes a dead letter with a reason, and its key goes on.
* No message stops a group, whatever it is; a group passes over what it has no handler for.
* A dead letter can be replayed, as it stands in the log then; it comes after what its key has had since.
* Any number of processes may share a group.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from edulake.common.events import Event, EventData
from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from edulake.common.service import Resources

#: `async def handler(session, facts, envelope, resources)`: changes only through `session`, and is fast;
#: long work goes to a job table.
Handler = Callable[[AsyncSession, Any, Event, "Resources"], Awaitable[None]]
Handlers = Mapping[type[EventData], Handler]


class Bus(Protocol):
    """How a process reads events."""

    async def consume(
        self, group: str, handlers: Handlers, resources: "Resources", stop: asyncio.Event
    ) -> None:
        """Handle events for a group until `stop`. Raises when a store is lost: start it again."""

    def tail(
        self, topics: Sequence[str], stop: asyncio.Event, after: str | UUID | None = None
    ) -> AsyncIterator[Event]:
        """Every event of the topics from now on, or after a position or an event id; no group, no inbox.

        PositionGone when `after` is an event that is not in the log (any more).
        """

    async def position(self) -> str:
        """Where the log ends now; an opaque text for `tail`."""
