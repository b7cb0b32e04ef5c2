"""What a restored version means for the batches whose rows left with it or came back.

Their sources were told another end. They are told again, in the transaction of the restore, for a version
that is published later must not be taken for the publication of rows it does not hold.
"""

from collections.abc import Mapping

from edulake.common.bus import announce
from edulake.common.lake import Lake, Manifest, TableDamaged
from edulake.common.telemetry import logger
from edulake.governance.models import VersionNote
from edulake.governance.run import repository as runs
from edulake.governance.run.contribution import parts_table
from edulake.governance.run.events import finished_event
from edulake.governance.run.inputs import ZONE
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)


async def batches_in(lake: Lake, parts: Manifest) -> dict[str, int]:
    """Rows by batch among the contributions of a version. TableDamaged when its files are not all there."""
    rows = await lake.read(parts, ["_batch_id"])
    return dict(rows["_batch_id"].value_counts().iter_rows())


async def batches_now(session: AsyncSession, lake: Lake, dataset: str) -> dict[str, int]:
    """The same of the version that is to be left. Restoring is how a damaged one is mended: then as the runs say."""
    try:
        return await batches_in(lake, await lake.manifest(session, ZONE, parts_table(dataset)))
    except TableDamaged:
        return dict.fromkeys(await runs.in_effect(session, dataset), 0)


async def tell(
    session: AsyncSession, note: VersionNote, before: Mapping[str, int], after: Mapping[str, int]
) -> list[str]:
    """Close anew what left or came back, and announce it; rows by batch before and after the restore.

    What was withdrawn, or refused after it had been governed, does not come back to stay: its run is
    queued, and takes the rows out again; returns these batches.
    """
    left = await runs.leave(session, sorted(before.keys() - after.keys()), _left(note))
    back = [
        batch_id
        for batch_id in sorted(after.keys() - before.keys())
        if await runs.come_back(session, batch_id, note, after[batch_id], _back(note))
    ]
    unwanted = await runs.remove_again(session, sorted(after.keys() - before.keys() - set(back)))
    for batch_id in (*left, *back):
        run = await runs.get(session, batch_id)
        if run:
            await announce(session, finished_event(run, "restore" if batch_id in left else None))
    log.info("version restored", dataset=note.dataset, left=left, back=back, removed_again=unwanted)
    return unwanted


def _left(note: VersionNote) -> tuple[str, str]:
    return (
        f"数据集已恢复到版本 {note.restored_from}，其中没有本批次的数据；需要时由治理人员重新处理",
        f"the dataset was restored to version {note.restored_from}, which does not hold this batch; "
        "a steward can reprocess it",
    )


def _back(note: VersionNote) -> tuple[str, str]:
    return (
        f"数据集已恢复到版本 {note.restored_from}，本批次的数据重新生效",
        f"the dataset was restored to version {note.restored_from}, which holds this batch again",
    )
