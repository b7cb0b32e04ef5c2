"""Expressions that read text as people write it: widths, spaces, dates, numbers, truth values."""

from collections.abc import Collection

import polars as pl

#: What people type for "nothing"; compared after folding, whole cell only.
PLACEHOLDERS = (
    "",
    "-",
    "--",
    "—",
    "——",
    "/",
    "\\",
    "无",
    "暂无",
    "空",
    "未知",
    "null",
    "none",
    "n/a",
    "#n/a",
    "nan",
    "#ref!",
    "无证件",
    "无证",
    "无身份证",
    "无学籍号",
    "没有",
    "不详",
    "待补",
    "待查",
    "未办理",
    "未提供",
    "保密",
)
#: Of these, what a code table or a truth value may mean something by (寄宿: 无).
MEANINGFUL = ("无", "none")
_SEPARATED = r"^(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*[日号]?(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?$"
_COMPACT = r"^(\d{4})(\d{2})(\d{2})$"
_MONTH = r"^(\d{4})\s*[-/.年]\s*(\d{1,2})\s*月?$"
_COMPACT_MONTH = r"^((?:19|20)\d{2})(0[1-9]|1[0-2])$"
#: A spreadsheet keeps 2012.10 as the number 2012.1: January or October, nobody can tell.
_LOST_ZERO = r"^\d{4}\.1$"
_EXCEL_EPOCH = pl.date(1899, 12, 30)


def fold(text: pl.Expr) -> pl.Expr:
    """Full width to half (Unicode NFKC), control characters out, white space single and trimmed."""
    visible = text.str.replace_all(r"\p{Cf}", "")  # first: what an invisible character parted may compose
    return visible.str.normalize("NFKC").str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()


def empty_to_null(text: pl.Expr, meant: Collection[str] = ()) -> pl.Expr:
    """Null where the folded cell says nothing. `meant`: placeholders (lower case) that say something here."""
    nothing = [word for word in PLACEHOLDERS if word not in meant]
    return pl.when(text.str.to_lowercase().is_in(nothing)).then(None).otherwise(text)


def squeeze(text: pl.Expr) -> pl.Expr:
    """Without any white space: right for names, codes and numbers in Chinese text."""
    return text.str.replace_all(r"\s+", "")


def to_date(text: pl.Expr) -> pl.Expr:
    """Dates as delivered: 2024-9-1, 2024/09/01, 2024.9.1, 2024年9月1日, 20240901, Excel serials.

    `2024年9月`, `2024.09` and `202409` give the first of the month; `is_month_only` tells. Anything else is null,
    and so is `2024.1`, which a spreadsheet makes of `2024.10`.
    """
    serial = text.str.extract(r"^([2-6]\d{4})(?:\.0*)?$", 1).cast(pl.Int64, strict=False)
    whole, month_only = ((_SEPARATED, None), (_COMPACT, None)), ((_MONTH, 1), (_COMPACT_MONTH, 1))
    parts = [_date_of(text, pattern, day) for pattern, day in whole]
    told = pl.when(~text.str.contains(_LOST_ZERO)).then(text)
    parts += [_date_of(told, pattern, day) for pattern, day in month_only]
    return pl.coalesce(*parts, _EXCEL_EPOCH + pl.duration(days=serial))


def _date_of(text: pl.Expr, pattern: str, day: int | None) -> pl.Expr:
    last = pl.lit(f"{day:02d}") if day else text.str.extract(pattern, 3).str.zfill(2)
    parts = (text.str.extract(pattern, 1), text.str.extract(pattern, 2).str.zfill(2), last)
    return pl.concat_str(*parts, separator="-").str.to_date("%Y-%m-%d", strict=False)


def is_month_only(text: pl.Expr) -> pl.Expr:
    """Whether the text names a month and no day."""
    return (text.str.contains(_MONTH) | text.str.contains(_COMPACT_MONTH)) & ~text.str.contains(_LOST_ZERO)


def to_decimal(text: pl.Expr) -> pl.Expr:
    """A number with thousands separators, a unit or a percent sign taken off; else null."""
    bare = squeeze(text).str.replace_all(",", "").str.replace(r"(人|名|个|元|分|所|班|册|平方米|m2)$", "")
    return bare.str.extract(r"^([+-]?\d{1,15}(?:\.\d{1,9})?)$", 1).cast(pl.Float64, strict=False)


def to_integer(text: pl.Expr) -> pl.Expr:
    """A whole number (12, 1,200, 12.0, 12人); 12.5 is null, never rounded."""
    number = to_decimal(text)
    return pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False))


def to_boolean(text: pl.Expr) -> pl.Expr:
    """是/否, Y/N, 1/0, true/false, 有/无; else null."""
    word = text.str.to_lowercase()
    yes, no = ("是", "y", "yes", "1", "true", "有", "√"), ("否", "n", "no", "0", "false", "无", "×")
    return pl.when(word.is_in(yes)).then(True).when(word.is_in(no)).then(False)
