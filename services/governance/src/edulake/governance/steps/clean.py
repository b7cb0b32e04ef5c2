"""清洗 clean: what cannot be true is found, and what was sent twice is kept once.

Private-use characters are reported, not dropped: they are often the only trace of a rare character in a name.
"""

import polars as pl
from edulake.common.standards import Contract
from edulake.governance.steps.checks import VALUE_CHECKS
from edulake.governance.steps.context import BAD, ROW, Context, StepResult, finding, raw, shown
from edulake.governance.steps.rules import apply_rules

_PRIVATE_USE = r"\p{Co}"


def clean(frame: pl.DataFrame, context: Context) -> StepResult:
    """Rules about single rows, then exact duplicates: the first stays, each other is a finding."""
    frame, odd = _cut_names(frame, context)
    result = apply_rules(frame, context, VALUE_CHECKS)
    kept, repeated = _without_repeats(result.frame, context.contract)
    extra = [found for found in (_private_use(frame, context), odd, repeated) if found.height]
    return StepResult(kept, [*result.findings, *extra], result.notes)


def _without_repeats(frame: pl.DataFrame, contract: Contract) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows equal in every field that is governed; rows already in quarantine stay there one by one."""
    columns = [f.name for f in contract.fields if f.governed_columns]
    texts = [raw(f.name) for f in contract.fields if f.governed_columns and f.type != "string"]
    first = pl.col(ROW).min().over([*columns, *texts])
    marked = frame.with_columns(first.alias("_first"))
    repeats = marked.filter(~pl.col(BAD) & (pl.col(ROW) != pl.col("_first")) & ~_first_is_bad(marked))
    found = finding(
        repeats,
        rule_id="row.duplicate",
        field_name=contract.business_key[0],
        severity="warning",
        dimension="唯一性",
        zh=pl.format("与第 {} 行完全相同，已合并", "_first"),
        en=pl.format("exactly equal to row {}: kept once", "_first"),
    )
    return frame.join(repeats.select(ROW), on=ROW, how="anti", maintain_order="left"), found


def _first_is_bad(marked: pl.DataFrame) -> pl.Expr:
    bad = marked.filter(pl.col(BAD))[ROW]
    return pl.col("_first").is_in(bad.implode())


def _private_use(frame: pl.DataFrame, context: Context) -> pl.DataFrame:
    found = [
        finding(
            frame.filter(pl.col(f.name).str.contains(_PRIVATE_USE)),
            rule_id="text.private_use",
            field_name=f.name,
            severity="warning",
            dimension="规范性",
            zh=f"{f.title}含自造字（私有区字符），请改用国家标准编码",
            en="a private-use character: please send the standard one (GB 18030)",
        )
        for f in context.contract.fields
        if f.type == "string"
    ]
    return pl.concat(found)


def _cut_names(frame: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A short name that is only the beginning of the whole one was cut by a program: it is not used."""
    names = {f.name for f in context.contract.fields}
    if not {"short_name", "school_name"} <= names:
        return frame, pl.DataFrame(schema={ROW: pl.Int64})
    short, whole = pl.col("short_name"), pl.col("school_name")
    is_cut = (
        whole.str.starts_with(short)
        & (short != whole)
        & ~short.str.contains(r"(学校|中学|小学|学院|幼儿园)$")
    )
    found = finding(
        frame.filter(is_cut),
        rule_id="short_name.cut",
        field_name="short_name",
        severity="warning",
        dimension="准确性",
        zh="简称只是全称的开头，疑似被截断，未采用",
        en="the short name is only the beginning of the name: not used",
        value=shown(context.contract.field("short_name"), short, context),
    )
    return frame.with_columns(pl.when(~is_cut.fill_null(False)).then(short).alias("short_name")), found
