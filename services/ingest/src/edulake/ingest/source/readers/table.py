"""The common end of all readers: check the header, count what is read, write all-text parquet."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
from edulake.ingest.source.readers.limits import ROW, SHAPE, Limits, Refusal
from polars.io.plugins import register_io_source

#: Rows per frame on the way to the file; bounds the memory of a reading.
FRAME_ROWS = 20_000
HEADER_MAX_CHARS = 128
Cell = str | None
#: Row number as people count it, its cells (any width), as delivered.
Row = tuple[int, Sequence[Cell]]


@dataclass
class Table:
    """A header and a stream of rows; `notes` fills while the rows are read."""

    headers: list[str]
    rows: Iterator[Row]
    encoding: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def clean_headers(delivered: Sequence[Cell], limits: Limits) -> list[str]:
    """The header cells without surrounding white space; Refusal when a column could not be named."""
    headers = [(cell or "").strip() for cell in delivered]
    if not headers:
        raise _header("no-header", "没有表头", "there is no header")
    if len(headers) > limits.columns_max:
        raise _header(
            "too-many-columns",
            f"列数 {len(headers)} 超过上限 {limits.columns_max}",
            f"{len(headers)} columns, at most {limits.columns_max} are read",
        )
    if empty := [str(index) for index, header in enumerate(headers, 1) if not header]:
        listed = ", ".join(empty[:10])
        raise _header(
            "empty-header", f"第 {listed} 列没有列名", f"columns without a header: {listed}",
            "为每一列写上列名，或删去空列", "name every column or delete empty ones",
        )  # fmt: skip
    _refuse_twice(headers)
    if any(len(header) > HEADER_MAX_CHARS for header in headers):
        raise _header("header-too-long", f"列名超过 {HEADER_MAX_CHARS} 字", "a header is too long")
    if own := [place for place, header in enumerate(headers, 1) if header.startswith("_")]:
        raise _header(
            "reserved-header",
            f"以下划线开头的列名由系统保留：第 {at(own)} 列",
            f"headers that begin with an underscore are reserved: columns {at(own)}",
        )
    return headers


def _refuse_twice(headers: list[str]) -> None:
    if twice := [place for place, header in enumerate(headers, 1) if headers.count(header) > 1]:
        raise _header(
            "duplicate-header", f"列名重复：第 {at(twice)} 列", f"duplicate headers: columns {at(twice)}",
            "每个列名只能出现一次", "make every header unique",
        )  # fmt: skip


def _header(code: str, zh: str, en: str, mend_zh: str = "", mend_en: str = "") -> Refusal:
    return Refusal(code, zh, en, mend_zh, mend_en, "file header")


def at(places: Sequence[int], most: int = 10) -> str:
    """Columns by their places, for a message: what stands in a header may be a person's."""
    return "、".join(map(str, places[:most])) + (" …" if len(places) > most else "")


def write(table: Table, target: Path, limits: Limits) -> int:
    """Write `table` to `target` (columns: the headers, `_row`, and `_shape` when needed); returns rows.

    Refusal when there is no row, a limit is passed, or too many rows do not fit the header.
    """
    names = [*table.headers, ROW, SHAPE]
    state = _Writing(table, limits)
    schema = {name: pl.Int64 if name == ROW else pl.String for name in names}

    def frames(*_pushed_down: object) -> Iterator[pl.DataFrame]:
        # polars would wrap what is raised here in its own error; the caller wants the Refusal.
        try:
            yield from state.frames(names)
        except (Refusal, MemoryError) as error:
            state.stopped = error
            return

    draft = target.with_suffix(".draft")
    register_io_source(frames, schema=schema).sink_parquet(draft, compression="zstd")
    if state.stopped:
        raise state.stopped
    state.conclude()
    if state.ragged:
        draft.rename(target)
    else:
        pl.scan_parquet(draft).drop(SHAPE).sink_parquet(target, compression="zstd")
        draft.unlink()
    return state.count


class _Writing:
    """Counts and checks the rows on their way."""

    def __init__(self, table: Table, limits: Limits) -> None:
        self.table = table
        self.limits = limits
        self.count = 0
        self.ragged = 0
        self.stopped: BaseException | None = None

    def frames(self, names: list[str]) -> Iterator[pl.DataFrame]:
        width = len(self.table.headers)
        while chunk := list(islice(self.table.rows, FRAME_ROWS)):
            self.count += len(chunk)
            if self.count > self.limits.rows_max:
                most = self.limits.rows_max
                raise Refusal(
                    "too-many-rows", f"行数超过上限 {most}", f"more than {most} rows",
                    "分成几个文件，按不同期次报送", "split it and deliver it in periods",
                )  # fmt: skip
            yield self._frame([self._fit(row, width) for row in chunk], names)

    def _fit(self, row: Row, width: int) -> tuple[Cell | int, ...]:
        number, cells = row
        shape = None
        if len(cells) != width:
            extra = [cell or "" for cell in cells[width:]]
            if len(cells) < width or any(extra):
                self.ragged += 1
                found = {"expected": width, "found": len(cells), "extra": extra}
                shape = json.dumps(found, ensure_ascii=False)
            cells = [*cells[:width], *[None] * (width - len(cells))]
        return (*cells, number, shape)

    def _frame(self, rows: list[tuple[Cell | int, ...]], names: list[str]) -> pl.DataFrame:
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        frame = pl.DataFrame(
            {
                name: pl.Series(name, cells, pl.Int64 if name == ROW else pl.String)
                for name, cells in columns.items()
            }
        )
        self._check_cells(frame)
        return frame

    def _check_cells(self, frame: pl.DataFrame) -> None:
        most = self.limits.cell_max_chars
        for name in self.table.headers:
            longest = frame[name].str.len_chars().arg_max()
            if longest is not None and len(frame[name][longest] or "") > most:
                raise Refusal(
                    "cell-too-long", f"单元格超过 {most} 字", f"a cell is longer than {most} characters",
                    where=f"file row {frame[ROW][longest]}",
                )  # fmt: skip

    def conclude(self) -> None:
        if not self.count:
            raise Refusal("no-rows", "文件只有表头，没有数据", "the file has a header and no rows")
        if self.ragged > self.count * self.limits.ragged_max_share:
            raise Refusal(
                "ragged-rows",
                f"{self.count} 行中有 {self.ragged} 行的列数与表头不同：分隔符、引号或表头有误",
                f"{self.ragged} of {self.count} rows have another width than the header",
                "检查分隔符、引号和表头是否完整",
                "check delimiter, quotes and header",
            )
        self.table.notes["ragged_rows"] = self.ragged
