"""Why rows were held back, in words their source can act on (P1)."""

import asyncio
from typing import IO, Any

import polars as pl
from edulake.common.lake import Lake
from edulake.common.service import Resources
from edulake.governance.batch.schemas import HeldRow, Reason
from edulake.governance.models import Quarantine
from edulake.governance.run.verdict import ROW


async def held_rows(
    resources: Resources, lake: Lake, index: Quarantine, *, after: int, limit: int
) -> list[HeldRow]:
    """At most `limit` held-back rows after a row number. Only numbers and reasons leave the sealed object."""
    zone, dataset, folder, name = index.object.split("/")
    async with lake.open_raw(dataset, folder, name, resources.keys.ring("seal"), zone=zone) as file:
        rows = await asyncio.to_thread(_reasons_of, file, after, limit)
    return [HeldRow(row_no=row, reasons=[_reason(each) for each in reasons or ()]) for row, reasons in rows]


def _reasons_of(file: IO[Any], after: int, limit: int) -> list[tuple[int, list[dict[str, Any]]]]:
    frame = pl.read_parquet(file, columns=[ROW, "reasons"])
    return list(frame.filter(pl.col(ROW) > after).sort(ROW).head(limit).iter_rows())


def _reason(each: dict[str, Any]) -> Reason:
    return Reason(
        rule_id=each["rule_id"], field=each["field"] or None, reason_zh=each["zh"], reason_en=each["en"]
    )
