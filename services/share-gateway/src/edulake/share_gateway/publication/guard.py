"""What a version lacks of what is served: in total, in one district, in one column. Pure: counts in, words out.

A last look at the whole table that callers read. Governance compares each delivery with what it replaces, but
rows also leave with a withdrawal, a restore, or another fault upstream.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from edulake.common.standards import Contract
from edulake.share_gateway.engine.serving import NUMBER, REGION

#: So few rows of one district, or values of one column, are told by nobody: a correction moves as many.
FEW = 3


@dataclass(frozen=True)
class Counts:
    """Rows, rows by district (without those of none), and filled values by column."""

    rows: int
    districts: Mapping[str, int]
    filled: Mapping[str, int]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "Counts":
        """Of the rows of a serving table (`loader.serving_rows`)."""
        names = [name for name in rows.columns if name not in (NUMBER, REGION)]
        districts = rows[REGION].drop_nulls().value_counts()
        filled = rows.select(pl.col(names).count()).row(0, named=True) if names else {}
        return cls(rows.height, dict(districts.iter_rows()), filled)


@dataclass(frozen=True)
class Losses:
    """What is lacking beyond the bound, in words; false when nothing is."""

    zh: str
    en: str

    def __bool__(self) -> bool:
        return bool(self.zh)


def losses(served: Counts, wanted: Counts, contract: Contract) -> Losses:
    """What `wanted` lacks of `served` beyond the contract's bound. Columns that only one of them has do not count."""
    bound = contract.completeness
    said = []
    if _lost(served.rows, wanted.rows) > bound.rows_lost_max * served.rows:
        said.append((f"{_fall(served.rows, wanted.rows)} 行", f"rows {_fall(served.rows, wanted.rows)}"))
    for district, before in sorted(served.districts.items()):
        after = wanted.districts.get(district, 0)
        if _lost(before, after) > max(FEW, bound.rows_lost_max * before):
            fall = _fall(before, after)
            said.append((f"区划 {district} {fall} 行", f"rows of district {district} {fall}"))
    for name, before in served.filled.items():
        after = wanted.filled.get(name, before)
        if _thinned(served, wanted, name) > max(FEW, bound.values_lost_max * before):
            said.append(
                (f"字段 {name} {_fall(before, after)} 个值", f"values of {name} {_fall(before, after)}")
            )
    return Losses("、".join(zh for zh, _ in said), ", ".join(en for _, en in said))


def _thinned(served: Counts, wanted: Counts, name: str) -> float:
    """Values that a column lost beside those that left with whole rows, which are told as rows."""
    before, after = served.filled[name], wanted.filled.get(name)
    if after is None or not served.rows:
        return 0
    return before * min(1, wanted.rows / served.rows) - after


def _lost(before: int, after: int) -> int:
    return max(before - after, 0)


def _fall(before: int, after: int) -> str:
    return f"{before}→{after}"
