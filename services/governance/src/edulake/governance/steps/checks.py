"""Kinds of rules that look at one row: form, range, code, identity. Registered in `VALUE_CHECKS`."""

import polars as pl
from edulake.common.standards import Contract, Rule
from edulake.governance.steps import credit, identity, text
from edulake.governance.steps.context import Context, mapping, raw
from edulake.governance.steps.rules import Check, Verdict

_TOTAL = r"^(合计|总计|小计|共计|总数|合共|总和)"
_SUBTOTAL = r"(合计|总计|小计|名额数|分配结果|结果总|计划总)"
#: How Excel shows a number of more than 11 digits; it keeps 15 of them, a text of it only what is shown.
_EXPONENT = r"^[1-9](\.\d+)?[Ee]\+(1[1-9]|[2-9]\d)$"
_ALWAYS = pl.lit(True)


def _given(field: str) -> pl.Expr:
    return pl.col(raw(field)).is_not_null()


def _not_heading(rule: Rule, context: Context) -> Verdict:
    words = {word for contract in context.standards.datasets.values() for word in _headings(contract)}
    cell = text.squeeze(pl.col(raw(rule.field))).str.replace(r"\(.*\)$", "")
    return Verdict(_ALWAYS, cell.is_in(sorted(words)))


def _headings(contract: Contract) -> list[str]:
    words = [word for field in contract.fields for word in (field.title, *field.aliases)]
    return [word for word in words if len(word) >= 2]


def _matches(pattern: str) -> Check:
    def check(rule: Rule, _context: Context) -> Verdict:
        return Verdict(_ALWAYS, text.squeeze(pl.col(raw(rule.field))).str.contains(pattern))

    return check


def _regex(rule: Rule, _context: Context) -> Verdict:
    return Verdict(pl.col(rule.field).is_not_null(), ~pl.col(rule.field).str.contains(rule.pattern or ""))


def _length(rule: Rule, _context: Context) -> Verdict:
    length = pl.col(rule.field).str.len_chars()
    return Verdict(pl.col(rule.field).is_not_null(), ~length.is_between(rule.min or 0, rule.max or 1_000_000))


def _range(rule: Rule, _context: Context) -> Verdict:
    low = pl.col(rule.field) < rule.min if rule.min is not None else pl.lit(False)
    high = pl.col(rule.field) > rule.max if rule.max is not None else pl.lit(False)
    return Verdict(pl.col(rule.field).is_not_null(), low | high)


def _readable(rule: Rule, _context: Context) -> Verdict:
    """Kinds `type` and `code`: something was delivered, and nothing could be read from it."""
    return Verdict(_given(rule.field), pl.col(rule.field).is_null())


def _rounded(rule: Rule, _context: Context) -> Verdict:
    """A number cell that lost its last digits before it was delivered; ingest and Excel's CSV write it so."""
    return Verdict(_given(rule.field), text.squeeze(pl.col(raw(rule.field))).str.contains(_EXPONENT))


def _mended(rule: Rule, _context: Context) -> Verdict:
    squeezed = text.squeeze(pl.col(raw(rule.field))).str.to_uppercase()
    return Verdict(_given(rule.field), pl.col(rule.field).is_not_null() & (pl.col(rule.field) != squeezed))


def _forwarded(rule: Rule, _context: Context) -> Verdict:
    return Verdict(
        pl.col(rule.field).is_not_null(), pl.col(mapping(rule.field)).str.contains(">", literal=True)
    )


def _code_agrees(rule: Rule, context: Context) -> Verdict:
    """The code another column stands for is the same code."""
    from edulake.governance.steps.align import meanings

    field = context.contract.field(rule.field)
    table = context.standards.codes[field.code_table or ""]
    words = meanings(table, field.code_scope, context.received_on)
    now = {word: table.forward(code, context.received_on) for word, code in words.items()}
    word = text.squeeze(pl.col(rule.with_field or "")).str.to_uppercase()
    other = word.replace_strict(now, default=None, return_dtype=pl.String)
    return Verdict(pl.col(rule.field).is_not_null() & other.is_not_null(), pl.col(rule.field) != other)


