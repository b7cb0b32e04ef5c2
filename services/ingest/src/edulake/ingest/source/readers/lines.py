"""JSONL: one flat object a line. Numbers keep their digits as written; nothing is nested."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from edulake.ingest.source.readers.limits import Limits, Refusal
from edulake.ingest.source.readers.sniff import encoding_of
from edulake.ingest.source.readers.table import Row, Table, at, clean_headers

Flat = dict[str, str | None]


def read_lines(path: Path, limits: Limits) -> Table:
    """The table of a JSONL file: the columns are all keys, in the order they first appear."""
    encoding = encoding_of(path)
    keys: dict[str, None] = {}
    for _, row in _objects(path, encoding, limits):
        keys.update(dict.fromkeys(row))
        if len(keys) > limits.columns_max:
            break
    table = Table(clean_headers(list(keys), limits), iter(()), encoding.removesuffix("-sig"))
    table.rows = _rows(_objects(path, encoding, limits), list(keys))
    return table


def _rows(objects: Iterator[tuple[int, Flat]], keys: list[str]) -> Iterator[Row]:
    for number, row in objects:
        yield number, [row.get(key) for key in keys]


def _objects(path: Path, encoding: str, limits: Limits) -> Iterator[tuple[int, Flat]]:
    """Numbered flat objects; empty lines carry nothing."""
    longest = limits.cell_max_chars * 64
    with path.open(encoding=encoding, errors="strict", newline="\n") as file:
        number = 0
        while line := file.readline(longest):
            number += 1
            if len(line) == longest and not line.endswith("\n"):
                raise _refuse("line-too-long", "一行过长", "the line is too long", f"file row {number}")
            if text := line.strip(" \t\r\n"):
                yield number, flat_object(text, f"file row {number}")


def flat_object(text: str, where: str) -> Flat:
    """One JSON object as text cells; Refusal when it is no flat object."""
    try:
        value = parse_exact(text)
    except RecursionError as error:
        raise _refuse("nested-value", "嵌套过深", "nested too deeply", where) from error
    except ValueError as error:
        raise _refuse(
            "broken-json", "不是合法的 JSON 对象（每行一个）", "no valid JSON object", where
        ) from error
    return flat(value, where)


def flat(value: Any, where: str) -> Flat:
    """A parsed object as text cells: null stays absent, true/false become words, digits stay as written."""
    if not isinstance(value, dict):
        raise _refuse(
            "not-an-object", "应为 JSON 对象（每行一个，不是数组）", "expected one JSON object a line", where
        )
    if nested := [n for n, cell in enumerate(value.values(), 1) if isinstance(cell, dict | list)]:
        places = at(nested)
        raise _refuse("nested-value", f"第 {places} 个值是嵌套结构", f"nested values: number {places}", where)
    return {key: _text(cell) for key, cell in value.items()}


def _text(cell: Any) -> str | None:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return cell if cell is None else str(cell)


def parse_exact(text: str | bytes) -> Any:
    """Parse JSON with numbers kept as the text they were written in; ValueError on anything dubious."""
    constant: Callable[[str], NoReturn] = _no_constant
    return json.loads(
        text, parse_int=str, parse_float=str, parse_constant=constant, object_pairs_hook=_unique_pairs
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    # A lone surrogate cannot be written as UTF-8: it was damaged before it came.
    for key, cell in pairs:
        key.encode()
        if isinstance(cell, str):
            cell.encode()
    return found


def _refuse(code: str, zh: str, en: str, where: str) -> Refusal:
    return Refusal(code, zh, en, "每行写一个扁平的 JSON 对象", "write one flat JSON object a line", where)
