"""SQL of the share engine: text from allow-listed identifiers only, values only ever bound.

One statement answers one page. Rows become JSON inside Postgres and leave as bytes. The order is total
and independent of anything the caller may not see: the granted order columns, then `_n`, a row number
that the publisher deals out in the order of a hash. NULLs sort as a constant, so that one row comparison,
with the row the last page ended at, finds the next. The table name carries the version: what is read is
what the answer says.
"""

# ruff: noqa: S608 - statements are made here, of allow-listed identifiers only; values are always bound

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edulake.common.mask import HIDDEN
from edulake.share_gateway.engine.definition import Column, CompiledApi, Param, SqlType

__all__ = ["CompiledApi", "Shape", "like_prefix", "list_statement", "one_statement", "usable_sort"]

#: Stands for NULL in the order of each type; ties are broken by `_n`.
LEAST: dict[SqlType, str] = {
    "text": "''::text",
    "bigint": "'-9223372036854775808'::bigint",
    "numeric": "'-1e30'::numeric",
    "date": "'0001-01-01'::date",
    "boolean": "false",
}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
#: Longest dataset name such that `<name>__v<version>` stays a Postgres identifier (63 bytes).
MAX_DATASET_LENGTH = 50


def quoted(name: str) -> str:
    """The identifier in quotes. ValueError for anything that is not a plain lower-case name."""
    if not _NAME.fullmatch(name):
        raise ValueError("not an identifier of the lake")
    return f'"{name}"'


def table_name(dataset: str, version: int) -> str:
    """The serving table of one published version, qualified and quoted."""
    if len(dataset) > MAX_DATASET_LENGTH or version < 1:
        raise ValueError("no serving table can have that name")
    return f"published.{quoted(f'{dataset}__v{version:d}')}"


def sort_key(name: str, sql_type: SqlType) -> str:
    """The expression a page is ordered by; the publisher builds its indexes from the same text."""
    return f"coalesce({quoted(name)}, {LEAST[sql_type]})"


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything the text of a statement depends on; values are not part of it.

    `columns` in the API's order, `sort` the order columns in use, `given` the parameters present.
    """

    columns: tuple[str, ...]
    sort: tuple[str, ...]
    given: tuple[str, ...]
    scoped: bool
    paged: bool
    strict: bool


def list_statement(api: CompiledApi, shape: Shape, version: int) -> str:
    """SQL of a page.

    Arguments: the values of `given`, the districts (text[]) if scoped, the last row's `_n` if paged, then
    the page size. Result: one row: the records as a JSON array in UTF-8 bytes, whether more follow, the
    `_n` of the page's last row, and of personal data the keys of the records, each as `_keys` makes them.
    """
    arguments = _Arguments()
    table = table_name(api.dataset, version)
    where = _conditions(api, shape, arguments)
    order = ", ".join([*(sort_key(name, api.fields[name].sql_type) for name in shape.sort), '"_n"'])
    if shape.paged:
        last = f'SELECT {order} FROM {table} WHERE "_n" = {arguments.take("bigint")}'
        where.append(f"({order}) > ({last})")
    size = arguments.take("bigint")
    keys = _keys(api)
    answered = f", (array_agg(k))[1:{size}] AS keys" if keys else ""
    return (  # identifiers from the allow-list, everything else bound
        f"SELECT convert_to('[' || coalesce(array_to_string((array_agg(j))[1:{size}], ','), '') || ']', 'UTF8')"
        f" AS records, count(*) > {size} AS more, (array_agg(n))[{size}] AS last{answered} FROM ("
        f'SELECT ({_row_json(api, shape)})::text AS j, "_n" AS n{keys} FROM {table} t{_where(where)}'
        f" ORDER BY {order} LIMIT {size} + 1) page"
    )


def one_statement(api: CompiledApi, shape: Shape, version: int) -> str:
    """SQL of one record: no row when absent, else one row: the record as JSON in UTF-8 bytes, and its keys."""
    arguments = _Arguments()
    where = _conditions(api, shape, arguments)
    return (
        f"SELECT convert_to(({_row_json(api, shape)})::text, 'UTF8') AS record{_keys(api)}"
        f" FROM {table_name(api.dataset, version)} t{_where(where)} LIMIT 1"
    )


def _keys(api: CompiledApi) -> str:
    """A column `k`: the key columns of a personal record as a JSON array of texts; nothing for general data."""
    names = dict.fromkeys(name for group in api.record_keys for name in group)
    texts = ", ".join(f"t.{quoted(name)}::text" for name in names)
    return f", json_build_array({texts})::text AS k" if names else ""


class _Arguments:
    """Deals out `$1::type`, `$2::type`, … in order."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, sql_type: str) -> str:
        self.count += 1
        return f"${self.count}::{sql_type}"


def _conditions(api: CompiledApi, shape: Shape, arguments: _Arguments) -> list[str]:
    params = {param.name: param for param in api.params}
    found = [_condition(params[name], api.fields[params[name].column], arguments) for name in shape.given]
    if shape.scoped:
        found.append(f'"_region" = ANY({arguments.take("text[]")})')
    return found


def _condition(param: Param, column: Column, arguments: _Arguments) -> str:
    name = quoted(column.name)
    if param.op == "in":
        return f"{name} = ANY({arguments.take(column.sql_type + '[]')})"
    return f"{name} {'LIKE' if param.op == 'prefix' else '='} {arguments.take(column.sql_type)}"


def _row_json(api: CompiledApi, shape: Shape) -> str:
    values = ", ".join(_value(api.fields[name], strict=shape.strict) for name in shape.columns)
    return f"SELECT row_to_json(r) FROM (SELECT {values}) r"


def _value(column: Column, *, strict: bool) -> str:
    name = quoted(column.name)
    if not strict or column.strict is None:
        return f"t.{name}"
    masked = f"left(t.{name}, 4)" if column.strict == "year" else f"'{HIDDEN}'::text"
    return f"{masked} AS {name}"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def like_prefix(value: str) -> str:
    """A LIKE pattern that matches exactly the texts beginning with `value`."""
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped + "%"


def usable_sort(api: CompiledApi, columns: Iterable[str], *, strict: bool) -> tuple[str, ...]:
    """The order columns a caller may see; the others must not influence the order."""
    allowed = set(columns)
    return tuple(
        name
        for name in api.order_by
        if name in allowed and not (strict and api.fields[name].strict is not None)
    )
