"""Part of convert: a record that was delivered as several labelled rows becomes one row again.

Only where the contract says so, and only when the labels are complete, in order and adjacent and everything
else in the rows is the same. Any other labelled row stays as it is and is found by the heading rule.
"""

import polars as pl
from edulake.common.standards import Contract, Reshape
from edulake.governance.steps import text
from edulake.governance.steps.context import BAD, ROW, filled, finding, no_findings, raw


def reshape(frame: pl.DataFrame, contract: Contract) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The frame with each labelled record on its first row, and a finding for each absorbed row."""
    rule = contract.reshape
    if rule is None:
        return frame, no_findings()
    marked = _records(frame, contract, rule)
    whole = pl.col("_record").is_not_null()
    if not marked.select(whole.any()).item():
        return frame, no_findings()
    value, label = pl.col(raw(rule.value)), pl.col("_label")
    moved = [
        pl.when(whole)
        .then(value.filter(label == word).first().over("_record"))
        .otherwise(pl.col(raw(field)))
        .alias(raw(field))
        for word, field in rule.words.items()
        if field
    ]
    origin = [
        pl.when(whole).then(pl.lit("reshaped")).otherwise(_provenance(marked, field)).alias(filled(field))
        for field in rule.words.values()
        if field
    ]
    first = pl.col(ROW).min().over("_record")
    done = marked.with_columns(*moved, *origin, first.alias("_first"))
    absorbed = done.filter(whole & (pl.col(ROW) != pl.col("_first")))
    kept = done.filter(~whole | (pl.col(ROW) == pl.col("_first"))).drop("_label", "_record", "_first")
    return kept, _finding(absorbed, rule)


def _records(frame: pl.DataFrame, contract: Contract, rule: Reshape) -> pl.DataFrame:
    """`_label` and, for rows of a complete record, `_record` (its number); else null."""
    words = list(rule.words)
    label = pl.when(~pl.col(BAD)).then(text.squeeze(pl.col(raw(rule.label))))
    others = [raw(f.name) for f in contract.fields if f.name not in (rule.label, rule.value)]
    place = {word: number for number, word in enumerate(words)}
    marked = frame.with_columns(label.alias("_label")).with_columns(
        pl.col("_label").replace_strict(place, default=None, return_dtype=pl.Int64).alias("_place"),
        pl.int_range(pl.len()).alias("_position"),
    )
    # Rows of one record, and only they, share the position their record begins at.
    marked = marked.with_columns((pl.col("_position") - pl.col("_place")).alias("_begin"))
    same = pl.struct(others).n_unique().over("_begin") == 1
    complete = (pl.len().over("_begin") == len(words)) & (
        pl.col("_place").n_unique().over("_begin") == len(words)
    )
    is_whole = pl.col("_begin").is_not_null() & complete & same
    return marked.with_columns(pl.when(is_whole).then(pl.col("_begin")).alias("_record")).drop(
        "_place", "_position", "_begin"
    )


def _provenance(frame: pl.DataFrame, field: str) -> pl.Expr:
    return pl.col(filled(field)) if filled(field) in frame.columns else pl.lit(None, pl.String)


def _finding(absorbed: pl.DataFrame, rule: Reshape) -> pl.DataFrame:
    return finding(
        absorbed,
        rule_id="row.reshaped",
        field_name=rule.label,
        severity="warning",
        dimension="规范性",
        zh=pl.format("一条记录被拆成多行，已并入第 {} 行", "_first"),
        en=pl.format("one record in several rows: joined into row {}", "_first"),
    )
