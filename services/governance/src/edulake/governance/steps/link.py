"""关联 link: rows of one thing come together by their business key; a likeness is only ever suggested.

Compatible rows of one key inside a delivery become one row (each absorbed row is a finding). A contradiction
keeps the first and quarantines the rest. Similar names are findings for a person to confirm, never a merge.
"""

import polars as pl
from edulake.common.standards import Link, Rule
from edulake.governance.steps.align import place_of, referenced
from edulake.governance.steps.context import (
    BAD,
    NOISE,
    ROW,
    ROW_KEY,
    Context,
    StepResult,
    filled,
    finding,
    mapping,
    no_findings,
    raw,
)
from edulake.governance.steps.rules import apply_rules, mark_bad, record
from edulake.governance.steps.whole import LAST_CHECKS, WHOLE_CHECKS
from rapidfuzz import fuzz, process

#: Kinds of rules that only ever suggest.
SUGGESTIONS = ("near_link", "near_name")
DEFAULT_LIKENESS = 86.0  # of 100, by rapidfuzz.fuzz.ratio over core names; a rule's `min` overrides it
_NEAR = {"core": pl.String, "region": pl.String, "_near": pl.String, "_likeness": pl.Int64}  # _near: its key
MOST_NAMES = 2_000  # distinct names compared in one batch; the rest is left to the next


def link(frame: pl.DataFrame, context: Context) -> StepResult:
    """Rules over whole rows, one row per business key, and suggestions for names nobody knows."""
    first = apply_rules(frame, context, WHOLE_CHECKS)
    whole, keyless = _without_key(first.frame, context)
    merged, absorbed = _merge_compatible(whole, context)
    last = apply_rules(merged, context, LAST_CHECKS)
    suggested, records = _suggestions(last.frame, context)
    findings = [*first.findings, keyless, absorbed, *last.findings, *suggested]
    notes = {"rules": [*first.notes["rules"], *last.notes["rules"], *records]}
    keyed = last.frame.with_columns(
        pl.concat_str(
            [pl.col(k).cast(pl.String) for k in context.contract.business_key], separator="|"
        ).alias(ROW_KEY)
    )
    return StepResult(keyed, [found for found in findings if found.height], notes)


