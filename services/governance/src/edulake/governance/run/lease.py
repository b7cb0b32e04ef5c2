"""Holding a run: progress and the lease are written in short transactions of their own while work goes on."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TypeVar

from edulake.common.db import Database
from edulake.common.errors import Unavailable
from edulake.common.telemetry import logger
from edulake.governance.models import Run
from edulake.governance.run import repository
from edulake.governance.settings import GovernanceSettings

log = logger(__name__)
T = TypeVar("T")


class LeaseLost(Exception):
    """Another worker may have the run by now: nothing of this attempt may be written."""


@dataclass
class Progress:
    """Where a run is; set from any thread, written by the pulse."""

    step: str | None = None
    done: int = 0
    total: int = 0

    def __call__(self, step: str, done: int, total: int) -> None:
        self.step, self.done, self.total = step, done, total


async def hold_while(
    database: Database,
    run: Run,
    settings: GovernanceSettings,
    progress: Progress,
    work: Coroutine[None, None, T],
) -> T:
    """Do the work while keeping the lease; LeaseLost, and the work cancelled, when the lease is gone.

    TimeoutError when it takes longer than `run_timeout_s`.
    """
    task = asyncio.create_task(work, name=f"run {run.batch_id}")
    try:
        async with asyncio.timeout(settings.run_timeout_s):
            while not (await asyncio.wait({task}, timeout=settings.run_pulse_ms / 1000))[0]:
                if not await _pulse_once(database, run, settings.run_lease_s, progress):
                    raise LeaseLost
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _pulse_once(database: Database, run: Run, lease_s: float, progress: Progress) -> bool:
    """False when the lease is lost. A database that is away for a moment is not a loss yet."""
    try:
        async with database.transaction() as session:
            return await repository.pulse(
                session, run, lease_s, (progress.step, progress.done, progress.total)
            )
    except Unavailable:
        log.warning("pulse missed", batch_id=run.batch_id)
        return True
