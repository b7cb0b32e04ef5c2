"""What a delivery lacks of what it replaces: counted by key, before anything is replaced. Pure.

A delivery replaces what its source contributed for the same period (`merge.replaced_by`). So a cut file, the
file of another period or source, a column that became empty and a code table that lost values all show in one
comparison: keys that are gone, and keys that stay but lost a value. A pushed row takes nothing away (an absent
value loses against any that is there), so a push is compared with its own earlier processing only.
"""

import re
from collections.abc import Sequence
from typing import Any

import polars as pl
from edulake.common.events import COMPLETENESS, ColumnLoss, Comparison
from edulake.common.standards import Contract
from edulake.governance.dataset.merge import KEY, Group, Stamp, groups_of, replaced_by
from edulake.governance.steps.context import finding, no_findings

#: So few lost values of a column are told, but hold nothing: they are corrections.
FEW_VALUES = 3
#: Most of a delivery: from here on it is rather what it resembles. Hardly any of it: below this.
MOST, HARDLY = 0.5, 0.2
#: A period this many years from all others of its source was mistyped.
YEARS_APART = 5
_YEAR = re.compile(r"(19|20)\d\d")
_CONTENT = "_content"
TITLE = "相对被替代数据缺少的行与值"


def compare(
    parts: pl.DataFrame | None, accepted: pl.DataFrame, stamp: Stamp, contract: Contract, *, year: int
) -> Comparison:
    """Figures of a delivery against the present contributions. `year`: of its arrival."""
    figures: dict[str, Any] = {"rows_after": accepted.height, "keys_after": accepted[KEY].n_unique()}
    if parts is None or parts.is_empty():
        return Comparison(**figures, exceeds=["period"] if _is_odd(stamp.period, [], year) else [])
    mine = parts.filter(pl.col("_source") == stamp.source)
    same = mine.filter(pl.col("_delivered_period") == stamp.period)
    before = same.filter(replaced_by(stamp))
    after = pl.concat([same.filter(~replaced_by(stamp)), accepted], how="diagonal_relaxed")
    groups = [g for g in groups_of(contract, parts.columns) if not g.name.startswith("_")]
    exceeds = list[str]()
    if before.height:
        figures |= {"compared_with": stamp.period, **_losses(before, after, groups)}
        exceeds += _passed(figures, contract)
    elif stamp.is_whole and not _holds_time(contract):
        figures |= _fewer(mine, after, stamp, groups)
        exceeds += ["fewer"] if "rows" in _passed(figures, contract) else []
    if stamp.is_whole:
        figures |= _of_other_period(mine, before, accepted, stamp, groups, contract)
        figures |= _of_other_source(parts, mine, before, accepted, stamp, contract)
        others = [] if before.height else mine["_delivered_period"].unique().to_list()
        if figures.get("other_period") or (not before.height and _is_odd(stamp.period, others, year)):
            exceeds.append("period")
        exceeds += ["source"] if figures.get("other_source") else []
    if contract.completeness.rows_lost_max == 1:  # every row may be lost: then nothing need be asked
        exceeds = []
    return Comparison(**figures, exceeds=exceeds)


def is_within(now: Comparison, agreed: Comparison) -> bool:
    """Whether a person who agreed to one loss has agreed to this one: it is no larger in any respect."""
    lost = {column.field: column.lost for column in agreed.columns}
    return (
        set(now.exceeds) <= set(agreed.exceeds)
        and now.keys_lost <= agreed.keys_lost
        and now.rows_after >= agreed.rows_after
        and all(column.lost <= lost.get(column.field, 0) for column in now.columns)
    )


def record(found: Comparison) -> dict[str, Any]:
    """The rule's record for the report; `checked_rows` 0: there was nothing to compare with."""
    checked = max(found.keys_before, found.failed)
    if (
        found.exceeds and not found.failed
    ):  # a period that nobody delivers for: the whole delivery is in doubt
        checked = failed = found.keys_after
    else:
        failed = found.failed
    severity = "error" if found.holds else "warning"
    facts = {"rule_id": COMPLETENESS, "title": TITLE, "field": "_row", "severity": severity}
    return {**facts, "dimension": "完整性", "checked_rows": checked, "failed_rows": failed}


