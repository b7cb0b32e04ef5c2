"""The publisher process: `python -m edulake.share_gateway.publisher`."""

import asyncio
import signal

from edulake.common.lake import Lake
from edulake.common.service import Resources, background_tasks, open_resources
from edulake.common.telemetry import configure_logging, logger
from edulake.common.worker import metrics_shown
from edulake.share_gateway.publication.jobs import HANDLERS, JobLoop
from edulake.share_gateway.publication.settings import PublisherSettings

log = logger(__name__)


async def publish_jobs(resources: Resources, stop: asyncio.Event) -> None:
    """Run the configured number of job loops; one that fails ends all, and they are started again."""
    settings = resources.settings
    if not isinstance(settings, PublisherSettings):
        raise TypeError("the publisher needs its own settings")
    lake = Lake(settings.lake)
    async with asyncio.TaskGroup() as group:
        for number in range(settings.publisher_jobs):
            group.create_task(JobLoop(resources, settings, lake).run(stop), name=f"publisher {number}")


async def run(settings: PublisherSettings, stop: asyncio.Event) -> None:
    """Queue governed versions and publish them until `stop`; what is under way is finished."""
    async with (
        open_resources(settings, "publisher", "edulake_gateway") as resources,
        background_tasks(resources, HANDLERS, [publish_jobs]),
    ):
        log.info("publisher started", jobs=settings.publisher_jobs)
        with metrics_shown(settings):
            await stop.wait()
    log.info("publisher stopped")


async def _until_signalled(settings: PublisherSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)


def main() -> None:
    """Read the settings from the environment and work until SIGTERM."""
    settings = PublisherSettings()
    configure_logging(settings.log_level)
    asyncio.run(_until_signalled(settings))


if __name__ == "__main__":
    main()
