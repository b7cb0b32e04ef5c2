"""Code tables (one CSV each), the grading scheme, and the shared APIs."""

import csv
import hashlib
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Literal

from edulake.common.standards.contract import PERSONAL_LEVEL, Identifier, Record, Text
from pydantic import Field

#: How much a grant shows: what the contract masks, or nothing of the personal level but the year of a date.
MaskLevel = Literal["standard", "strict"]
COLUMNS = ("code", "name", "aliases", "parent", "valid_from", "valid_until", "successor")


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One code, in force from `valid_from` (inclusive) until `valid_until` (exclusive); None = unbounded.

    A row with a successor but without `valid_until` is retired, only the day is unknown.
    """

    code: str
    name: str
    aliases: tuple[str, ...]
    parent: str | None
    valid_from: date | None
    valid_until: date | None
    successor: str | None

    def valid_on(self, day: date) -> bool:
        """Whether the code is in force on that day."""
        started = self.valid_from is None or self.valid_from <= day
        ended = self.successor is not None if self.valid_until is None else self.valid_until <= day
        return started and not ended


@dataclass(frozen=True)
class CodeTable:
    """A code table in file order; `version` changes with any byte of the file."""

    name: str
    version: str
    rows: tuple[CodeRow, ...]

    @cached_property
    def by_code(self) -> dict[str, CodeRow]:
        """The rows by code."""
        return {row.code: row for row in self.rows}

    def forward(self, code: str, day: date) -> str:
        """The code that stands for `code` on that day: follow successors until one is in force."""
        row = self.by_code[code]
        for _ in range(len(self.rows)):
            if row.valid_on(day) or row.successor is None:
                return row.code
            row = self.by_code[row.successor]
        raise ValueError(f"{self.name}: successors of {code} run in a circle")


def read_code_table(path: Path) -> CodeTable:
    """Read `<name>.csv`; ValueError names the file and line of a broken row."""
    raw = path.read_bytes()
    reader = csv.DictReader(raw.decode("utf-8").splitlines())
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"{path}: header must be {','.join(COLUMNS)}")
    rows = tuple(_row(path, number, line) for number, line in enumerate(reader, start=2))
    table = CodeTable(path.stem, hashlib.sha256(raw).hexdigest()[:12], rows)
    if not rows:
        raise ValueError(f"{path}: the table has no codes")
    if len(table.by_code) != len(rows):
        raise ValueError(f"{path}: a code is declared twice")
    for row in rows:
        if row.successor and row.successor not in table.by_code:
            raise ValueError(f"{path}: successor {row.successor} of {row.code} is not in the table")
    return table


def _row(path: Path, number: int, line: dict[str, str]) -> CodeRow:
    try:
        return CodeRow(
            code=line["code"],
            name=line["name"],
            aliases=tuple(filter(None, line["aliases"].split("|"))),
            parent=line["parent"] or None,
            valid_from=date.fromisoformat(line["valid_from"]) if line["valid_from"] else None,
            valid_until=date.fromisoformat(line["valid_until"]) if line["valid_until"] else None,
            successor=line["successor"] or None,
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}:{number}: {error}") from error


class Level(Record):
    """One level of the scheme with its controls and who must approve."""

    level: int = Field(ge=1, le=5)
    title: Text
    title_en: Text
    jyt0661: Text
    statutory_class: Literal["general", "important", "core"]
    approvals: tuple[Identifier, ...]
    default_share: Text
    controls: dict[str, str]


class Detector(Record):
    """Finds content of `level` in free text or unexpected columns; `minimum_share` of non-empty cells."""

    name: Identifier
    title: Text
    level: int = Field(ge=1, le=5)
    pattern: Text  # Rust regex, asked of the text in half width, with and without its spaces
    minimum_share: float = Field(gt=0, le=1)
    kind: Literal["column", "text"] = "text"
    #: A check that makes one cell enough, whatever `minimum_share` says.
    check: Literal["gb11643"] | None = None
    #: Not asked of fields that identify an organisation: its address has the form of a home.
    spares_organisations: bool = False


class Grading(Record):
    """The grading scheme: ages in full years, levels, detectors.

    `minor_mask`: the masks that are proposed for an API that shows minors. `personal_page_max`: most rows a page
    of a list from the personal level on.
    """

    minor_age: int = Field(ge=1)
    consent_age: int = Field(ge=1)
    minor_level: int = Field(ge=1, le=5)
    minor_mask: MaskLevel = "standard"
    personal_page_max: int = Field(default=100, ge=1, le=1000)
    levels: tuple[Level, ...]
    detectors: tuple[Detector, ...]

    def level(self, number: int) -> Level:
        """The level of that number; StopIteration cannot happen, KeyError if it is not declared."""
        return {level.level: level for level in self.levels}[number]


class Domain(Record):
    """A part of education with the themes that its datasets may stand under in the catalogue."""

    title: Text
    themes: tuple[Text, ...] = Field(min_length=1)


class Parameter(Record):
    """A query parameter of an API and the condition it makes."""

    name: Identifier
    field: Identifier
    op: Literal["eq", "prefix", "in"] = "eq"
    type: Literal["string", "integer", "date", "boolean"] = "string"
    required: bool = False
    max_length: int = Field(default=64, ge=1, le=256)
    pattern: str | None = None
    code_table: str | None = None
    description: Text


class Page(Record):
    """Rows a page; both are upper-bounded so that nobody reads a table in one call."""

    default: int = Field(ge=1, le=1000)
    max: int = Field(ge=1, le=1000)


class ApiDefinition(Record):
    """A shared API over one published dataset. `level` is its one level everywhere (`least_level` bounds it)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    title: Text
    title_en: str = ""
    summary: Text
    version: Literal["v1"]
    dataset: Identifier
    level: int = Field(ge=1, le=5)
    kind: Literal["list", "one"]
    parameters: tuple[Parameter, ...]
    columns: tuple[Identifier, ...] = Field(min_length=1)
    order_by: tuple[Identifier, ...] = Field(min_length=1)
    page: Page
    cache_s: int = Field(ge=0)
    sample_request: Text
    sample_response: dict[str, object]

    @property
    def is_personal(self) -> bool:
        """Whether its reads are put on record one by one and never cached."""
        return self.level >= PERSONAL_LEVEL