def findings(found: Comparison, contract: Contract) -> pl.DataFrame:
    """The figures in words, each about the whole delivery; no value of a row."""
    said = [
        finding(
            [None],
            rule_id=COMPLETENESS,
            field_name=field,
            severity="error" if found.holds else "warning",
            dimension="完整性",
            zh=zh,
            en=en,
        )
        for field, zh, en in words(found, contract)
    ]
    return pl.concat([no_findings(), *said])


def words(found: Comparison, contract: Contract) -> list[tuple[str, str, str]]:
    """(field, Chinese, English) of everything that is lacking or strange; empty when nothing is."""
    said = []
    if found.keys_lost:
        share, rows = found.keys_lost / found.keys_before, (found.rows_before, found.rows_after)
        zh = "将替代同期" if "fewer" not in found.exceeds else f"少于 {found.compared_with} 期的"
        en = "replace" if "fewer" not in found.exceeds else f"stand beside (period {found.compared_with})"
        said.append(
            (
                "_row",
                f"{rows[1]} 行{zh} {rows[0]} 行，缺少其中 {found.keys_lost} 个主键（{share:.0%}）",
                f"{rows[1]} rows {en} {rows[0]}; {found.keys_lost} of their keys are missing ({share:.0%})",
            )
        )
    for column in found.columns:
        title = contract.field(column.field).title if _is_field(contract, column.field) else column.field
        share = column.lost / column.before
        said.append(
            (
                column.field,
                f"“{title}”原有 {column.before} 个值，其中 {column.lost} 个变为空（{share:.0%}）",
                f"{column.field}: {column.lost} of {column.before} values became empty ({share:.0%})",
            )
        )
    return said + _doubts(found)


def _doubts(found: Comparison) -> list[tuple[str, str, str]]:
    said = []
    if found.other_period is not None:
        zh = f"{found.other_period_keys} 行与 {found.other_period} 期相同，疑似期次填错"
        en = f"{found.other_period_keys} rows are those of period {found.other_period}: is the period right?"
        said.append(("_row", zh, en))
    elif "period" in found.exceeds:
        said.append(("_row", "期次与报送时间或该来源其他期次相差过远，疑似填错", "the period is far off"))
    if found.other_source is not None:
        zh = f"{found.other_source_keys} 个主键属于来源 {found.other_source}，疑似来源选错"
        en = f"{found.other_source_keys} keys are those of source {found.other_source}: is the source right?"
        said.append(("_row", zh, en))
    return said


def _is_field(contract: Contract, name: str) -> bool:
    return any(field.name == name for field in contract.fields)


def _losses(before: pl.DataFrame, after: pl.DataFrame, groups: Sequence[Group]) -> dict[str, Any]:
    """Keys and values of `before` that `after` has no more; a key's value is there when any of its rows has it."""
    old, new = _presence(before, groups), _presence(after, groups).with_columns(pl.lit(True).alias("_stays"))
    pairs = old.join(new, on=KEY, how="left", suffix="_after")
    stays = pairs.filter(pl.col("_stays").is_not_null())
    gone = {g.name: pl.col(g.name) & ~pl.col(f"{g.name}_after") for g in groups}
    counts = stays.select(
        *(pl.col(g.name).sum().alias(f"{g.name}.before") for g in groups),
        *(lost.sum().alias(f"{name}.lost") for name, lost in gone.items()),
    ).row(0, named=True)
    thinner = stays.filter(pl.any_horizontal(gone.values())).height if gone else 0
    columns = [
        ColumnLoss(field=g.name, before=counts[f"{g.name}.before"], lost=counts[f"{g.name}.lost"])
        for g in groups
        if counts[f"{g.name}.lost"]
    ]
    return {
        "rows_before": before.height,
        "keys_before": pairs.height,
        "keys_lost": pairs.height - stays.height,
        "keys_thinner": thinner,
        "columns": columns,
    }


def _presence(rows: pl.DataFrame, groups: Sequence[Group]) -> pl.DataFrame:
    """By key, for each group of columns: whether there is a value."""

    def is_there(group: Group) -> pl.Expr:
        found = [pl.col(column).is_not_null() for column in group.columns if column in rows.columns]
        return pl.any_horizontal(found) if found else pl.lit(False)

    return rows.group_by(KEY).agg(is_there(group).any().alias(group.name) for group in groups)


