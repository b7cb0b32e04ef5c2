"""Verifying the audit chain: when asked, and by itself as long as the gateway runs."""

import asyncio
import time

from edulake.common.bus.leader import Leadership, leadership, pause
from edulake.common.db import Database
from edulake.common.gm import GmError, KeyRing
from edulake.common.telemetry import logger
from edulake.share_gateway.audit import repository
from edulake.share_gateway.audit.chain import Mark, Verdict, Verifier
from prometheus_client import Gauge

log = logger(__name__)
_STEP_ROWS = 2000
#: How often the process that verifies looks whether it still leads, and another one whether it may.
_LOOK_S = 30.0
IS_BROKEN = Gauge("edulake_gateway_audit_broken", "1: the audit chain did not hold when last verified here")
VERIFIED_ROWS = Gauge("edulake_gateway_audit_verified_rows", "Rows of the audit chain verified so far")
VERIFIED_AT = Gauge(
    "edulake_gateway_audit_verified_timestamp_seconds", "When the audit chain was last verified"
)


async def verify(database: Database, ring: KeyRing) -> Verdict:
    """Walk the whole chain, and say loudly when it does not hold."""
    return await _walk(database, Verifier(ring))


async def _walk(database: Database, verifier: Verifier) -> Verdict:
    verdict = await _verdict(database, verifier)
    if not verdict.is_whole:
        log.error("audit chain does not hold", seq=verdict.first_wrong, reason=verdict.reason)
    return verdict


async def _verdict(database: Database, verifier: Verifier) -> Verdict:
    """One short transaction a step: a long chain holds no connection. The head is compared with the rows of
    its own snapshot, and rows are only ever added, so that the steps make one chain.

    Hashing is done in a thread so that nobody waits for it.
    """
    try:
        while True:
            async with database.read() as session:
                links = await repository.links_after(session, verifier.checked, _STEP_ROWS)
                head = await repository.head(session)
            wrong = await asyncio.to_thread(verifier.feed, links)
            if wrong is not None:
                return wrong
            if len(links) < _STEP_ROWS:
                return verifier.finish(head)
    except GmError:
        return Verdict(verifier.checked, verifier.checked + 1, "the key of a row is not known")


class Verification:
    """Verifies again and again, in one process of all.

    The first time from the beginning, then from where it came to: what was verified once and changed later is
    found by the next process that leads, or by whoever asks for the whole.
    """

    def __init__(self, database: Database, ring: KeyRing, every_s: float) -> None:
        self._database = database
        self._ring = ring
        self._every_s = every_s
        self._since = Mark()

    async def run(self, stop: asyncio.Event) -> None:
        """Verify every `every_s` while no other process does, until told to stop."""
        while not stop.is_set():
            async with leadership(self._database, "audit verification") as lead:
                if lead:
                    await self._lead(lead, stop)
            await pause(stop, _LOOK_S)

    async def _lead(self, lead: Leadership, stop: asyncio.Event) -> None:
        due = time.monotonic()
        while not stop.is_set():
            if time.monotonic() >= due:
                await self.verify_once()
                due = time.monotonic() + self._every_s
            await pause(stop, min(_LOOK_S, max(0.0, due - time.monotonic())))
            await lead.confirm()

    async def verify_once(self) -> Verdict:
        """Verify what was added; from the beginning the first time, and as long as the chain does not hold."""
        verifier = Verifier(self._ring, self._since)
        verdict = await _walk(self._database, verifier)
        self._since = verifier.mark if verdict.is_whole else Mark()
        IS_BROKEN.set(not verdict.is_whole)
        VERIFIED_ROWS.set(verdict.checked)
        VERIFIED_AT.set_to_current_time()
        return verdict
