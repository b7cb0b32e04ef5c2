"""The worker: claims runs and governs them until it is told to stop.

    python -m edulake.governance.worker           run
    python -m edulake.governance.worker --alive   exit 0 when the worker of this home lives, else 1

SIGTERM drains: no new run is claimed, running ones may finish for `shutdown_timeout_s`, then they go back to
the queue. A worker that is killed loses nothing: its runs start again when their leases end.
"""

import asyncio
import signal
import sys
import time

from edulake.common.service import open_resources
from edulake.common.telemetry import configure_logging, logger
from edulake.common.worker import metrics_shown
from edulake.governance.pipeline import run as run_pipeline
from edulake.governance.run.loop import Worker
from edulake.governance.settings import ROLE, GovernanceSettings
from edulake.governance.steps.known import refuse_faults

log = logger(__name__)
#: A worker that could not even ask for work this long is not alive, whatever its process does.
ALIVE_S = 60


def is_alive(settings: GovernanceSettings) -> bool:
    """True when a worker of this home asked the database for work within `ALIVE_S`."""
    try:
        return time.time() - settings.alive_file.stat().st_mtime < ALIVE_S
    except FileNotFoundError:
        return False


async def main(settings: GovernanceSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with open_resources(settings, "governance-worker", ROLE) as resources:
        refuse_faults(resources.standards)
        log.info("worker started", worker=settings.worker, slots=settings.worker_slots)
        with metrics_shown(settings):
            await Worker(resources, settings, run_pipeline).run(stop)
    log.info("worker stopped", worker=settings.worker)


if __name__ == "__main__":
    _settings = GovernanceSettings()
    if "--alive" in sys.argv[1:]:
        sys.exit(0 if is_alive(_settings) else 1)
    configure_logging(_settings.log_level)
    asyncio.run(main(_settings))
