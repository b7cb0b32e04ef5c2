"""The restore window: which governed versions can be restored, and the removal of what no other needs.

A governed version can only be restored with the contributions it was merged from, so both tables keep the
same versions. Taking versions out of use is committed before a file is deleted: no manifest that can be
read ever misses a file.
"""

import asyncio
from contextlib import suppress

from edulake.common.db import Database
from edulake.common.lake import Lake
from edulake.common.telemetry import logger
from edulake.governance.dataset import repository
from edulake.governance.run.contribution import parts_table
from edulake.governance.run.inputs import ZONE
from edulake.governance.settings import GovernanceSettings
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)


async def vacuum_regularly(
    database: Database, lake: Lake, settings: GovernanceSettings, stop: asyncio.Event
) -> None:
    """Vacuum every dataset from time to time, the first time after a pause: a store that was just brought
    back from a backup is looked at by people before anything is deleted from it.
    """
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), settings.vacuum_pause_s)
            return
        await vacuum(database, lake, settings)


async def vacuum(database: Database, lake: Lake, settings: GovernanceSettings) -> int:
    """Remove the files of governed versions outside the restore window; returns the number of files.

    A dataset that is being changed at this moment is left to the next time.
    """
    async with database.read() as session:
        datasets = [note.dataset for note in await repository.newest_notes(session)]
    files = 0
    for dataset in datasets:
        async with database.transaction() as session:
            if not await repository.try_lock(session, dataset):
                continue
            gone = await _retire(session, lake, dataset, settings)
        async with database.transaction() as session:
            if not await repository.try_lock(session, dataset):
                continue
            removed = [await lake.vacuum(session, ZONE, each) for each in (dataset, parts_table(dataset))]
        files += sum(removed)
        log.info("lake vacuumed", dataset=dataset, versions=len(gone), files=sum(removed))
    return files


async def _retire(session: AsyncSession, lake: Lake, dataset: str, settings: GovernanceSettings) -> list[int]:
    gone = await lake.retire(
        session,
        ZONE,
        dataset,
        keep_versions=settings.restore_versions_min,
        keep_days=settings.restore_window_days,
    )
    known = await lake.versions(session, ZONE, dataset)
    usable = [each.version for each in known if not each.vacuumed]
    parts = await repository.parts_versions(session, dataset, usable)
    await lake.retire(session, ZONE, parts_table(dataset), keep_versions=1, keep_days=0, keep=parts)
    return gone
