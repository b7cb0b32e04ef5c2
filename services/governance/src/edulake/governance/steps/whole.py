"""Kinds of rules that need finished rows, their keys, or all rows at once. Registered in `WHOLE_CHECKS`."""

import polars as pl
from edulake.common.standards import Rule
from edulake.governance.steps import identity
from edulake.governance.steps.context import BAD, ROW, Context, raw
from edulake.governance.steps.derivations import stage_of_name
from edulake.governance.steps.rules import Check, Verdict

_ALWAYS = pl.lit(True)


def _required(rule: Rule, _context: Context) -> Verdict:
    return Verdict(_ALWAYS, pl.col(rule.field).is_null())


def _required_any(rule: Rule, _context: Context) -> Verdict:
    return Verdict(_ALWAYS, pl.col(rule.field).is_null() & pl.col(rule.with_field or "").is_null())


def _linked(rule: Rule, context: Context) -> Verdict:
    """Name or code was delivered, but no referenced row answers to it (or several, where no rule asks for that)."""
    missing = pl.col(rule.field).is_null()
    if any(other.kind == "ambiguous" and other.field == rule.field for other in context.contract.rules):
        missing &= ~pl.col(f"_{rule.field}_several")
    return Verdict(_is_given(rule, context), missing)


def _ambiguous(rule: Rule, context: Context) -> Verdict:
    """More than one referenced row answers to the name or code, so that none could be taken."""
    return Verdict(_is_given(rule, context), pl.col(f"_{rule.field}_several"))


def _is_given(rule: Rule, context: Context) -> pl.Expr:
    link = next(link for link in context.contract.links if link.field == rule.field)
    return pl.any_horizontal(pl.col(raw(field)).is_not_null() for field in (link.code, link.name) if field)


def _link_agrees(rule: Rule, context: Context) -> Verdict:
    """The row found by code is the row found by name, where both find one."""
    link = next(link for link in context.contract.links if link.code == rule.field)
    by_name = pl.col(f"_{link.field}_by_name")
    return Verdict(pl.col(link.field).is_not_null() & by_name.is_not_null(), pl.col(link.field) != by_name)


def _age(rule: Rule, context: Context) -> Verdict:
    years = identity.age_on(pl.col(rule.field), pl.lit(context.received_on))
    return Verdict(pl.col(rule.field).is_not_null(), ~years.is_between(rule.min or 0, rule.max or 200))


def _disputed(rule: Rule, context: Context) -> Verdict:
    """The name ends with the word of another stage than the one that stands."""
    names = next(d.inputs[-1] for d in context.contract.derive if d.field == rule.field)
    by_name = stage_of_name(pl.col(names))
    return Verdict(pl.col(rule.field).is_not_null() & by_name.is_not_null(), by_name != pl.col(rule.field))


def _one_value_per_key(rule: Rule, _context: Context) -> Verdict:
    """Rows whose value differs from that of the first sound row of their key."""
    value, key = pl.col(rule.field), rule.with_field or ""
    sound = pl.when(~pl.col(BAD)).then(value)
    first = sound.sort_by(ROW).drop_nulls().first().over(key)
    return Verdict(value.is_not_null() & pl.col(key).is_not_null(), value != first)


def _one_key_per_value(rule: Rule, _context: Context) -> Verdict:
    value, key = pl.col(rule.field), pl.when(~pl.col(BAD)).then(pl.col(rule.with_field or ""))
    return Verdict(value.is_not_null(), key.drop_nulls().n_unique().over(rule.field) > 1)


def _unique(_rule: Rule, context: Context) -> Verdict:
    """Every row but the first sound one of its business key."""
    keys = list(context.contract.business_key)
    complete = pl.all_horizontal(pl.col(keys).is_not_null()) & ~pl.col(BAD)
    first = pl.when(complete).then(pl.col(ROW)).min().over(keys)
    return Verdict(complete, pl.col(ROW) != first)


WHOLE_CHECKS: dict[str, Check] = {
    "required": _required,
    "required_any": _required_any,
    "linked": _linked,
    "ambiguous": _ambiguous,
    "link_agrees": _link_agrees,
    "age": _age,
    "disputed": _disputed,
    "one_value_per_key": _one_value_per_key,
    "one_key_per_value": _one_key_per_value,
}
#: After compatible rows of one key were merged: what is left is a contradiction.
LAST_CHECKS: dict[str, Check] = {"unique": _unique}
