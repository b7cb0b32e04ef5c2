"""Rows with more cells than the header: a comma that nobody quoted moves every cell after it into the next column.

Such a row cannot be trusted anywhere, whatever else it passes, so it goes to quarantine as it came. What stood
beyond the header is graded like everything else, by the row and not as a column, for the source has no such column.
"""

from typing import Any

import polars as pl
from edulake.common.standards import Grading
from edulake.common.standards.detect import folded, matches
from edulake.governance.steps.context import BAD, NOISE, ROW, SHAPE, finding, no_findings

RULE, FIELD = "row.shifted", "_row"
TITLE = "单元格多于表头，其后各列错位（多为含分隔符的内容未加引号）"
_MARK = pl.Struct({"extra": pl.List(pl.String)})


def mark_shifted(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """The frame with shifted rows marked, their findings, and the rule's record for the report.

    No other rule looks at them (`_noise`): it would say of one column what is true of another, and show it.
    """
    surplus = _extra_cells(frame)
    rows = surplus.select(ROW).unique(maintain_order=True)
    is_shifted = pl.col(ROW).is_in(rows[ROW].implode())
    marked = frame.with_columns(is_shifted.alias(BAD), is_shifted.alias(NOISE))
    found = finding(
        rows,
        rule_id=RULE,
        field_name=FIELD,
        severity="error",
        dimension="规范性",
        zh=TITLE,
        en="more cells than the header: the columns after the first surplus one are shifted "
        "(content with the delimiter was not quoted)",
    )
    record = {"rule_id": RULE, "title": TITLE, "field": FIELD, "severity": "error", "dimension": "规范性"}
    return marked, found, {"rules": [{**record, "checked_rows": frame.height, "failed_rows": rows.height}]}


def grade_surplus(frame: pl.DataFrame, grading: Grading, above: int) -> pl.DataFrame:
    """Findings of rows whose surplus cells match a detector of a level above `above`. Nothing of it is kept."""
    surplus = _extra_cells(frame).with_columns(folded(pl.col("cell")))
    found = [
        finding(
            surplus.filter(matches(detector, pl.col("cell"))).unique(ROW, maintain_order=True),
            rule_id="grade.above_declared",
            field_name=FIELD,
            severity="error",
            dimension="规范性",
            zh=pl.format(f"文件第 {{}} 行多出的单元格疑似含{detector.title}，第 {detector.level} 级", ROW),
            en=pl.format(
                f"file row {{}}: a surplus cell holds {detector.name} (level {detector.level})", ROW
            ),
        )
        for detector in grading.detectors
        if detector.level > above
    ]
    return pl.concat([no_findings(), *found])


def _extra_cells(frame: pl.DataFrame) -> pl.DataFrame:
    """`_row` and `cell`: what is not empty beyond the header."""
    if SHAPE not in frame.columns:
        return pl.DataFrame(schema={ROW: pl.Int64, "cell": pl.String})
    cells = pl.col(SHAPE).str.json_decode(_MARK).struct.field("extra")
    marked = frame.filter(pl.col(SHAPE).is_not_null()).select(pl.col(ROW).cast(pl.Int64), cells.alias("cell"))
    return marked.explode("cell", empty_as_null=True).filter(pl.col("cell").str.strip_chars() != "")
