"""探查 profile: what is in the delivery, before anybody touches it, and what changed since the last one.

Words are only kept of columns that the contract declares to be about no person, and only those of their code table;
everything else is counts and shapes (`310104` → `数字 5–9 位`). Columns are called by their labels.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl
from edulake.common.mask import shape
from edulake.common.standards import FieldContract
from edulake.governance.steps.context import META, OPEN_LEVEL, Context, StepResult, finding, shown
from edulake.governance.steps.convert import recognise
from edulake.governance.steps.text import empty_to_null, fold, is_month_only, to_date, to_decimal

TOP_VALUES = 8
ROW_COUNT_DROP = 0.3  # a delivery smaller by more than this share than the last one is reported
NULL_JUMP = 0.2  # a column emptier by more than this share is reported


def profile(frame: pl.DataFrame, context: Context) -> StepResult:
    """Per column: empty, distinct, lengths, shapes, a guess of the type; drift against the last profile."""
    headers = [header for header in frame.columns if header not in META]
    coded, called = coded_about_no_person(headers, context), context.labels(headers)
    columns = {called[header]: _column(frame[header], coded.get(header), context) for header in headers}
    facts: dict[str, Any] = {"rows": frame.height, "columns": columns}
    drift = _drift(facts, dict(context.previous_profile or {}))
    return StepResult(frame, [_finding(*change) for change in drift], {"profile": facts})


def coded_about_no_person(headers: Sequence[str], context: Context) -> dict[str, FieldContract]:
    """Headers of code fields of level 1 or 2 that identify nobody; an unknown header is not among them."""
    fields, _ = recognise(headers, context)
    declared = {header: context.contract.field(name) for name, found in fields.items() for header in found}
    return {
        header: field
        for header, field in declared.items()
        if field.code_table and field.level <= OPEN_LEVEL and field.identifies in ("none", "organisation")
    }


def _column(series: pl.Series, coded: FieldContract | None, context: Context) -> dict[str, Any]:
    cells = series.to_frame("cell").select(empty_to_null(fold(pl.col("cell"))).alias("cell")).to_series()
    given = cells.drop_nulls()
    if given.is_empty():
        return {"empty_share": 1.0, "distinct": 0, "type": "empty", "shapes": {}, "top": {}}
    lengths = given.str.len_chars()
    told = given.to_frame("cell").select(
        shape.expression("cell").alias("shape"),
        (shown(coded, pl.col("cell"), context) if coded else pl.lit(None, pl.String)).alias("shown"),
    )
    words = told.filter(pl.col("shown") != pl.col("shape"))["shown"]
    return {
        "empty_share": round(1 - given.len() / max(series.len(), 1), 4),
        "distinct": given.n_unique(),
        "length_min": lengths.min(),
        "length_max": lengths.max(),
        "type": _type_of(given),
        "shapes": _counts(told["shape"]),
        "top": _counts(words),
    }


def _type_of(given: pl.Series) -> str:
    """The narrowest type that reads at least 95 % of the cells."""
    frame, cell = given.to_frame("cell"), pl.col("cell")
    guesses = {
        "date": to_date(cell).is_not_null() & (cell.str.len_chars() >= 8),
        "month": is_month_only(cell),
        "number": to_decimal(cell).is_not_null(),
    }
    shares = frame.select(expression.mean().alias(name) for name, expression in guesses.items())
    return next((name for name in guesses if shares[name].item() >= 0.95), "text")


def _counts(series: pl.Series) -> dict[str, int]:
    counted = series.rename("cell").value_counts(name="n").sort(["n", "cell"], descending=[True, False])
    return dict(counted.head(TOP_VALUES).iter_rows())


Change = tuple[str, str, str, str]


def _drift(now: dict[str, Any], before: dict[str, Any]) -> list[Change]:
    if not before.get("rows"):
        return []
    changes: list[Change] = []
    if now["rows"] < before["rows"] * (1 - ROW_COUNT_DROP):
        fewer = f"{before['rows']} → {now['rows']}"
        changes.append(
            ("drift.rows", "_row", f"行数较上次骤降（{fewer}）", f"far fewer rows than last time ({fewer})")
        )
    for name, column in now["columns"].items():
        last = before.get("columns", {}).get(name)
        if last is None:
            changes.append(
                ("drift.column_new", name, "较上次新增的列", "a column the last delivery did not have")
            )
        elif column["empty_share"] - last["empty_share"] > NULL_JUMP:
            changes.append(("drift.empty", name, "空值较上次骤增", "far more empty cells than last time"))
    gone = set(before.get("columns", {})) - set(now["columns"])
    changes += [
        ("drift.column_gone", name, "较上次缺少的列", "the last delivery had this column")
        for name in sorted(gone)
    ]
    return changes


def _finding(rule_id: str, field: str, zh: str, en: str) -> pl.DataFrame:
    return finding(
        [None], rule_id=rule_id, field_name=field[:60], severity="warning", dimension="一致性", zh=zh, en=en
    )
