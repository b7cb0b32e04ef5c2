"""XLSX: the cells of one sheet as the text a person sees in it."""

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from typing import Any
from zipfile import ZipFile

from edulake.ingest.source.readers.limits import Limits, Refusal
from edulake.ingest.source.readers.numberformat import is_imprecise, number_text
from edulake.ingest.source.readers.ooxml import Attributes, Part, Workbook, broken, load_workbook, unescape
from edulake.ingest.source.readers.table import Cell, Row, Table, clean_headers

#: Excel's own widest row; a cell address beyond it is made up.
EXCEL_COLUMNS = 16_384
Cells = tuple[int, dict[int, str]]
CellStream = Generator[Cells, None, None]


def read_workbook(archive: ZipFile, limits: Limits) -> Table:
    """The table of the first visible sheet; the header is its first filled row.

    The rows are read from `archive` as they are taken, so it stays open until then.
    """
    book = load_workbook(archive)
    part, others = _choose(book)
    # Their number only: a sheet may be named after a person.
    notes: dict[str, Any] = {"other_sheets": others, "error_cells": 0, "imprecise_cells": 0, "blank_lines": 0}
    filled = _Sheet(book, notes).rows(archive, part)
    try:
        number, header = next(filled, (0, {}))
        if not header:
            raise Refusal("empty-file", "工作表是空的", "the sheet is empty")
        first, last = min(header), max(header)
        headers = clean_headers([header.get(column) for column in range(first, last + 1)], limits)
    except Refusal:
        filled.close()
        raise
    notes["header_row"] = number
    return Table(headers, _aligned(filled, first, last), "utf-8", notes)


def _choose(book: Workbook) -> tuple[str, int]:
    """The part of the first visible sheet, and how many are not read."""
    for _, part, hidden in book.sheets:
        if not hidden:
            return part, len(book.sheets) - 1
    raise Refusal("empty-file", "工作簿里没有可见的工作表", "the workbook has no visible sheet")


def _aligned(filled: CellStream, first: int, last: int) -> Iterator[Row]:
    """Rows under the header; a cell left of it has no column at all, one right of it is kept as extra."""
    with closing(filled):
        for number, cells in filled:
            if min(cells) < first:
                raise Refusal(
                    "cell-outside-header",
                    f"第 {number} 行在表头左侧有内容",
                    f"row {number} has a cell left of the header",
                    where=f"file row {number}",
                )
            row: list[Cell] = [cells.get(column) for column in range(first, max(last, *cells) + 1)]
            yield number, row


class _Sheet:
    """Collects the cells of a sheet part row by row; empty rows are counted and skipped."""

    def __init__(self, book: Workbook, notes: dict[str, Any]) -> None:
        self._book = book
        self._notes = notes
        self._ready: list[Cells] = []
        self._row = 0
        self._column = 0
        self._cells: dict[int, str] = {}
        self._cell: Attributes = {}
        self._value: str | None = None
        self._has_formula = False
        self._phonetic = False

    def rows(self, archive: ZipFile, part: str) -> CellStream:
        """(row number, {column: text}) of every row that holds something."""
        with closing(Part(self._start, self._end).read(archive, part)) as pieces:
            for _ in pieces:
                yield from self._take()

    def _take(self) -> Iterator[Cells]:
        ready, self._ready = self._ready, []
        return chain(ready)

    def _start(self, name: str, attributes: Attributes) -> None:
        if name == "c":
            self._cell, self._value, self._has_formula = attributes, None, False
            self._column = _column(attributes["r"]) if "r" in attributes else self._column + 1
            if not 0 < self._column <= EXCEL_COLUMNS:
                raise broken("cell address")
        elif name == "f":
            self._has_formula = True
        elif name == "rPh":
            self._phonetic = True
        elif name == "row":
            self._row = int(attributes["r"]) if attributes.get("r", "").isdigit() else self._row + 1
            self._cells, self._column = {}, 0

    def _end(self, name: str, text: str) -> None:
        if name == "v":
            self._value = text
        elif name == "t" and not self._phonetic:
            self._value = (self._value or "") + unescape(text)
        elif name == "c":
            self._finish_cell()
        elif name == "rPh":
            self._phonetic = False
        elif name == "row":
            self._finish_row()

    def _finish_cell(self) -> None:
        if not self._value and self._cell.get("t", "n") == "n":
            if self._has_formula:
                raise Refusal(
                    "formula-without-value", "公式没有保存计算结果", "a formula was saved without its result",
                    "用 Excel/WPS 打开、重新计算并保存，或粘贴为数值", "recalculate and save, or paste as values",
                    f"file row {self._row}",
                )  # fmt: skip
        elif text := self._text(self._value or ""):
            self._cells[self._column] = text

    def _text(self, value: str) -> str:
        kind = self._cell.get("t", "n")
        if kind == "s":
            return self._shared(value)
        if kind == "b":
            return "true" if value.strip() == "1" else "false"
        if kind == "e":
            self._notes["error_cells"] += 1
        if kind != "n":
            return unescape(value) if kind == "str" else value
        self._notes["imprecise_cells"] += is_imprecise(value)
        return number_text(value, self._book.style(self._cell.get("s")), epoch_1904=self._book.epoch_1904)

    def _shared(self, index: str) -> str:
        try:
            return self._book.strings[int(index)]
        except (ValueError, IndexError) as error:
            raise broken("shared string") from error

    def _finish_row(self) -> None:
        if self._cells:
            self._ready.append((self._row, self._cells))
        else:
            self._notes["blank_lines"] += 1


def _column(address: str) -> int:
    """`C5` -> 3."""
    number = 0
    for letter in address:
        if not "A" <= letter <= "Z":
            break
        number = number * 26 + ord(letter) - 64
    return number
