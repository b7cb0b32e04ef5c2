"""Why rows were held back, in words their source can act on (P1)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import IO, Any

import polars as pl
from edulake.common.lake import Lake
from edulake.common.service import Resources
from edulake.governance.batch.schemas import HeldRow, Reason
from edulake.governance.models import Quarantine
from edulake.governance.run.inputs import parts_of
from edulake.governance.run.verdict import ROW


async def held_rows(
    resources: Resources, lake: Lake, index: Quarantine, *, after: int, limit: int
) -> list[HeldRow]:
    """At most `limit` held-back rows after a row number. Only numbers and reasons leave the sealed object."""
    return await _held(resources, lake, index, lambda rows: rows.filter(pl.col(ROW) > after).head(limit))


async def reasons_at(
    resources: Resources, lake: Lake, index: Quarantine, rows: Sequence[int]
) -> list[HeldRow]:
    """Those of the rows that are held back, with their reasons."""
    return await _held(resources, lake, index, lambda held: held.filter(pl.col(ROW).is_in(list(rows))))


async def _held(
    resources: Resources, lake: Lake, index: Quarantine, choose: Callable[[pl.DataFrame], pl.DataFrame]
) -> list[HeldRow]:
    zone, dataset, folder, name = parts_of(index.object)
    async with lake.open_raw(dataset, folder, name, resources.keys.ring("seal"), zone=zone) as file:
        rows = await asyncio.to_thread(_reasons_of, file, choose)
    return [HeldRow(row_no=row, reasons=[_reason(each) for each in reasons or ()]) for row, reasons in rows]


def _reasons_of(
    file: IO[Any], choose: Callable[[pl.DataFrame], pl.DataFrame]
) -> list[tuple[int, list[dict[str, Any]]]]:
    frame = pl.read_parquet(file, columns=[ROW, "reasons"]).sort(ROW)
    return list(choose(frame).iter_rows())


def _reason(each: dict[str, Any]) -> Reason:
    return Reason(
        rule_id=each["rule_id"], field=each["field"] or None, reason_zh=each["zh"], reason_en=each["en"]
    )
