"""分级分类标签 grade: what is really in the columns is held against what the contract declares.

A delivered column found more sensitive than declared, or a column nobody declared that holds personal
numbers, stops the batch: better late than leaked. Cells beyond the header stop only their row, which is held back anyway.
"""

import polars as pl
from edulake.common.standards import Detector, FieldContract
from edulake.governance.steps import credit
from edulake.governance.steps.context import RAW_PREFIX, Context, StepResult, finding
from edulake.governance.steps.convert import recognise
from edulake.governance.steps.shift import grade_surplus
from edulake.governance.steps.text import squeeze

UNDECLARED = 2  # the highest level a column that is not in the contract may be found to have
EXAMINED_ROWS = 200_000  # rows looked at per column; evenly spread over a larger delivery


def grade(frame: pl.DataFrame, context: Context) -> StepResult:
    """Levels found in every delivered column; `blocked` when one is above its declaration."""
    headers = [c.removeprefix(RAW_PREFIX) for c in frame.columns if c.startswith(RAW_PREFIX)]
    fields, _ = recognise(headers, context)
    known = {header: context.contract.field(name) for name, found in fields.items() for header in found}
    declared = {header: field.level for header, field in known.items()}
    sample = frame.gather_every(max(1, -(-frame.height // EXAMINED_ROWS)))
    detected = {header: _detect(sample, header, known.get(header), context) for header in headers}
    too_high = {h: d for h, d in detected.items() if d and d.level > declared.get(h, UNDECLARED)}
    levels = {h: max(declared.get(h, 1), d.level if d else 1) for h, d in detected.items()}
    notes: dict[str, object] = {"column_levels": levels}
    if too_high:
        notes["blocked"] = _reason(too_high, declared)
    findings = [_finding(h, d, declared.get(h)) for h, d in too_high.items()]
    surplus = grade_surplus(frame, context.standards.grading, UNDECLARED)
    return StepResult(frame, [*findings, surplus], notes)


def _asked_of(field: FieldContract | None, context: Context) -> list[Detector]:
    """The detectors for a column; `field`: what it is declared to be, None for one that nobody declared."""
    spared = field is not None and field.identifies == "organisation"
    return [d for d in context.standards.grading.detectors if not (spared and d.spares_organisations)]


def _detect(
    frame: pl.DataFrame, header: str, field: FieldContract | None, context: Context
) -> Detector | None:
    """The most sensitive detector that matches a large enough share of the non-empty cells."""
    detectors = _asked_of(field, context)
    cell = squeeze(pl.col(RAW_PREFIX + header).str.normalize("NFKC"))
    cells = frame.select(cell.alias("cell")).filter(pl.col("cell").str.len_chars() > 0)
    # 1231012005…: a code of an organisation, not the number of a person.
    if field is not None and field.normalise == "credit_code":
        cells = cells.filter(~credit.is_valid(pl.col("cell").str.to_uppercase()))
    if cells.is_empty() or not detectors:
        return None
    shares = cells.select(pl.col("cell").str.contains(d.pattern).mean().alias(d.name) for d in detectors)
    found = [d for d in detectors if shares[d.name].item() >= d.minimum_share]
    return max(found, key=lambda d: d.level, default=None)


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
