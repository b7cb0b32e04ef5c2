"""One governed table out of the contributions of many sources: field by field, deterministic, pure.

The parts table holds accepted rows as they were contributed, stamped with who, when and how. A field
takes its value from the most authoritative source that has one; between equals from the later period,
then from the later batch. What lost and differs stays visible in `_provenance`. The order in which
batches were governed, retried or reprocessed leaves no trace in the result (P2).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl
from edulake.common.standards import Contract

KEY = "_row_key"
ROW = "_row"
#: JSON text `{field: where a value that was not delivered came from}`, made by the steps.
FILLED = "_filled"
#: Columns of the parts table that say where a row came from; none of them is in the governed table.
STAMPS = ("_source", "_authority", "_delivered_period", "_landed_no", "_batch_id", "_is_whole")
_WHEN = "_when"
_PRECEDENCE = (KEY, "_authority", _WHEN, "_landed_no", "_source")
_DESCENDING = (False, True, True, True, False)
_MERGED = ("_sources", "_provenance")
_DIGITS = re.compile(r"\d{1,20}")


@dataclass(frozen=True)
class Stamp:
    """Who contributed rows, in which delivery.

    `landed_no` counts deliveries in the order they landed. `is_whole`: the delivery is all the source
    has for the period and replaces what it sent before; otherwise it adds to it (pushed rows).
    """

    source: str
    authority: int
    period: str
    landed_no: int
    batch_id: str
    is_whole: bool = True


@dataclass(frozen=True)
class Group:
    """Columns that stand or fall together: the share form of a field, its token and its sealed original."""

    name: str
    columns: tuple[str, ...]
    #: Evidence that goes where the value goes (raw code, mapping version) but is no value itself.
    companions: tuple[str, ...] = ()

    @property
    def all_columns(self) -> tuple[str, ...]:
        return self.columns + self.companions

    @property
    def identity(self) -> str:
        """The column that tells whether two values are the same: the token when there is one."""
        tokens = [column for column in self.columns if column == f"{self.name}_token"]
        return tokens[0] if tokens else self.columns[0]

    @property
    def shown(self) -> str | None:
        """The column whose value may stand in `_provenance`: the share form, never token or seal."""
        return self.name if self.name in self.columns else None


def contribute(parts: pl.DataFrame | None, accepted: pl.DataFrame, stamp: Stamp) -> pl.DataFrame | None:
    """The parts table with this batch in it, or None when a later whole delivery has replaced the batch.

    `accepted`: at least one protected row with `_row_key` (an empty whole delivery would leave no trace
    of having replaced anything, so it is a ValueError). Putting the same batch in twice changes nothing.
    """
    if accepted.is_empty():
        raise ValueError("a batch without accepted rows contributes nothing")
    mine = _stamped(accepted, stamp)
    if parts is None:
        return mine
    if parts.filter(_same(stamp) & _later(stamp) & pl.col("_is_whole")).height:
        return None
    return pl.concat([parts.filter(~replaced_by(stamp)), mine], how="diagonal_relaxed")


def replaced_by(stamp: Stamp) -> pl.Expr:
    """The contributed rows that a delivery takes the place of: its own of before; of a whole one all that its
    source sent for the period until then."""
    own = pl.col("_batch_id") == stamp.batch_id
    return own | (_same(stamp) & ~_later(stamp)) if stamp.is_whole else own


def _same(stamp: Stamp) -> pl.Expr:
    return (pl.col("_source") == stamp.source) & (pl.col("_delivered_period") == stamp.period)


def _later(stamp: Stamp) -> pl.Expr:
    return pl.col("_landed_no") > stamp.landed_no


def merge(parts: pl.DataFrame, groups: Sequence[Group]) -> pl.DataFrame:
    """The governed table: one row per `_row_key`, sorted by it, columns in the order of the groups.

    Adds `_sources` (JSON list, most authoritative first) and `_provenance` (JSON
    `{field: [{source, value}]}` of the values that lost and differ, in order of precedence).
    """
    ordered = _by_precedence(parts)
    alone = pl.len().over(KEY) == 1
    single, several = ordered.filter(alone), ordered.filter(~alone)
    columns = [column for group in groups for column in group.all_columns]
    merged = [
        single.select(KEY, *columns, _sources_of_one(single), pl.lit("{}").alias("_provenance")),
        _merge_several(several, groups).select(KEY, *columns, *_MERGED),
    ]
    return pl.concat(merged, how="vertical_relaxed").sort(KEY)


def groups_of(contract: Contract, columns: Sequence[str]) -> list[Group]:
    """The columns of a parts table, grouped as the contract protects them, in a stable order."""
    present = [c for c in columns if c not in STAMPS and c not in (KEY, ROW, *_MERGED)]
    groups = []
    for field in contract.fields:
        found = tuple(c for c in _forms(field.name) if c in present)
        if found:
            evidence = tuple(c for c in (f"_{field.name}_raw", f"_{field.name}_mapping") if c in present)
            groups.append(Group(field.name, found, evidence))
    known = {c for group in groups for c in group.all_columns}
    return groups + [Group(c, (c,)) for c in sorted(present) if c not in known]


def _forms(name: str) -> tuple[str, ...]:
    return (name, f"{name}_token", f"{name}_sealed")


def _stamped(accepted: pl.DataFrame, stamp: Stamp) -> pl.DataFrame:
    return accepted.with_columns(
        pl.lit(stamp.source).alias("_source"),
        pl.lit(stamp.authority, dtype=pl.Int64).alias("_authority"),
        pl.lit(stamp.period).alias("_delivered_period"),
        pl.lit(stamp.landed_no, dtype=pl.Int64).alias("_landed_no"),
        pl.lit(stamp.batch_id).alias("_batch_id"),
        pl.lit(stamp.is_whole).alias("_is_whole"),
    )


def _by_precedence(parts: pl.DataFrame) -> pl.DataFrame:
    """Sorted so that the first value wins; rows of one key inside one batch are told apart by content."""
    by, descending = list(_PRECEDENCE), list(_DESCENDING)
    content = sorted(set(parts.columns) - set(STAMPS) - {KEY, ROW})
    parts = parts.with_columns(_when(parts["_delivered_period"]).alias(_WHEN))
    if parts.select(_PRECEDENCE).is_duplicated().any():
        ties = [*([ROW] if ROW in parts.columns else []), *content]
        by, descending = [*by, *ties], [*descending, *[False] * len(ties)]
    return parts.sort(by, descending=descending, nulls_last=True, maintain_order=True).drop(_WHEN)


def _when(periods: pl.Series) -> pl.Series:
    """Periods as text that sorts by time: 2024-10 after 2024-9 (and beside 2024-09), 2025 after both."""
    keys = {period: _DIGITS.sub(_padded, period) for period in periods.drop_nulls().unique()}
    return periods.replace_strict(keys, default=None, return_dtype=pl.String)


def _padded(digits: re.Match[str]) -> str:
    return str(int(digits.group())).zfill(20)


def _merge_several(rows: pl.DataFrame, groups: Sequence[Group]) -> pl.DataFrame:
    """The keys to which more than one row was contributed."""
    winners = rows.group_by(KEY, maintain_order=True).agg(
        *(pl.col(c).filter(_is_present(group)).first() for group in groups for c in group.all_columns),
        *_filled_of_winners(rows, groups),
        pl.col("_source").unique(maintain_order=True).alias("_sources"),
    )
    lost = _lost_values(rows, groups)
    return winners.with_columns(
        pl.col("_sources").map_elements(_as_json, return_dtype=pl.String),
        pl.col(KEY)
        .map_elements(lambda key: _as_json(lost.get(key, {})), return_dtype=pl.String)
        .alias("_provenance"),
        *_filled_together(rows, groups),
    )


def _filled_of_winners(rows: pl.DataFrame, groups: Sequence[Group]) -> list[pl.Expr]:
    """For each field where its winning row got the value from, when it was not delivered."""
    if FILLED not in rows.columns:
        return []
    return [
        pl.col(FILLED)
        .filter(_is_present(group))
        .first()
        .str.json_path_match(f"$.{group.name}")
        .alias(_note(group))
        for group in groups
        if not group.name.startswith("_")
    ]


def _filled_together(rows: pl.DataFrame, groups: Sequence[Group]) -> list[pl.Expr]:
    """`_filled` of a merged row: JSON `{field: origin}` of the winners, null where all were delivered."""
    if FILLED not in rows.columns:
        return []
    notes = [(group.name, pl.col(_note(group))) for group in groups if not group.name.startswith("_")]
    parts = [pl.format('"{}":"{}"', pl.lit(name), note) for name, note in notes]
    inner = pl.concat_str(parts, separator=",", ignore_nulls=True)
    return (
        [pl.when(inner != "").then(pl.concat_str(pl.lit("{"), inner, pl.lit("}"))).alias(FILLED)]
        if parts
        else []
    )


def _note(group: Group) -> str:
    return f"{FILLED}.{group.name}"


def _is_present(group: Group) -> pl.Expr:
    return pl.any_horizontal(pl.col(column).is_not_null() for column in group.columns)


def _lost_values(rows: pl.DataFrame, groups: Sequence[Group]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By key and field: the values of other sources that differ from the winner's, one a source."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for group in sorted(groups, key=lambda g: g.name):
        if group.shown is None or group.name.startswith("_"):
            continue
        for key, source, value in _lost_of(rows, group, group.shown).iter_rows():
            found.setdefault(key, {}).setdefault(group.name, []).append({"source": source, "value": value})
    return found


def _lost_of(rows: pl.DataFrame, group: Group, shown: str) -> pl.DataFrame:
    present, value = _is_present(group), pl.col(group.identity)
    winner = value.filter(present).first().over(KEY)
    winning_source = pl.col("_source").filter(present).first().over(KEY)
    lost = value.is_not_null() & value.ne_missing(winner) & (pl.col("_source") != winning_source)
    return (
        rows.filter(lost)
        .unique([KEY, "_source"], keep="first", maintain_order=True)
        .select(KEY, "_source", pl.col(shown).cast(pl.String))
    )


def _sources_of_one(rows: pl.DataFrame) -> pl.Expr:
    names = rows["_source"].unique().to_list()
    return (
        pl.col("_source")
        .replace_strict({name: _as_json([name]) for name in names}, default=None, return_dtype=pl.String)
        .alias("_sources")
    )


def _as_json(value: Any) -> str:
    plain = value.to_list() if isinstance(value, pl.Series) else value
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode()