def _without_key(frame: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A sound row without a whole business key cannot be governed, whether a rule says so or not."""
    keys = list(context.contract.business_key)
    keyless = frame.filter(~pl.col(BAD) & pl.any_horizontal(pl.col(keys).is_null()))
    return mark_bad(frame, keyless[ROW]), finding(
        keyless,
        rule_id="business_key.incomplete",
        field_name=keys[-1],
        severity="error",
        dimension="完整性",
        zh="业务主键不完整，无法确定这是哪一条记录",
        en="the business key is incomplete: it cannot be told which record this is",
    )


def _merge_compatible(frame: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row out of the sound rows of a key, where no two of them say different things."""
    keys = list(context.contract.business_key)
    several = frame.filter(~pl.col(BAD)).filter(pl.len().over(keys) > 1)
    if several.is_empty():
        return frame, no_findings()
    compared = [
        f.name for f in context.contract.fields if f.governed_columns and f.name not in _spelt(context)
    ]
    agree = pl.all_horizontal(pl.col(compared).drop_nulls().n_unique().over(keys) <= 1)
    group = several.filter(agree).sort(ROW)
    if group.is_empty():
        return frame, no_findings()
    one = group.group_by(keys, maintain_order=True).agg(_first_of_each(group, context))
    absorbed = group.with_columns(pl.col(ROW).first().over(keys).alias("_first")).filter(
        pl.col(ROW) != pl.col("_first")
    )
    others = frame.join(group.select(ROW), on=ROW, how="anti", maintain_order="left")
    whole = pl.concat([others, one.select(frame.columns)]).sort(ROW)
    return whole, finding(
        absorbed,
        rule_id="row.merged",
        field_name=keys[-1],
        severity="warning",
        dimension="唯一性",
        zh=pl.format("与第 {} 行是同一对象且不矛盾，已合并", "_first"),
        en=pl.format("the same thing as row {} without contradiction: merged", "_first"),
    )


def _first_of_each(group: pl.DataFrame, context: Context) -> list[pl.Expr]:
    """Every column but the keys from the first row that has it; evidence from the row its value is taken from."""
    valued: dict[str, str] = {}
    for field in context.contract.fields:
        valued |= dict.fromkeys((filled(field.name), mapping(field.name)), field.name)
        valued[raw(field.name)] = field.name
    expressions = []
    for column in group.columns:
        if column in context.contract.business_key:
            continue
        any_row = pl.col(column).drop_nulls().first()
        if column not in valued:
            expressions.append(any_row)
            continue
        of_value = pl.col(column).filter(pl.col(valued[column]).is_not_null()).first()
        # Where no row has the value, the text that could not be read is all there is.
        is_empty = pl.col(valued[column]).is_null().all()
        expressions.append(pl.when(is_empty).then(any_row).otherwise(of_value).alias(column))
    return expressions


def _spelt(context: Context) -> set[str]:
    """Fields in which two spellings are no contradiction: names are compared by the key they give."""
    names = {f.name for f in context.contract.fields if f.normalise == "school_name"}
    return names | {"other_names"}


def _suggestions(frame: pl.DataFrame, context: Context) -> tuple[list[pl.DataFrame], list[dict[str, object]]]:
    findings, records = [], []
    for rule in context.contract.rules:
        if rule.kind not in SUGGESTIONS:
            continue
        asked = (
            _unlinked(frame, rule, context) if rule.kind == "near_link" else _unknown(frame, rule, context)
        )
        found, checked = asked
        records.append(record(rule, checked, found.height))
        findings.append(found)
    return findings, records


def _unlinked(frame: pl.DataFrame, rule: Rule, context: Context) -> tuple[pl.DataFrame, int]:
    """Rows whose link found nothing, against everything the link may point to."""
    link = next(link for link in context.contract.links if link.field == rule.field)
    place = place_of(context)
    unknown = pl.col(link.field).is_null() & ~pl.col(f"_{link.field}_several")
    asked = frame.filter(~pl.col(NOISE) & unknown & pl.col(link.name or "").is_not_null())
    cores = asked.select(
        ROW, place.core(pl.col(link.name or "")).alias("core"), pl.lit(None, pl.String).alias("region")
    )
    return _near(cores, referenced(link, context, place), rule), frame.height


def _unknown(frame: pl.DataFrame, rule: Rule, context: Context) -> tuple[pl.DataFrame, int]:
    """Sound rows whose key no governed row has yet, against the governed rows of the dataset itself."""
    own = next((r.alias for r in context.contract.references if r.dataset == context.contract.name), None)
    key = context.contract.business_key[-1]
    if own is None or own not in context.references or context.references[own].is_empty():
        return no_findings(), 0
    place = place_of(context)
    target = referenced(_self_link(own, key, rule), context, place)
    asked = frame.filter(~pl.col(BAD)).join(target.select("key"), left_on=key, right_on="key", how="anti")
    region = pl.col(rule.with_field).cast(pl.String) if rule.with_field else pl.lit(None, pl.String)
    cores = asked.select(ROW, place.core(pl.col(rule.field)).alias("core"), region.alias("region"))
    return _near(cores, target, rule), frame.height


def _self_link(reference: str, key: str, rule: Rule) -> Link:
    return Link(field=key, reference=reference, key=key, reference_code=key, reference_name=rule.field)


def _near(asked: pl.DataFrame, target: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """For each asked row the key of the most similar name of its region, or of the very same core in another one."""
    names = asked.select("core", "region").unique(maintain_order=True).drop_nulls("core").head(MOST_NAMES)
    cutoff = rule.min or DEFAULT_LIKENESS
    everywhere = target["core"].to_list()
    in_region = {key[0]: part for key, part in target.partition_by("region", as_dict=True).items()}
    answers = []
    for core, region in names.iter_rows():  # at most MOST_NAMES, each compared in C++
        pool = in_region.get(region, target.clear()) if region else target
        best = process.extractOne(core, pool["core"].to_list(), scorer=fuzz.ratio, score_cutoff=cutoff)
        if best is not None:
            answers.append((core, region, pool["key"][best[2]], round(best[1])))
        elif core in everywhere:
            answers.append((core, region, target["key"][everywhere.index(core)], 100))
    near = pl.DataFrame(answers, schema=_NEAR, orient="row")
    hits = asked.join(near, on=["core", "region"], how="inner", nulls_equal=True).sort(ROW)
    return finding(
        hits,
        rule_id=rule.id,
        field_name=rule.field,
        severity="warning",
        dimension=rule.dimension,
        zh=pl.format(rule.title + "（相近的主键：{}，相似度 {}）", "_near", "_likeness"),
        en=pl.format((rule.title_en or rule.title) + " (key {}, likeness {})", "_near", "_likeness"),
    )
