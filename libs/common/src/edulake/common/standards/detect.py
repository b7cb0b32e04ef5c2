"""Finding in any text what belongs to a person: cells, headers, file names. Ingest and governance ask the same.

The patterns are data (`grading.yaml`). A text is looked at as it is folded (widths, invisible characters) and
also without its white space, because people part long numbers. A number whose check digit holds (GB 11643, ISO 7064
MOD 11-2) is certain: one of it is enough, whatever share of the cells a detector otherwise asks for.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date

import polars as pl
from edulake.common.standards.tables import Detector

#: Of the 17 digits of an identity number, and the check character by the remainder of their sum (GB 11643-1999).
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK = "10X98765432"
#: An identity number wherever it stands, parted or not; digits beside it would make it another number.
_IDENTITY = re.compile(
    r"(?<!\d)[1-8]\d{5}[ -]?(?:19|20)\d\d[ -]?(?:0[1-9]|1[0-2])[ -]?(?:0[1-9]|[12]\d|3[01])[ -]?\d{3}[\dXx](?!\d)"
)


def folded(text: pl.Expr) -> pl.Expr:
    """The text in half width, without invisible characters."""
    return text.str.replace_all(r"\p{Cf}", "").str.normalize("NFKC")


def matches(detector: Detector, text: pl.Expr) -> pl.Expr:
    """Whether a folded text holds what the detector looks for; null for null."""
    return text.str.contains(detector.pattern) | text.str.replace_all(r"\s+", "").str.contains(
        detector.pattern
    )


def is_certain(detector: Detector, cells: pl.Series) -> bool:
    """Whether one of the folded cells holds a number of the detector's kind with the right check digit."""
    if detector.check is None:
        return False
    suspects = cells.to_frame("cell").filter(matches(detector, pl.col("cell"))).to_series()
    return any(_holds_identity_number(text) for text in suspects)


def _holds_identity_number(text: str) -> bool:
    found = (number for form in (text, "".join(text.split())) for number in _IDENTITY.findall(form))
    return any(is_identity_number(re.sub("[ -]", "", number)) for number in found)


def is_identity_number(number: str) -> bool:
    """18 characters with a day that exists and the right check digit (GB 11643-1999)."""
    if not re.fullmatch(r"[1-9]\d{16}[\dXx]", number):
        return False
    try:
        date.fromisoformat(f"{number[6:10]}-{number[10:12]}-{number[12:14]}")
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], WEIGHTS, strict=True))
    return CHECK[total % 11] == number[17].upper()


def found_in(detectors: Iterable[Detector], text: str) -> Detector | None:
    """The most sensitive detector that one text (a header, a file name, a period) matches; None when none does."""
    return found_in_each(detectors, [text])[0]


def found_in_each(detectors: Iterable[Detector], texts: Sequence[str]) -> list[Detector | None]:
    """The same of many texts at once, in their order."""
    strongest_first = sorted(detectors, key=lambda each: -each.level)
    if not strongest_first:
        return [None] * len(texts)
    cell = pl.DataFrame({"cell": texts}, schema={"cell": pl.String}).select(folded(pl.col("cell")))
    told = cell.select(matches(each, pl.col("cell")).alias(each.name) for each in strongest_first)
    return [
        next((each for each, holds in zip(strongest_first, row, strict=True) if holds), None)
        for row in told.iter_rows()
    ]
