"""统一社会信用代码: the form and the check character of GB 32100-2015 (MOD 31 over powers of 3)."""

import polars as pl

#: Digits and letters without I, O, S, V, Z; the value of a character is its place.
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
FORM = rf"^[1-9A-GNY][1-9A][0-9]{{6}}[{ALPHABET}]{{10}}$"
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))


def is_valid(code: pl.Expr) -> pl.Expr:
    """18 characters of the alphabet in their places, and the right check character. Null for null."""
    return code.str.contains(FORM) & (code.str.slice(17, 1) == check_character(code))


def check_character(code: pl.Expr) -> pl.Expr:
    """What the first 17 characters call for; null where one of them is not in the alphabet."""
    values = [
        code.str.slice(place, 1).replace_strict(_VALUES, default=None, return_dtype=pl.Int64) * weight
        for place, weight in enumerate(_WEIGHTS)
    ]
    rest = (31 - pl.sum_horizontal(values, ignore_nulls=False) % 31) % 31
    return rest.replace_strict(dict(enumerate(ALPHABET)), default=None, return_dtype=pl.String)
