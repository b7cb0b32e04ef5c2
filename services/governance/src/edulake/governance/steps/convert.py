"""转换 convert: delivered headers become fields, and text becomes what the contract says it is.

A cell that cannot be read stays null beside its raw text, never guessed. Two headers may feed one field (a
mapping and an alias): the first that holds something fit for it is taken, and the row remembers which.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import polars as pl
from edulake.common.standards import Contract, FieldContract, Link
from edulake.common.standards.headers import Headers
from edulake.common.standards.headers import recognise as recognise_headers
from edulake.governance.steps import names, text
from edulake.governance.steps.context import META, RAW_PREFIX, Context, StepResult, filled, finding, raw
from edulake.governance.steps.reshape import reshape
from edulake.governance.steps.shift import mark_shifted

_DTYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "code": pl.String(),
    "integer": pl.Int64(),
    "decimal": pl.Float64(),
    "date": pl.Date(),
    "boolean": pl.Boolean(),
}


def _person_name(folded: pl.Expr) -> pl.Expr:
    """One middle dot for the several ways it is typed."""
    return text.squeeze(folded).str.replace_all("[.•・]", "·")


def _number(folded: pl.Expr) -> pl.Expr:
    return text.squeeze(folded).str.to_uppercase()


def _phone(folded: pl.Expr) -> pl.Expr:
    return folded.str.replace_all(r"[\s()-]", "").str.replace(r"^\+?86(1\d{10})$", "${1}")


NORMALISE: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "school_name": names.school_name,
    "school_code": names.school_code,
    "person_name": _person_name,
    "identity_number": _number,
    "student_number": _number,
    "credit_code": _number,
    "phone": _phone,
}
_CASTS = {
    "integer": text.to_integer,
    "decimal": text.to_decimal,
    "date": text.to_date,
    "boolean": text.to_boolean,
}


def convert(frame: pl.DataFrame, context: Context) -> StepResult:
    """Delivered text columns → fields of the contract, with the raw text kept beside each."""
    delivered = [c for c in frame.columns if c not in META]
    headers, unknown = recognise(delivered, context)
    out, shifted, notes = mark_shifted(frame)
    if not context.contract.recognisable & headers.keys():
        notes["blocked"] = _wrong_header(context.contract)
    out = out.rename({c: RAW_PREFIX + c for c in delivered})
    out = out.with_columns(*(_read(field, headers, context) for field in context.contract.fields))
    labels = context.labels(delivered)
    for link in context.contract.links:
        out = _mend_pair(out, link, headers, labels)
    out, reshaped = reshape(out, context.contract)
    out = out.with_columns(
        expression for field in context.contract.fields for expression in _typed(field, context)
    )
    return StepResult(
        out, [*(_unknown_column(labels[header]) for header in unknown), shifted, reshaped], notes
    )


def recognise(delivered: Sequence[str], context: Context) -> tuple[Headers, list[str]]:
    """Which headers feed which field, by the source's mapping and the contract, and those that feed none."""
    return recognise_headers(delivered, context.contract, context.source.mapping)


def _wrong_header(contract: Contract) -> str:
    wanted = [f for f in contract.fields if f.name in contract.recognisable]
    zh = "、".join(f.title for f in wanted)
    en = ", ".join(f.title_en or f.name for f in wanted)
    return (
        f"表头不符：没有识别出任何关键列（需要其中至少一列：{zh}）。请核对表头或为来源登记列映射。"
        f" / Wrong header: no key column was recognised (at least one of: {en})."
    )


def _unknown_column(label: str) -> pl.DataFrame:
    return finding(
        [None],
        rule_id="column.unknown",
        field_name=label[:60],
        severity="warning",
        dimension="规范性",
        zh=f"列“{label[:60]}”不在合同中，未采用",
        en="the column is not in the contract and was not used",
    )


def _folded(header: str, meant: Collection[str] = ()) -> pl.Expr:
    return text.empty_to_null(text.fold(pl.col(RAW_PREFIX + header)), meant)


def _read(field: FieldContract, headers: Headers, context: Context) -> pl.Expr:
    """The folded text of the first header that is not empty."""
    meant = _meant(field, context)
    cells = [_folded(header, meant) for header in headers.get(field.name, ())]
    return (pl.coalesce(cells) if cells else pl.lit(None, pl.String)).alias(raw(field.name))


