"""Restoring a governed version, and the template a source fills in."""

import csv
import io

from edulake.common.bus import announce
from edulake.common.errors import Conflict, NotFound
from edulake.common.identity import Subject
from edulake.common.lake import Lake
from edulake.common.standards import Contract, Standards
from edulake.governance.dataset import repository
from edulake.governance.models import VersionNote
from edulake.governance.run import restoration
from edulake.governance.run.contribution import parts_table
from edulake.governance.run.events import ready_event
from edulake.governance.run.inputs import ZONE
from sqlalchemy.ext.asyncio import AsyncSession

#: A spreadsheet would run a cell that begins with one of these.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
BOM = "\ufeff"


class DatasetNotFound(NotFound):
    code, title_zh, title_en = "dataset-not-found", "没有该数据集", "No such dataset"


class VersionIsCurrent(Conflict):
    code, title_zh, title_en = "version-is-current", "该版本已生效", "The version is in effect already"


def contract_of(standards: Standards, dataset: str) -> Contract:
    """The contract of a dataset; DatasetNotFound."""
    found = standards.datasets.get(dataset)
    if found is None:
        raise absent()
    return found


def absent() -> DatasetNotFound:
    return DatasetNotFound("没有该数据集的标准", "the standards hold no such dataset")


async def restore(session: AsyncSession, lake: Lake, dataset: str, version: int, by: Subject) -> VersionNote:
    """Make an old version current again, as a new version, with the contributions it was merged from.

    Without its contributions the next batch would bring back what was undone. The batches that leave or come
    back are told. NotFound, VersionGone (outside the restore window) or VersionIsCurrent.
    """
    await repository.lock(session, dataset)
    wanted = await repository.get_note(session, dataset, version)
    if wanted is None:
        raise NotFound(f"{dataset} 没有版本 {version}", f"{dataset} has no version {version}")
    current = await lake.manifest(session, ZONE, dataset)
    if current.version == version:
        raise VersionIsCurrent(f"{dataset} 当前就是版本 {version}", f"{dataset} is at version {version}")
    before = await restoration.batches_now(session, lake, dataset)
    parts = await lake.restore(session, ZONE, parts_table(dataset), wanted.parts_version)
    after = await restoration.batches_in(lake, parts)
    governed = await lake.restore(session, ZONE, dataset, version)
    note = await repository.note_version(
        session,
        governed,
        parts_version=parts.version,
        batch_id=wanted.batch_id,
        revision=wanted.revision,
        level=wanted.level,
        quality=wanted.quality,
        made_by=by.id,
    )
    await restoration.tell(session, note, before, after)
    await announce(session, ready_event(note))
    return note


def template_of(contract: Contract) -> str:
    """A CSV of one header row, readable by spreadsheets: the first alias of every field a source delivers."""
    out = io.StringIO()
    csv.writer(out).writerow(_safe(field.aliases[0]) for field in contract.fields if field.aliases)
    return BOM + out.getvalue()


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
