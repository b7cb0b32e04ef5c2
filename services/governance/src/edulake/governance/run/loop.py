"""The worker's loop: slots that claim runs and govern them until told to stop, then drain."""

import asyncio
import contextlib
from functools import partial
from uuid import uuid4

from edulake.common.lake import Lake
from edulake.common.service import Resources, keep_running
from edulake.common.telemetry import logger
from edulake.governance.dataset.window import vacuum_regularly
from edulake.governance.models import Run
from edulake.governance.run import repository
from edulake.governance.run.execute import Executor, Pipeline
from edulake.governance.settings import GovernanceSettings
from sqlalchemy.exc import IntegrityError

log = logger(__name__)


class Worker:
    """A number of slots, each of which governs one run at a time."""

    def __init__(self, resources: Resources, settings: GovernanceSettings, run_pipeline: Pipeline) -> None:
        self._database = resources.database
        self._settings = settings
        self._lake = Lake(settings.lake)
        self._executor = Executor(resources, self._lake, settings, run_pipeline)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then drain. Raises nothing that a restart would mend."""
        await keep_running("lake repair", self._repair, stop)
        slots = [
            asyncio.create_task(keep_running(f"slot {n}", lambda: self._slot(stop), stop))
            for n in range(self._settings.worker_slots)
        ]
        vacuum = partial(vacuum_regularly, self._database, self._lake, self._settings, stop)
        slots.append(asyncio.create_task(keep_running("lake vacuum", vacuum, stop)))
        await stop.wait()
        log.info("worker drains", seconds=self._settings.shutdown_timeout_s)
        _, late = await asyncio.wait(slots, timeout=self._settings.shutdown_timeout_s)
        for slot in late:
            slot.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _repair(self) -> None:
        async with self._database.transaction() as session:
            for found in await self._lake.repair_at_start(session):
                place = {"zone": found.zone, "table": found.table}
                if found.is_mended:
                    log.warning("lake repaired", done=found.en, **place)
                else:  # its batches end refused with these words; all other tables go on
                    log.error("lake damaged", damage=found.en, damage_zh=found.zh, **place)

    async def _slot(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            run = await self._claim()
            if run is not None:
                await self._executor.execute(run)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._settings.worker_poll_ms / 1000)

    async def _claim(self) -> Run | None:
        settings = self._settings
        try:
            async with self._database.transaction() as session:
                run = await repository.claim(session, settings.worker, uuid4(), settings.run_lease_s)
        except IntegrityError:  # another worker took a run of the same dataset in the same moment
            return None
        self._show_life()
        return run

    def _show_life(self) -> None:
        self._settings.alive_file.parent.mkdir(parents=True, exist_ok=True)
        self._settings.alive_file.touch()