def _meant(field: FieldContract, context: Context) -> list[str]:
    """Words for nothing that are a value of this field: 寄宿 无 is a code of its table, and 无 is a truth value."""
    if field.type == "boolean":
        return list(text.MEANINGFUL[:1])
    if field.code_table is None:
        return []
    rows = context.standards.codes[field.code_table].rows
    words = {word.lower() for row in rows for word in (row.code, row.name, *row.aliases)}
    return [word for word in text.MEANINGFUL if word in words]


def _mend_pair(frame: pl.DataFrame, link: Link, headers: Headers, labels: Mapping[str, str]) -> pl.DataFrame:
    """Name and code of one thing, delivered in each other's place or in one cell (`042001 市二中学`)."""
    if link.name is None or link.code is None:
        return frame
    name_headers, code_headers = headers.get(link.name, []), headers.get(link.code, [])
    every = [*name_headers, *(h for h in code_headers if h not in name_headers)]
    if not every:
        return frame
    name, name_from = _first_fit(every, _name_part)
    code, code_from = _first_fit([*code_headers, *name_headers], _code_part)
    return frame.with_columns(
        pl.coalesce(name, pl.col(raw(link.name))).alias(raw(link.name)),
        pl.when(code.is_not_null()).then(code).otherwise(_unless_name(link.code)).alias(raw(link.code)),
        _provenance(name_from, name_headers, labels).alias(filled(link.name)),
        _provenance(code_from, code_headers, labels).alias(filled(link.code)),
    )


def _first_fit(headers: Sequence[str], part: Callable[[pl.Expr], pl.Expr]) -> tuple[pl.Expr, pl.Expr]:
    parts = [part(_folded(header)) for header in headers]
    sources = [pl.when(p.is_not_null()).then(pl.lit(h)) for p, h in zip(parts, headers, strict=True)]
    none = pl.lit(None, pl.String)
    return pl.coalesce(*parts, none), pl.coalesce(*sources, none)


def _name_part(cell: pl.Expr) -> pl.Expr:
    bare = cell.str.replace(r"^([0-9]{6}|[A-Za-z]{2}[0-9]{4})\s*", "")
    return pl.when(names.looks_like_name(bare)).then(bare)


def _code_part(cell: pl.Expr) -> pl.Expr:
    leading = cell.str.extract(r"^([0-9]{5,6}|[A-Za-z]{2}[0-9]{4}|[0-9]{10})(?:\s*\p{Han}.*)?$", 1)
    return pl.when(names.looks_like_code(leading)).then(leading)


def _unless_name(field: str) -> pl.Expr:
    """A name that was delivered in the code column is not a wrong code."""
    return pl.when(~names.looks_like_name(pl.col(raw(field)))).then(pl.col(raw(field)))


def _provenance(source: pl.Expr, expected: Sequence[str], labels: Mapping[str, str]) -> pl.Expr:
    """Which header gave the value, where it is not the one that should have."""
    first = pl.lit(expected[0] if expected else None, pl.String)
    told = source.replace_strict(labels, default=None, return_dtype=pl.String)
    return pl.when(source.is_not_null() & source.ne_missing(first)).then(pl.lit("column:") + told)


def _typed(field: FieldContract, context: Context) -> list[pl.Expr]:
    """The value, and where a default or a half-known date came from."""
    source = pl.col(raw(field.name))
    given = context.source.defaults.get(field.name)
    if given is not None:
        source = source.fill_null(pl.lit(given))
    normal = NORMALISE[field.normalise](source) if field.normalise else source
    cast = _CASTS.get(field.type)
    value = (cast(normal) if cast else text.empty_to_null(normal, _meant(field, context))).cast(
        _DTYPES[field.type]
    )
    expressions = [value.alias(field.name), source.alias(raw(field.name))]
    if given is not None:
        by_default = pl.when(pl.col(raw(field.name)).is_null()).then(pl.lit(f"default:{context.source.id}"))
        expressions.append(by_default.alias(filled(field.name)))
    elif field.type == "date":
        by_month = pl.when(text.is_month_only(source)).then(pl.lit("first_of_month"))
        expressions.append(by_month.alias(filled(field.name)))
    return expressions
