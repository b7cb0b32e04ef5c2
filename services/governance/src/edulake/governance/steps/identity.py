"""Expressions over identity and student numbers (GB 11643-1999; 学籍号: G + number, J or L + 18)."""

import polars as pl
from edulake.common.standards.detect import CHECK, WEIGHTS

FORM = r"^[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dX]$"
STUDENT_FORM = r"^[JL][1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[0-9A-Z]{4}$"


def is_valid(number: pl.Expr) -> pl.Expr:
    """18 characters, a day that exists, and the right check digit (ISO 7064 MOD 11-2)."""
    return (
        number.str.contains(FORM)
        & birth(number).is_not_null()
        & (number.str.slice(17, 1) == check_digit(number))
    )


def check_digit(number: pl.Expr) -> pl.Expr:
    """The check digit that the first 17 digits call for; null where they are not digits."""
    return number.map_batches(_check_digits, return_dtype=pl.String)


def _check_digits(numbers: pl.Series) -> pl.Series:
    """Whole columns of digits: as one expression polars would read the text again for each of the 17."""
    body = numbers.to_frame("number").select(
        pl.col("number").str.extract(r"^(\d{17})", 1).cast(pl.Int64).alias("body")
    )
    digits = [pl.col("body") // 10 ** (16 - place) % 10 * weight for place, weight in enumerate(WEIGHTS)]
    rest = body.select((pl.sum_horizontal(digits, ignore_nulls=False) % 11).alias("rest")).to_series()
    return rest.replace_strict(dict(enumerate(CHECK)), default=None, return_dtype=pl.String)


def birth(number: pl.Expr) -> pl.Expr:
    """The date in characters 7-14; null where it is not a date."""
    return number.str.slice(6, 8).str.to_date("%Y%m%d", strict=False)


def sex(number: pl.Expr) -> pl.Expr:
    """GB/T 2261.1 code out of the 17th digit: odd 1 male, even 2 female; null where it is no digit."""
    digit = number.str.slice(16, 1).cast(pl.Int8, strict=False)
    return pl.when(digit.is_not_null()).then(pl.when(digit % 2 == 1).then(pl.lit("1")).otherwise(pl.lit("2")))


def behind(student_number: pl.Expr) -> pl.Expr:
    """The identity number inside a G number; null for other forms or a wrong one."""
    inner = student_number.str.extract(r"^G(.{18})$", 1)
    return pl.when(is_valid(inner)).then(inner)


def birth_in(student_number: pl.Expr) -> pl.Expr:
    """The birth date inside any well-formed student number (characters 8-15); else null."""
    return pl.when(is_student_number(student_number)).then(birth(student_number.str.slice(1)))


def is_student_number(number: pl.Expr) -> pl.Expr:
    """G and a valid identity number, or J/L with area, a day that exists, and four characters."""
    other = number.str.contains(STUDENT_FORM) & birth(number.str.slice(1)).is_not_null()
    return behind(number).is_not_null() | other


def person(identity_number: pl.Expr, student_number: pl.Expr) -> pl.Expr:
    """What identifies the person: the valid identity number, that behind a G number, else a J/L number.

    A number that is no identity card (passport and the like) counts as it is.
    """
    temporary = pl.when(is_student_number(student_number)).then(student_number)
    return pl.coalesce(identity_number, behind(student_number), temporary)


def age_on(birth_date: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Full years on that day; somebody born on 29 February has the birthday on 1 March in other years."""
    before = _month_and_day(day) < _month_and_day(birth_date)
    return day.dt.year() - birth_date.dt.year() - before.cast(pl.Int32)


def _month_and_day(day: pl.Expr) -> pl.Expr:
    """901 for 1 September; wide first, because polars keeps a month in eight bits."""
    return day.dt.month().cast(pl.Int32) * 100 + day.dt.day().cast(pl.Int32)
