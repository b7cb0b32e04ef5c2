"""CSV: strict quotes, the delimiter found in the header, embedded line breaks kept."""

import csv
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path

from edulake.ingest.source.readers.limits import Limits, Refusal
from edulake.ingest.source.readers.sniff import encoding_of
from edulake.ingest.source.readers.table import Row, Table, clean_headers

DELIMITERS = (",", ";", "\t")
SAMPLE_RECORDS = 20


def read_delimited(path: Path, limits: Limits) -> Table:
    """The table of a CSV file; Refusal when encoding, quotes or header are wrong."""
    encoding = encoding_of(path)
    delimiter = _delimiter(path, encoding)
    records = _records(path, encoding, delimiter)
    blank_lines = 0
    number, header = next(records, (0, []))
    while number and not header:
        blank_lines += 1
        number, header = next(records, (0, []))
    table = Table(clean_headers(header, limits), iter(()), encoding.removesuffix("-sig"))
    table.notes.update(delimiter=delimiter, blank_lines=blank_lines, header_row=number)
    table.rows = _rows(table, records)
    return table


def _rows(table: Table, records: Iterator[tuple[int, list[str]]]) -> Iterator[Row]:
    """The records that hold something; empty lines are counted, they carry nothing."""
    for number, cells in records:
        if cells:
            yield number, cells
        else:
            table.notes["blank_lines"] += 1


def _records(path: Path, encoding: str, delimiter: str) -> Generator[tuple[int, list[str]], None, None]:
    """Numbered records (1 = the first of the file); an empty line gives an empty record."""
    number = 0
    with path.open(encoding=encoding, errors="strict", newline="") as file:
        try:
            for number, record in enumerate(csv.reader(file, delimiter=delimiter, strict=True), 1):
                yield number, record
        except csv.Error as error:
            raise _broken(number + 1, error) from error


def _broken(number: int, error: csv.Error) -> Refusal:
    if "field limit" in str(error):
        return Refusal("cell-too-long", "单元格过长", "a cell is too long", where=f"file row {number}")
    return Refusal(
        "broken-quotes",
        f"第 {number} 条记录起引号不成对，无法可靠分列",
        f"quotes are not balanced from record {number} on",
        "单元格内的引号须写成两个引号，整格用引号括起",
        "double the quotes inside a cell and quote the whole cell",
        f"file row {number}",
    )


def _delimiter(path: Path, encoding: str) -> str:
    """The delimiter that splits the header widest; of equals, the one whose next records agree best."""
    return max(DELIMITERS, key=lambda delimiter: _fit(path, encoding, delimiter))


def _fit(path: Path, encoding: str, delimiter: str) -> tuple[int, int]:
    """How many columns the header has, and how many of the next records have as many."""
    records = _records(path, encoding, delimiter)
    sample: list[list[str]] = []
    try:
        sample.extend(cells for _, cells in islice(records, SAMPLE_RECORDS) if cells)
    except Refusal:  # broken quotes below the header are told when the rows are read
        return (len(sample[0]) if sample else 0), 0
    finally:
        records.close()
    width = len(sample[0]) if sample else 0
    return width, sum(len(cells) == width for cells in sample)
