"""What a batch has in the lake: its rows among the contributions and, merged with all others, in the governed table.

Putting a batch in and taking it out end in the same write: both tables and the note of the version, in the
caller's transaction.
"""

import asyncio
from dataclasses import dataclass

import polars as pl
from edulake.common.events import Comparison, RawBatchLanded
from edulake.common.lake import Lake, Manifest, VersionNotFound
from edulake.common.service import Resources
from edulake.common.standards import Contract
from edulake.governance.dataset import repository as datasets
from edulake.governance.dataset.completeness import compare
from edulake.governance.dataset.merge import Stamp, contribute, groups_of, merge
from edulake.governance.models import Run, VersionNote
from edulake.governance.run import repository as runs
from edulake.governance.run.inputs import CHINA, ZONE, BatchRefused
from sqlalchemy.ext.asyncio import AsyncSession

#: Deliveries that add to what the source sent before; every other one is the whole of its period.
ADDING_FORMATS = frozenset({"rows"})


class BasisMoved(Exception):
    """The parts table changed between looking at it and the commit (a restore came between)."""


@dataclass(frozen=True)
class Tables:
    """What is to be written: the source's part of the period, the whole merged table, and the parts version
    both were made from (None: there was none)."""

    part: pl.DataFrame
    governed: pl.DataFrame
    basis: int | None
    #: What the batch lacks of what it replaces; None where a batch is taken out.
    lacks: Comparison | None = None


@dataclass(frozen=True)
class Nothing:
    """There is nothing to write, as long as the parts version is still this (None: there was none)."""

    basis: int | None


def is_whole(run: Run) -> bool:
    """Whether the delivery is all its source has for the period; pushed rows only add to it."""
    return RawBatchLanded.model_validate(run.landed).format not in ADDING_FORMATS


def key_of(run: Run) -> str:
    """The lake's idempotency key: the same for every try of a revision."""
    return f"{run.batch_id}.r{run.revision}"


def parts_table(dataset: str) -> str:
    """The table of contributions behind a governed dataset."""
    return f"{dataset}__parts"


async def parts_manifest(session: AsyncSession, lake: Lake, dataset: str) -> Manifest | None:
    """The current contributions; None when nothing was ever governed."""
    try:
        return await lake.manifest(session, ZONE, parts_table(dataset))
    except VersionNotFound:
        return None


async def with_batch(
    resources: Resources, lake: Lake, run: Run, accepted: pl.DataFrame, contract: Contract
) -> Tables | Nothing:
    """The tables with a batch's accepted rows; Nothing when a later whole delivery has replaced the batch."""
    landed = RawBatchLanded.model_validate(run.landed)
    stamp = Stamp(
        run.source_id, landed.authority, run.period, run.landed_no, run.batch_id, is_whole=is_whole(run)
    )
    basis, parts = await _contributions(resources, lake, run)
    together = await asyncio.to_thread(contribute, parts, accepted, stamp)
    if together is None:
        return Nothing(basis)
    year = run.received_at.astimezone(CHINA).year
    lacks = await asyncio.to_thread(compare, parts, accepted, stamp, contract, year=year)
    governed = await asyncio.to_thread(merge, together, groups_of(contract, together.columns))
    return Tables(_part_of(run, together), governed, basis, lacks)


async def without_batch(resources: Resources, lake: Lake, run: Run) -> Tables | Nothing:
    """The tables without a batch's rows; Nothing when none of them is among the contributions."""
    basis, parts = await _contributions(resources, lake, run)
    if parts is None or parts.filter(pl.col("_batch_id") == run.batch_id).is_empty():
        return Nothing(basis)
    contract = resources.standards.datasets.get(run.dataset)
    if contract is None:
        raise BatchRefused(
            f"没有数据集 {run.dataset} 的标准", f"there is no contract for the dataset {run.dataset}"
        )
    rest = parts.filter(pl.col("_batch_id") != run.batch_id)
    groups = groups_of(contract, parts.columns)
    governed = await asyncio.to_thread(merge, parts if rest.is_empty() else rest, groups)
    return Tables(_part_of(run, rest), governed.clear() if rest.is_empty() else governed, basis)


async def _contributions(
    resources: Resources, lake: Lake, run: Run
) -> tuple[int | None, pl.DataFrame | None]:
    async with resources.database.read() as session:
        basis = await parts_manifest(session, lake, run.dataset)
    parts = await lake.read(basis) if basis and basis.row_count else None
    return basis.version if basis else None, parts


def _part_of(run: Run, parts: pl.DataFrame) -> pl.DataFrame:
    mine = (pl.col("_source") == run.source_id) & (pl.col("_delivered_period") == run.period)
    return parts.filter(mine)


async def write(
    session: AsyncSession,
    lake: Lake,
    run: Run,
    tables: Tables,
    grade: tuple[int, float] | None = None,
    agreed_by: str | None = None,
) -> VersionNote:
    """Make both tables current, as a new version. BasisMoved when they were made from older contributions.

    `grade`: level and quality of the version; None: those of the version before stay. `agreed_by`: who agreed to
    what it lacks of the version before.
    """
    await confirm(session, lake, run, tables)
    level, quality = grade or await _grade_before(session, lake, run.dataset)
    key, partition = key_of(run), {"_source": run.source_id, "_delivered_period": run.period}
    parts = await lake.write_table(
        session, ZONE, parts_table(run.dataset), tables.part, batch_id=key, partition=partition
    )
    governed = await lake.write_table(session, ZONE, run.dataset, tables.governed, batch_id=key)
    return await datasets.note_version(
        session,
        governed,
        parts_version=parts.version,
        batch_id=run.batch_id,
        revision=run.revision,
        level=level,
        quality=quality,
        made_by="service:governance",
        agreed_by=agreed_by,
    )


async def confirm(session: AsyncSession, lake: Lake, run: Run, looked_at: Tables | Nothing) -> None:
    """BasisMoved when the contributions are not those that were looked at; until the end they stay as they are."""
    await datasets.lock(session, run.dataset)
    basis = await parts_manifest(session, lake, run.dataset)
    if (basis.version if basis else None) != looked_at.basis:
        raise BasisMoved


async def bring_back_replaced(session: AsyncSession, run: Run) -> list[str]:
    """Queue what a whole delivery had replaced once its rows are out, so that it counts again."""
    if not is_whole(run):
        return []
    return await runs.reopen_replaced(session, run.batch_id, sorted(ADDING_FORMATS))


async def _grade_before(session: AsyncSession, lake: Lake, dataset: str) -> tuple[int, float]:
    current = await lake.manifest(session, ZONE, dataset)
    note = await datasets.get_note(session, dataset, current.version)
    if note is None:
        raise RuntimeError(f"{dataset} v{current.version} has no note")
    return note.level, note.quality
