"""What a reader may use, and how it says no. Both cross the border of the process as JSON."""

from dataclasses import dataclass

#: Column that holds the row's number as a person counts it in the file (the header is row 1).
ROW = "_row"
#: Column that is present only when some rows are wider or narrower than the header; JSON text
#: `{"expected": int, "found": int, "extra": [str]}`, null in rows of the right width.
SHAPE = "_shape"


@dataclass(frozen=True)
class Limits:
    """Bounds of one reading; every one of them refuses, none of them cuts."""

    rows_max: int
    columns_max: int
    cell_max_chars: int
    expanded_max_bytes: int
    expansion_max_ratio: int
    ragged_max_share: float
    memory_bytes: int
    cpu_s: int


@dataclass
class Refusal(Exception):
    """A file that will not be read: a stable code and words in two languages, never a cell's value.

    `where` names the part of the delivery (`file`, `file row 12`, `file header`).
    """

    code: str
    zh: str
    en: str
    mend_zh: str = ""
    mend_en: str = ""
    where: str = "file"

    def __str__(self) -> str:
        return f"{self.code}: {self.en}"
