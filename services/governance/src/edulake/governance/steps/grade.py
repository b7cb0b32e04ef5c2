"""分级分类标签 grade: what is really in the columns is held against what the contract declares.

A delivered column found more sensitive than declared, or a column nobody declared that holds personal
numbers, stops the batch: better late than leaked; a number with a right check digit does so alone. A single cell
of a column that is kept in the clear, and cells beyond the header, stop their row. Headers are told by their labels.
"""

from typing import Any

import polars as pl
from edulake.common.standards import Detector, FieldContract
from edulake.common.standards.detect import folded, is_certain, matches
from edulake.governance.steps import credit
from edulake.governance.steps.context import (
    NOISE,
    OPEN_LEVEL,
    RAW_PREFIX,
    ROW,
    Context,
    StepResult,
    finding,
    no_findings,
    raw,
)
from edulake.governance.steps.convert import recognise
from edulake.governance.steps.rules import mark_bad
from edulake.governance.steps.shift import grade_surplus

EXAMINED_ROWS = 200_000  # rows looked at per column; evenly spread over a larger delivery
RULE, FIELD = "cell.personal", "_row"
TITLE = "公开或内部的列里出现了个人号码、电话或住址"


def grade(frame: pl.DataFrame, context: Context) -> StepResult:
    """Levels found in every delivered column; `blocked` when one is above its declaration."""
    headers = [c.removeprefix(RAW_PREFIX) for c in frame.columns if c.startswith(RAW_PREFIX)]
    fields, _ = recognise(headers, context)
    known = {header: context.contract.field(name) for name, found in fields.items() for header in found}
    called = context.labels(headers)
    declared = {called[header]: field.level for header, field in known.items()}
    sample = frame.gather_every(max(1, -(-frame.height // EXAMINED_ROWS)))
    detected = {called[header]: _detect(sample, header, known.get(header), context) for header in headers}
    too_high = {h: d for h, d in detected.items() if d and d.level > declared.get(h, OPEN_LEVEL)}
    levels = {h: max(declared.get(h, 1), d.level if d else 1) for h, d in detected.items()}
    personal = _personal_cells(frame, context)
    notes: dict[str, object] = {"column_levels": levels, "rules": [_record(frame, personal)]}
    if too_high:
        notes["blocked"] = _reason(too_high, declared)
    findings = [_finding(h, d, declared.get(h)) for h, d in too_high.items()]
    surplus = grade_surplus(frame, context.standards.grading, OPEN_LEVEL)
    return StepResult(mark_bad(frame, personal[ROW]), [*findings, surplus, personal], notes)


def _asked_of(field: FieldContract | None, context: Context) -> list[Detector]:
    """The detectors for a column; `field`: what it is declared to be, None for one that nobody declared."""
    spared = field is not None and field.identifies == "organisation"
    return [d for d in context.standards.grading.detectors if not (spared and d.spares_organisations)]


def _detect(
    frame: pl.DataFrame, header: str, field: FieldContract | None, context: Context
) -> Detector | None:
    """The most sensitive detector that matches a large enough share of the non-empty cells."""
    cells = _cells_of(frame, RAW_PREFIX + header, field)
    if cells.is_empty():
        return None
    asked = _asked_of(field, context)
    shares = cells.select(matches(d, pl.col("cell")).mean().alias(d.name) for d in asked)
    found = [
        d
        for d in asked
        if shares[d.name].item() >= d.minimum_share
        or (shares[d.name].item() and is_certain(d, cells["cell"]))
    ]
    return max(found, key=lambda d: d.level, default=None)


def _cells_of(frame: pl.DataFrame, column: str, field: FieldContract | None) -> pl.DataFrame:
    """`_row` and the folded `cell`, where there is one.

    In a column of credit codes (1231012005…) a valid one is a number of an organisation, and so are old 15-digit ones.
    """
    cells = frame.select(ROW, folded(pl.col(column)).str.strip_chars().alias("cell"))
    cells = cells.filter(pl.col("cell").str.len_chars() > 0)
    if field is not None and field.normalise == "credit_code":
        code = pl.col("cell").str.to_uppercase()
        cells = cells.filter(~(credit.is_valid(code) | (code.str.len_chars() == 15)))
    return cells


def _personal_cells(frame: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Findings of single cells above their column's level, in columns that are kept as they are delivered."""
    found = [no_findings()]
    sound = frame.filter(~pl.col(NOISE))
    for field in context.contract.fields:
        if field.protect.share != "keep" or field.type == "code" or not field.aliases:
            continue
        cells = _cells_of(sound, raw(field.name), field)
        for detector in _asked_of(field, context):
            if detector.level > max(field.level, OPEN_LEVEL):
                rows = cells.filter(matches(detector, pl.col("cell")))
                found.append(_cell_finding(rows, field, detector))
    return pl.concat(found).unique([ROW, "field"], keep="first", maintain_order=True)


def _cell_finding(rows: pl.DataFrame, field: FieldContract, detector: Detector) -> pl.DataFrame:
    return finding(
        rows,
        rule_id=RULE,
        field_name=field.name,
        severity="error",
        dimension="规范性",
        zh=f"{field.title}里疑似有{detector.title}（第 {detector.level} 级），这一行不能公开",
        en=f"{field.title_en or field.name} holds {detector.name} (level {detector.level}): the row is held back",
    )


def _record(frame: pl.DataFrame, personal: pl.DataFrame) -> dict[str, Any]:
    facts = {"rule_id": RULE, "title": TITLE, "field": FIELD, "severity": "error", "dimension": "规范性"}
    return {**facts, "checked_rows": frame.height, "failed_rows": personal[ROW].n_unique()}


def _reason(too_high: dict[str, Detector], declared: dict[str, int]) -> str:
    zh = "、".join(
        f"“{h[:40]}”疑似含{d.title}（第 {d.level} 级，声明 {_said(h, declared)}）"
        for h, d in too_high.items()
    )
    en = ", ".join(f"{h[:40]}: {d.name} (level {d.level})" for h, d in too_high.items())
    return (
        f"列内容比声明的更敏感，批次已拦截：{zh}。请删除该列，或由治理人员映射到已声明的字段。"
        f" / Content more sensitive than declared, the batch is stopped: {en}. Remove the column or map it."
    )


def _said(header: str, declared: dict[str, int]) -> str:
    return f"第 {declared[header]} 级" if header in declared else "无"


def _finding(header: str, detector: Detector, declared: int | None) -> pl.DataFrame:
    return finding(
        [None],
        rule_id="grade.above_declared",
        field_name=header[:60],
        severity="error",
        dimension="规范性",
        zh=f"疑似含{detector.title}，第 {detector.level} 级，高于声明的级别",
        en=f"holds {detector.name} (level {detector.level}), declared {declared or 'nowhere'}",
    )