def _passed(figures: dict[str, Any], contract: Contract) -> list[str]:
    bound, passed = contract.completeness, []
    if figures["keys_lost"] > bound.rows_lost_max * figures["keys_before"]:
        passed.append("rows")
    many = [
        c for c in figures["columns"] if c.lost > FEW_VALUES and c.lost > bound.values_lost_max * c.before
    ]
    return [*passed, *(["values"] if many else [])]


def _holds_time(contract: Contract) -> bool:
    """Whether a row's key tells its time, so that every period has keys of its own."""
    return contract.time.origin in contract.business_key


def _fewer(mine: pl.DataFrame, after: pl.DataFrame, stamp: Stamp, groups: Sequence[Group]) -> dict[str, Any]:
    """A period's first delivery beside the source's last period before it; what that contributed stays."""
    earlier = [period for period in mine["_delivered_period"].unique() if period < stamp.period]
    if not earlier:
        return {"keys_before": 0, "keys_lost": 0, "columns": []}
    last = max(earlier)
    losses = _losses(mine.filter(pl.col("_delivered_period") == last), after, groups)
    return {"compared_with": last, **losses, "keys_thinner": 0, "columns": []}


def _of_other_period(
    mine: pl.DataFrame,
    before: pl.DataFrame,
    accepted: pl.DataFrame,
    stamp: Stamp,
    groups: Sequence[Group],
    contract: Contract,
) -> dict[str, Any]:
    """Rows that are those of another period of this source rather than those they replace.

    Where keys tell the time, a key is enough; where every period has the same keys, the content decides, and
    only beside a part that it would replace: a period's first delivery may well say what the last one said.
    """
    others = mine.filter(pl.col("_delivered_period") != stamp.period)
    by_key = _holds_time(contract)
    if others.is_empty() or not (by_key or before.height):
        return {}
    columns = [KEY] if by_key else [KEY, _CONTENT]
    rows, old, new = (_with_content(frame, groups) for frame in (others, before, accepted))
    strange = new.select(columns).unique().join(old.select(columns), on=columns, how="anti")
    rows = rows.select("_delivered_period", *columns).unique()
    counted = strange.join(rows, on=columns)["_delivered_period"].value_counts(sort=True)
    if counted.is_empty() or counted["count"][0] <= MOST * accepted[KEY].n_unique():
        return {}
    return {"other_period": counted["_delivered_period"][0], "other_period_keys": counted["count"][0]}


def _with_content(rows: pl.DataFrame, groups: Sequence[Group]) -> pl.DataFrame:
    """The rows with a hash of what they say; equal in two frames where the shown forms are."""
    names = [group.identity for group in groups]
    cells = [
        (pl.col(name).cast(pl.String) if name in rows.columns else pl.lit(None, pl.String)).fill_null("\x00")
        for name in names
    ]
    said = pl.concat_str(cells, separator="\x1f").hash() if cells else pl.lit(0, pl.UInt64)
    return rows.with_columns(said.alias(_CONTENT))


def _of_other_source(
    parts: pl.DataFrame,
    mine: pl.DataFrame,
    before: pl.DataFrame,
    accepted: pl.DataFrame,
    stamp: Stamp,
    contract: Contract,
) -> dict[str, Any]:
    """Most keys are those of one other source, hardly any this source's own; nothing where it has none yet."""
    own = before if _holds_time(contract) else mine
    if own.is_empty():
        return {}
    keys, mine_too = accepted.select(KEY).unique(), own.select(KEY).unique()
    if keys.join(mine_too, on=KEY, how="semi").height >= HARDLY * keys.height:
        return {}
    strange = keys.join(mine_too, on=KEY, how="anti")
    others = parts.filter(pl.col("_source") != stamp.source).select("_source", KEY).unique()
    counted = strange.join(others, on=KEY)["_source"].value_counts(sort=True)
    if counted.is_empty() or counted["count"][0] <= MOST * keys.height:
        return {}
    return {"other_source": counted["_source"][0], "other_source_keys": counted["count"][0]}


def _is_odd(period: str, others: Sequence[str], year: int) -> bool:
    """A period after the coming year, or far from every other of its source. One without a year is never odd.

    A period far ahead would win against every later delivery of the years between.
    """
    found = _YEAR.match(period)
    if found is None:
        return False
    own = int(found.group())
    known = [int(match.group()) for match in map(_YEAR.match, others) if match]
    return own > year + 1 or (bool(known) and min(abs(own - each) for each in known) > YEARS_APART)
