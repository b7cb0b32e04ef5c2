"""Restoring a governed version, and the template a source fills in."""

import csv
import io

from edulake.common.bus import announce
from edulake.common.errors import Conflict, NotFound
from edulake.common.events import PublishedDatasetUpdated
from edulake.common.lake import Lake
from edulake.common.standards import Contract, Standards
from edulake.common.telemetry import logger
from edulake.governance.dataset import repository
from edulake.governance.models import VersionNote
from edulake.governance.run import restoration
from edulake.governance.run.contribution import parts_table
from edulake.governance.run.events import ready_event
from edulake.governance.run.inputs import ZONE
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)
#: A spreadsheet would run a cell that begins with one of these.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
BOM = "\ufeff"


class DatasetNotFound(NotFound):
    code, title_zh, title_en = "dataset-not-found", "没有该数据集", "No such dataset"


class LosesRows(Conflict):
    code, title_zh, title_en = "loses-rows", "该版本的行数少得多", "That version has far fewer rows"


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


async def restore(
    session: AsyncSession,
    lake: Lake,
    contract: Contract,
    version: int,
    by: str,
    agreed_rows: int | None = None,
    *,
    is_agreed: bool = False,
) -> VersionNote:
    """Make an old version current again, as a new version, with the contributions it was merged from.

    Without its contributions the next batch would bring back what was undone. The batches that leave or come
    back are told. A version that holds rows which were withdrawn or blocked since is not announced: those rows are
    taken out again, and what is left is. NotFound, VersionGone (outside the restore window), VersionIsCurrent, or
    LosesRows when it has fewer rows than the contract lets go and `agreed_rows` does not say how many. `is_agreed`:
    whoever restores has looked at what is lost already, in the published data.
    """
    dataset = contract.name
    await repository.lock(session, dataset)
    wanted = await repository.get_note(session, dataset, version)
    if wanted is None:
        raise NotFound(f"{dataset} 没有版本 {version}", f"{dataset} has no version {version}")
    current = await lake.manifest(session, ZONE, dataset)
    if current.version == version:
        raise VersionIsCurrent(f"{dataset} 当前就是版本 {version}", f"{dataset} is at version {version}")
    loses = current.row_count - wanted.row_count > contract.completeness.rows_lost_max * current.row_count
    if loses and not is_agreed and agreed_rows != wanted.row_count:
        raise _loses_rows(current.row_count, wanted.row_count)
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
        made_by=by,
        agreed_by=by if loses or is_agreed else None,
    )
    if not await restoration.tell(session, note, before, after):
        await announce(session, ready_event(note))
    return note


async def follow_rollback(
    session: AsyncSession, lake: Lake, contract: Contract, rolled_back: PublishedDatasetUpdated
) -> None:
    """Restore what the publisher went back to, so that the next batch does not bring back what was undone."""
    dataset, version = contract.name, rolled_back.governed_version
    await repository.lock(session, dataset)
    wanted = await repository.get_note(session, dataset, version)
    current = await lake.manifest(session, ZONE, dataset)
    if wanted is None or current.content_digest == wanted.content_digest:
        return
    if not await lake.in_use(session, ZONE, dataset, [version]):
        log.error("a rollback cannot be followed: the version is gone", dataset=dataset, version=version)
        return
    by = rolled_back.by or "service:gateway"
    await restore(session, lake, contract, version, by, is_agreed=True)


def _loses_rows(rows_now: int, rows_then: int) -> LosesRows:
    share = 1 - rows_then / rows_now
    return LosesRows(
        f"当前 {rows_now} 行，该版本 {rows_then} 行（减少 {share:.0%}）",
        f"{rows_now} rows now, {rows_then} rows then ({share:.0%} fewer)",
        mend_zh=f"确认无误后，以 agreed_rows={rows_then} 再次请求",
        mend_en=f"when this is meant, ask again with agreed_rows={rows_then}",
        where="agreed_rows",
        rows_now=rows_now,
        rows_then=rows_then,
    )


def template_of(contract: Contract) -> str:
    """A CSV of one header row, readable by spreadsheets: the first alias of every field a source delivers."""
    out = io.StringIO()
    csv.writer(out).writerow(_safe(field.aliases[0]) for field in contract.fields if field.aliases)
    return BOM + out.getvalue()


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