def _not_in(rule: Rule, _context: Context) -> Verdict:
    return Verdict(pl.col(rule.field).is_not_null(), pl.col(rule.field).is_in(list(rule.allow)))


def _is_identity_card(rule: Rule) -> pl.Expr:
    kind = pl.col(rule.with_field) if rule.with_field else pl.lit(None, pl.String)
    return pl.col(rule.field).is_not_null() & (kind.is_null() | (kind == "1"))


def _identity_check(rule: Rule, context: Context) -> Verdict:
    number = pl.col(rule.field)
    future = identity.birth(number) > pl.lit(context.received_on)
    return Verdict(_is_identity_card(rule), ~identity.is_valid(number).fill_null(False) | future)


def _other_identity(rule: Rule, _context: Context) -> Verdict:
    """The number of a document that is no identity card; words such as 无护照 would make one person of many.

    No form is prescribed for it: a passport, 军字第2001988号 and a household register have digits in common.
    """
    digits = pl.col(rule.field).str.replace_all(r"[^0-9]", "")
    same = "^(" + "|".join(f"{digit}+" for digit in range(10)) + ")$"
    is_other = pl.col(rule.field).is_not_null() & ~_is_identity_card(rule)
    return Verdict(is_other, (digits.str.len_chars() < 4) | digits.str.contains(same))


def _identity_area(rule: Rule, context: Context) -> Verdict:
    known = [*context.standards.codes["gbt2260"].by_code, *rule.allow]
    number = pl.col(rule.field)
    return Verdict(identity.is_valid(number), ~number.str.slice(0, 6).is_in(known))


def _identity_prefix(rule: Rule, _context: Context) -> Verdict:
    number = pl.col(rule.field)
    return Verdict(identity.is_valid(number), number.str.slice(0, 6).is_in(list(rule.allow)))


def _credit_code(rule: Rule, _context: Context) -> Verdict:
    code = pl.col(rule.field)
    return Verdict(code.is_not_null(), ~credit.is_valid(code))


def _student_number(rule: Rule, _context: Context) -> Verdict:
    number = pl.col(rule.field)
    return Verdict(number.is_not_null(), ~identity.is_student_number(number).fill_null(False))


def _student_number_agrees(rule: Rule, _context: Context) -> Verdict:
    inner, number = identity.behind(pl.col(rule.field)), pl.col(rule.with_field or "")
    return Verdict(inner.is_not_null() & identity.is_valid(number), inner != number)


def _birth_agrees(rule: Rule, _context: Context) -> Verdict:
    """Compared to the month where only the month was delivered."""
    number, given = pl.col(rule.with_field or ""), pl.col(rule.field)
    real = identity.birth(number)
    month_only = text.is_month_only(pl.col(raw(rule.field)))
    differs = pl.when(month_only).then(real.dt.truncate("1mo") != given).otherwise(real != given)
    return Verdict(given.is_not_null() & identity.is_valid(number), differs)


def _sex_agrees(rule: Rule, _context: Context) -> Verdict:
    number, given = pl.col(rule.with_field or ""), pl.col(rule.field)
    return Verdict(given.is_in(["1", "2"]) & identity.is_valid(number), identity.sex(number) != given)


VALUE_CHECKS: dict[str, Check] = {
    "not_heading": _not_heading,
    "not_total": _matches(_TOTAL),
    "not_subtotal": _matches(_SUBTOTAL),
    "regex": _regex,
    "length": _length,
    "range": _range,
    "type": _readable,
    "code": _readable,
    "rounded": _rounded,
    "mended": _mended,
    "forwarded": _forwarded,
    "code_agrees": _code_agrees,
    "not_in": _not_in,
    "identity_check": _identity_check,
    "other_identity": _other_identity,
    "identity_area": _identity_area,
    "identity_prefix": _identity_prefix,
    "credit_code": _credit_code,
    "student_number": _student_number,
    "student_number_agrees": _student_number_agrees,
    "birth_agrees": _birth_agrees,
    "sex_agrees": _sex_agrees,
}
