"""Every process follows the access projections by itself: a look a few times a second.

Nothing is pushed and nothing is trusted to have arrived: a look that succeeds confirms the whole
state, looks that fail make it stale, and stale means closed. The projections may lag behind the log
they are made from, so each look also asks the log: whose change was announced and is not applied
after `LATE_S` is closed until it is (docs/adr/0012).
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from edulake.common.bus.unsettled import Unsettled
from edulake.common.db import Database
from edulake.common.errors import Unavailable
from edulake.common.telemetry import logger
from edulake.share_gateway.grant.access import AccessBook
from edulake.share_gateway.grant.repository import UNSETTLED_MAX, changes_since
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError

log = logger(__name__)
UNAPPLIED = Gauge(
    "edulake_gateway_access_unapplied",
    "Changes of rights announced and not applied; what they are about is closed",
)
#: Everything is read anew this often, so that a row removed by hand does not live on in memory.
WHOLE_EVERY_S = 60.0
#: A change that was not applied for this long counts as not applied: well within the 5 s of P4 with one look,
#: and well above the fraction of a second that applying takes.
LATE_S = 2.0


class AccessFollower:
    """Keeps one AccessBook up to date. `group` applies the events of `names` to the projections."""

    def __init__(
        self, database: Database, book: AccessBook, *, poll_s: float, group: str, names: Sequence[str]
    ) -> None:
        self._database = database
        self._group = group
        self._names = names
        self._book = book
        self._poll_s = poll_s
        self._mark = 0
        self._was_behind = False
        self._whole_at = float("-inf")

    async def look(self) -> None:
        """Read what changed and confirm the book as of the start of the look."""
        began = time.monotonic()
        whole = began - self._whole_at >= WHOLE_EVERY_S
        async with asyncio.timeout(3), self._database.read() as session:
            mark = 0 if whole else self._mark
            changes = await changes_since(session, mark, self._group, self._names)
        self._book.put_grants(changes.grants, whole=whole)
        self._book.put_revocations(changes.revocations)
        self._book.put_clients(changes.clients)
        self._book.put_limits(changes.limits)
        unapplied, oldest_s = self._judge(changes.unsettled)
        self._book.put_unapplied(unapplied)
        self._mark = changes.mark
        if whole:
            self._whole_at = began
            self._book.forget_expired(time.time())
        is_whole = len(changes.unsettled) < UNSETTLED_MAX
        nameless = sum(not event.is_about_somebody for event in unapplied)
        if is_whole and not nameless:
            self._book.confirm(began - oldest_s)
        self._tell(len(unapplied), nameless)

    def _judge(self, unsettled: Sequence[Unsettled]) -> tuple[list[Unsettled], float]:
        """What counts as not applied, and the age in seconds of the oldest change that still may be.

        What was read is the state before that change. If no further look succeeds it is stale in time for
        that change too, not only for those after the look.
        """
        late_s = LATE_S if self._book.has_caught_up else 0.0
        unapplied = [event for event in unsettled if event.is_dead or event.age_s >= late_s]
        young = [event.age_s for event in unsettled if not event.is_dead and event.age_s < late_s]
        return unapplied, max(young, default=0.0)

    def _tell(self, unapplied: int, nameless: int) -> None:
        UNAPPLIED.set(unapplied)
        if unapplied and not self._was_behind:
            log.error("access changes not applied: what they are about is closed", events=unapplied)
        if nameless and not self._was_behind:
            log.error("an access change does not say what it is about: everything is closed", events=nameless)
        self._was_behind = unapplied > 0

    async def follow(self, stop: asyncio.Event) -> None:
        """Look until told to stop; a failed look is logged and the next one tries again."""
        while not stop.is_set():
            try:
                await self.look()
            except (Unavailable, SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("access rights not confirmed", error=type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._poll_s)
