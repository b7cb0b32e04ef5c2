"""The slow part of a batch's end, before the transaction: merging in memory, sealing what is held back."""

import asyncio
import io
from dataclasses import dataclass, replace

import polars as pl
from edulake.common.gm import sm3_hex
from edulake.common.lake import DataFile, Lake
from edulake.common.service import Resources
from edulake.governance.models import Run
from edulake.governance.run import contribution
from edulake.governance.run.contribution import Nothing, Tables, key_of
from edulake.governance.run.inputs import Inputs
from edulake.governance.run.verdict import Verdict

#: What is said beside the reason of a batch that was governed before and now does not go on.
TAKEN_OUT = ("此前治理的数据已从治理区移出", "the rows governed before were taken out")
KEPT = ("此前治理的数据保持不变", "the rows governed before stay as they are")


@dataclass(frozen=True)
class Decided:
    """A run with everything that is known about it before the transaction begins."""

    run: Run
    inputs: Inputs
    verdict: Verdict
    tables: Tables | Nothing | None = None
    held_back: DataFile | None = None

    @property
    def key(self) -> str:
        """The lake's idempotency key: the same for every try of a revision."""
        return key_of(self.run)


async def prepare(resources: Resources, lake: Lake, decided: Decided) -> Decided:
    """The slow part, before the transaction: merge in memory, seal the held-back rows."""
    decided = await _with_tables(resources, lake, decided)
    if decided.verdict.held_back.height:
        stored = await _seal(resources, lake, decided)
        decided = replace(decided, held_back=stored)
    return decided


async def _with_tables(resources: Resources, lake: Lake, decided: Decided) -> Decided:
    """What the verdict means for the lake, and in words where an earlier processing has rows there.

    A blocked batch may hold what must not be served: what it contributed before leaves. One that only fell
    below its threshold keeps it, for nothing better has come.
    """
    run, verdict = decided.run, decided.verdict
    if verdict.outcome == "governed":
        contract = decided.inputs.context.contract
        tables = await contribution.with_batch(resources, lake, run, verdict.accepted, contract)
        is_in = isinstance(tables, Tables)
        return replace(decided, tables=tables, verdict=verdict if is_in else _superseded(verdict))
    if run.revision == 1:
        return decided
    if verdict.outcome == "refused":
        tables = await contribution.without_batch(resources, lake, run)
        was_in = isinstance(tables, Tables)
        return replace(decided, tables=tables, verdict=_also(verdict, TAKEN_OUT) if was_in else verdict)
    return replace(decided, verdict=_also(verdict, KEPT)) if run.version is not None else decided


def _also(verdict: Verdict, words: tuple[str, str]) -> Verdict:
    zh, en = f"{verdict.reason_zh}；{words[0]}", f"{verdict.reason_en}; {words[1]}"
    return replace(verdict, reason_zh=zh, reason_en=en)


def _superseded(verdict: Verdict) -> Verdict:
    return replace(
        verdict,
        outcome="superseded",
        accepted=verdict.accepted.clear(),
        reason_zh="同一来源同一时期已有更新的批次生效",
        reason_en="a later delivery of this source for the same period is in effect",
    )


async def _seal(resources: Resources, lake: Lake, decided: Decided) -> DataFile:
    """Store the held-back rows under their digest, so that every try stores the same object once."""
    packed = await asyncio.to_thread(_as_parquet, decided.verdict.held_back)
    name = f"r{decided.run.revision}-{sm3_hex(packed)[:16]}"
    ring = resources.keys.ring("seal")
    return await lake.put_raw(
        decided.run.dataset, decided.run.batch_id, name, [packed], ring, zone="quarantine"
    )


def _as_parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, statistics=False)
    return buffer.getvalue()
