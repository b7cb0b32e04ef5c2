"""Masks: what a value may look like to somebody who may not see it.

Each transform is written once, as a polars expression over whole columns; calling it masks one value
through the same expression. None stays None. A value of an unforeseen form is hidden whole, never
passed on, and a transform nobody registered is an error (fail closed). A mask hides the length of
what it hides, except where the form itself has one length. No key is involved and no mask can be undone.
Forms (a house rule, not a standard's): name 张*, identity number 3101**********002X, phone
138****1234, address to the street or town, date to its month or year.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

HIDDEN = "******"
#: Two-character family names (百家姓 and the 2020 census list), kept whole as one-character ones are.
COMPOUND_SURNAMES = (
    "欧阳|太史|端木|上官|司马|东方|独孤|南宫|万俟|闻人|夏侯|诸葛|尉迟|公羊|赫连|澹台|皇甫|宗政|濮阳|公冶|太叔|申屠|公孙|"
    "慕容|仲孙|钟离|长孙|宇文|司徒|鲜于|司空|闾丘|子车|亓官|司寇|令狐|呼延|轩辕|百里|东郭|西门|拓跋"
)


class UnknownTransform(LookupError):
    """A contract or grant names a transform that does not exist; nothing may be served."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A named one-way change of a column; `expression` maps a column to text of the same height."""

    name: str
    title_zh: str
    title_en: str
    rule: Callable[[pl.Expr], pl.Expr]

    def expression(self, column: pl.Expr | str) -> pl.Expr:
        """The masked column as text; null stays null."""
        text = (pl.col(column) if isinstance(column, str) else column).cast(pl.String)
        return pl.when(text.is_null()).then(text).otherwise(self.rule(text.str.strip_chars()))

    def __call__(self, value: object) -> str | None:
        """One masked value (≈0.1 ms: use `expression` for columns)."""
        given = None if value is None else str(value)
        masked: str | None = pl.select(self.expression(pl.lit(given, pl.String))).item()
        return masked


def _kept(text: pl.Expr, pattern: str, template: str, otherwise: str | pl.Expr = HIDDEN) -> pl.Expr:
    """`template` filled from the pattern where the whole value matches, else `otherwise`."""
    hidden = pl.lit(otherwise) if isinstance(otherwise, str) else otherwise
    return pl.when(text.str.contains(pattern)).then(text.str.replace(pattern, template)).otherwise(hidden)


def _name(text: pl.Expr) -> pl.Expr:
    """The family name and one star; a name of one character is all star."""
    first = _kept(text, r"^(?s)(.).+$", "${1}*", "*")
    return _kept(text, f"^(?s)({COMPOUND_SURNAMES}).+$", "${1}*", first)


def _address(text: pl.Expr) -> pl.Expr:
    """District and street or town; the district alone when neither follows; never a number."""
    district = r"^([^\d０-９]*?[区县旗])"
    street = district[:-1] + r"[^\d０-９弄号室]{1,8}?街道)"
    town = district[:-1] + r"[^\d０-９路弄号街室]{1,8}?[镇乡])"
    shown = pl.lit(HIDDEN)
    for pattern in (district, town, street):
        shown = _kept(text, f"(?s){pattern}.*$", "${1}", shown)
    return shown


def _date(template: str) -> Callable[[pl.Expr], pl.Expr]:
    pattern = r"^(\d{4})(?:[-/年.]?)(\d{2})(?:(?:[-/月.]?)(?:\d{2})日?(?:[T ].*)?)?月?$"
    return lambda text: _kept(text, pattern, template, _kept(text, r"^(\d{4})年?$", "${1}"))


def _hide(text: pl.Expr) -> pl.Expr:
    return text.str.replace(r"(?s)^.*$", HIDDEN)


def _text(text: pl.Expr) -> pl.Expr:
    """The first character, where anything stays behind it."""
    return _kept(text, r"^(?s)(.).+$", "${1}***")


def _shape(text: pl.Expr) -> pl.Expr:
    """Kinds of characters and a class of length; exact only from ten on, where a length tells no name."""
    kinds = (
        ("汉字", r"\p{Han}"),
        ("数字", r"\p{Nd}"),
        ("字母", r"[\p{L}--\p{Han}]"),
        ("符号", r"[^\p{L}\p{Nd}\s]"),
    )
    named = [pl.when(text.str.contains(pattern)).then(pl.lit(word)) for word, pattern in kinds]
    length = text.str.len_chars()
    size = (
        pl.when(length <= 4)
        .then(pl.lit("1–4 位"))
        .when(length <= 9)
        .then(pl.lit("5–9 位"))
        .when(length <= 20)
        .then(pl.format("{} 位", length))
        .otherwise(pl.lit("20 位以上"))
    )
    said = pl.format("{} {}", pl.concat_str(named, separator="、", ignore_nulls=True), size)
    return pl.when(length == 0).then(pl.lit("空白")).otherwise(said)


mask_name = Transform("mask_name", "姓名掩码", "family name and a star", _name)
mask_id_number = Transform(
    "mask_id_number",
    "证件号码掩码",
    "first four and last four of an 18-character identity number (GB 11643)",
    lambda text: _kept(text, r"^(\d{4})[\d*]{10}(\d{3}[\dXx])$", "${1}**********${2}"),
)
mask_phone = Transform(
    "mask_phone",
    "手机号码掩码",
    "first three and last four of a mobile number",
    lambda text: _kept(text, r"^(1\d{2})[\d*]{4}(\d{4})$", "${1}****${2}"),
)
mask_student_number = Transform(
    "mask_student_number",
    "学籍号掩码",
    "type letter, first four and last four of a 19-character number",
    lambda text: _kept(text, r"^([GJL]\d{4})[\d*]{10}(\d{3}[\dXx])$", "${1}**********${2}"),
)
mask_text = Transform("mask_text", "文本掩码", "first character only", _text)
generalise_month = Transform("generalise_month", "日期概化到月", "date to its month", _date("${1}-${2}"))
generalise_year = Transform("generalise_year", "日期概化到年", "date to its year", _date("${1}"))
generalise_address = Transform(
    "generalise_address", "地址概化到街镇", "address to its street or town", _address
)
hide = Transform("hide", "隐藏", "nothing shown", _hide)
#: For reports and messages, no form in which a contract may share: `数字 18 位`, `汉字 1–4 位`.
shape = Transform("shape", "形状", "kinds of characters and a class of length", _shape)

TRANSFORMS = {
    each.name: each
    for each in (
        mask_name,
        mask_id_number,
        mask_phone,
        mask_student_number,
        mask_text,
        generalise_month,
        generalise_year,
        generalise_address,
        hide,
    )
}


def transform(name: str) -> Transform:
    """The transform of a name; raises UnknownTransform."""
    try:
        return TRANSFORMS[name]
    except KeyError:
        known = ", ".join(sorted(TRANSFORMS))
        raise UnknownTransform(f"no transform {name[:60]!r}; known: {known}") from None
