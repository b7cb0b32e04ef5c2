"""What a delivery replaces, in figures, and what of it is odd enough to ask its source.

A file is all of its period, so a cut, doubled or misplaced one takes rows away without any error. The
bound is the contract's `completeness.rows_lost_max`. Pushes add and are never asked.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from edulake.common.standards import Contract
from edulake.common.standards.headers import recognise
from edulake.ingest.batch import repository
from edulake.ingest.models import PUSHED, Batch
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

#: rows: beyond the bound; columns: known ones are missing; period, source: the same file is in effect there.
Odd = Literal["rows", "columns", "period", "source"]


class SameAs(BaseModel):
    """Where the same file is in effect already; the batch is named to its own source only."""

    batch_id: str | None
    source_id: str
    period: str


class Figures(BaseModel):
    """What a source is shown and repeats when it confirms; what else it sends back does not count."""

    model_config = ConfigDict(extra="ignore")
    batch_id: str | None
    rows_before: int | None
    rows_after: int
    columns_lost: list[str] = []
    same_as: SameAs | None = None


class Replaces(Figures):
    """`batch_id`, `rows_before`: what is in effect now, None without. `columns_lost`: titles of fields.

    `rows_before` is that of the largest delivery in effect, where pushes came after the file: a lower bound.
    `odd`: why the source is asked; nothing: it is not.
    """

    delivered_at: datetime | None
    odd: list[Odd]

    @property
    def percent(self) -> float | None:
        """Of rows, against those in effect; what is left is never rounded to nothing."""
        if not self.rows_before:
            return None
        exact = (self.rows_after / self.rows_before - 1) * 100
        near = round(exact) if abs(exact) >= 1 else round(exact, 1)
        return -99.9 if near <= -100 else near

    def in_words(self, *, is_done: bool) -> tuple[str, str]:
        """The figures as a sentence, in Chinese and English; `is_done`: it has landed."""
        zh, en = self._rows_in_words(is_done=is_done)
        if self.columns_lost:
            zh.append(f"缺少原有的列：{'、'.join(self.columns_lost)}")
            en.append(f"columns that were there are missing: {', '.join(self.columns_lost)}")
        if self.same_as:
            what = ("期次", "period") if "period" in self.odd else ("来源", "source")
            where = f"{self.same_as.source_id} / {self.same_as.period}"
            zh.append(f"同一文件已作为 {where} 报送，请核对{what[0]}")
            en.append(f"the same file is in effect as {where}: check the {what[1]}")
        return "；".join(zh), "; ".join(en)

    def _rows_in_words(self, *, is_done: bool) -> tuple[list[str], list[str]]:
        if self.rows_before is None:
            return [f"{self.rows_after:,} 行，没有替代其他数据"], [
                f"{self.rows_after:,} rows replace nothing"
            ]
        percent = f"{self.percent:+g}".replace("-", "−") if self.percent else "0"
        verb = ("替代", "replace") if is_done else ("将替代", "will replace")
        return (
            [f"{self.rows_after:,} 行{verb[0]} {self.rows_before:,} 行（{percent} %）"],
            [f"{self.rows_after:,} rows {verb[1]} {self.rows_before:,} ({percent} %)"],
        )


async def compare(
    session: AsyncSession, batch: Batch, contract: Contract, mapping: Mapping[str, str]
) -> Replaces | None:
    """What a file replaces at this moment; None when that is nothing, and nothing is odd."""
    place = (batch.source_id, batch.dataset, batch.period)
    before = await repository.in_effect(session, *place)
    same = await repository.find_same_elsewhere(session, *place, batch.digest)
    if not before and not same:
        return None
    largest = max(before, key=lambda one: one.rows_landed, default=None)
    rows_before = largest.rows_landed if largest else None
    lost = _columns_lost(before, batch.columns, contract, mapping)
    odd: list[Odd] = []
    if _is_odd(before, batch, contract.completeness.rows_lost_max):
        odd.append("rows")
    if lost:
        odd.append("columns")
    if same:
        odd.append("period" if same.source_id == batch.source_id else "source")
    return Replaces(
        batch_id=str(before[-1].batch_id) if before else None,
        rows_before=rows_before,
        rows_after=batch.rows_landed,
        columns_lost=lost,
        same_as=_same_as(same, batch.source_id) if same else None,
        delivered_at=before[-1].created_at if before else None,
        odd=odd,
    )


def _is_odd(before: Sequence[Batch], batch: Batch, lost_max: float) -> bool:
    """Against one file; against pushes only a loss is certain, for how many rows they make up is not known here."""
    if len(before) == 1 and before[0].format != PUSHED:
        return is_beyond(before[0].rows_landed, batch.rows_landed, lost_max)
    return any(batch.rows_landed < one.rows_landed * (1 - lost_max) for one in before)


def is_beyond(before: int, after: int, lost_max: float) -> bool:
    """Whether rows fall by more than the share `lost_max`, or rise so that the way back would."""
    return after < before * (1 - lost_max) or before < after * (1 - lost_max)


def _columns_lost(
    before: Sequence[Batch], columns: Sequence[str], contract: Contract, mapping: Mapping[str, str]
) -> list[str]:
    """Titles of the fields that what is in effect fed and these headers do not."""
    fed = {name for one in before for name in recognise(one.columns, contract, mapping)[0]}
    lost = fed - set(recognise(columns, contract, mapping)[0])
    return [field.title for field in contract.fields if field.name in lost]


def _same_as(same: Batch, source_id: str) -> SameAs:
    own = str(same.batch_id) if same.source_id == source_id else None
    return SameAs(batch_id=own, source_id=same.source_id, period=same.period)
