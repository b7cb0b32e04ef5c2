"""The slow part of a batch's end, before the transaction: merging in memory, sealing what is held back."""

import asyncio
import io
from dataclasses import dataclass, replace

import polars as pl
from edulake.common.events import Comparison
from edulake.common.gm import sm3_hex
from edulake.common.lake import DataFile, Lake
from edulake.common.service import Resources
from edulake.governance.dataset.completeness import is_within
from edulake.governance.models import Run
from edulake.governance.run import contribution
from edulake.governance.run.contribution import Nothing, Tables, key_of
from edulake.governance.run.inputs import Inputs
from edulake.governance.run.verdict import Verdict, held, with_completeness

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
    #: What the batch lacks of what it replaces; None where it replaces nothing.
    lacks: Comparison | None = None

    @property
    def agreed_by(self) -> str | None:
        """Who agreed to what a governed batch lacks; None where nobody had to."""
        is_asked = self.verdict.outcome == "governed" and self.lacks is not None and self.lacks.holds
        return self.run.agreed_by if is_asked else None

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
    run, verdict, contract = decided.run, decided.verdict, decided.inputs.context.contract
    if verdict.outcome == "governed":
        tables = await contribution.with_batch(resources, lake, run, verdict.accepted, contract)
        if isinstance(tables, Tables) and tables.lacks is not None:
            return _compared(decided, tables, tables.lacks)
        nothing = with_completeness(_superseded(verdict), Comparison(), contract)
        return replace(decided, tables=tables, verdict=nothing)
    verdict = with_completeness(verdict, Comparison(), contract)
    decided = replace(decided, verdict=verdict)
    if run.revision == 1:
        return decided
    if verdict.outcome == "refused":
        tables = await contribution.without_batch(resources, lake, run)
        was_in = isinstance(tables, Tables)
        return replace(decided, tables=tables, verdict=_also(verdict, TAKEN_OUT) if was_in else verdict)
    return replace(decided, verdict=_also(verdict, KEPT)) if run.version is not None else decided


def _compared(decided: Decided, tables: Tables, lacks: Comparison) -> Decided:
    """What a batch that could be governed lacks: told in any case, held beyond the bound unless it was agreed to."""
    run, contract = decided.run, decided.inputs.context.contract
    verdict = with_completeness(decided.verdict, lacks, contract)
    agreed = Comparison.model_validate(run.agreed) if run.agreed else None
    if lacks.holds and not (agreed and is_within(lacks, agreed)):
        waiting = held(verdict, lacks, contract)
        return replace(decided, tables=Nothing(tables.basis), verdict=waiting, lacks=lacks)
    return replace(decided, tables=tables, verdict=verdict, lacks=lacks)


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
