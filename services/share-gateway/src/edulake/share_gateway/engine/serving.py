"""The serving tables: one table a published version, never changed after its transaction.

A table holds the served fields of its contract and two columns of ours: `_n`, the row's number in the
order of a hash, and `_region`, by which grants are scoped to districts. Text is compared by code point
(collation C): the order is the same on every machine, and an index serves prefixes too.
"""

# ruff: noqa: S608 - statements are made here, of allow-listed identifiers only; values are always bound

from collections.abc import Iterable, Mapping

from edulake.common.standards import Contract
from edulake.share_gateway.engine.compile import quoted, sort_key, table_name
from edulake.share_gateway.engine.definition import SQL_TYPES, CompiledApi, Protection, SqlType

NUMBER = "_n"
REGION = "_region"


def served_columns(contract: Contract) -> dict[str, SqlType]:
    """The columns that may be published (P8) and their types, in the contract's order."""
    return {field.name: SQL_TYPES[field.served_type] for field in contract.served_fields}


def served_protection(contract: Contract) -> dict[str, Protection]:
    """In which form each of these columns is published."""
    return {field.name: Protection.of(field) for field in contract.served_fields}


def create_table(dataset: str, version: int, columns: Mapping[str, SqlType]) -> str:
    """DDL of the table of one version, still without indexes."""
    own = [f"{quoted(NUMBER)} bigint NOT NULL", f'{quoted(REGION)} text COLLATE "C"']
    served = [f"{quoted(name)} {_declared(sql_type)}" for name, sql_type in columns.items()]
    return f"CREATE TABLE {table_name(dataset, version)} ({', '.join(own + served)})"


def grant_reading(dataset: str, version: int) -> str:
    """DDL that lets the query engine read a version."""
    return f"GRANT SELECT ON {table_name(dataset, version)} TO edulake_reader"


def _declared(sql_type: SqlType) -> str:
    return 'text COLLATE "C"' if sql_type == "text" else sql_type


def create_indexes(
    contract: Contract, version: int, columns: Mapping[str, SqlType], apis: Iterable[CompiledApi]
) -> list[str]:
    """DDL of what reads need: the row number, the unique business key, each filter, region and order."""
    table = table_name(contract.name, version)
    number = quoted(NUMBER)
    found = [f"ALTER TABLE {table} ADD PRIMARY KEY ({number})"]
    if columns.keys() >= set(contract.business_key):
        key = ", ".join(map(quoted, contract.business_key))
        found.append(f"CREATE UNIQUE INDEX ON {table} ({key})")
    filters = [f.name for f in contract.served_fields if f.filterable and (f.name,) != contract.business_key]
    found += [f"CREATE INDEX ON {table} ({quoted(name)}, {number})" for name in (REGION, *filters)]
    orders = {
        ", ".join(sort_key(name, columns[name]) for name in api.order_by)
        for api in apis
        if api.kind == "list" and api.dataset == contract.name and columns.keys() >= set(api.order_by)
    }
    found += [f"CREATE INDEX ON {table} ({order}, {number})" for order in sorted(orders)]
    return [*found, f"ANALYZE {table}"]


def point_view(dataset: str, version: int, columns: Iterable[str], *, same_shape: bool) -> list[str]:
    """DDL that points `published.<dataset>` at a version; readers see the old or the new, nothing between.

    `same_shape`: the view has these columns already, so it is replaced and what depends on it stays.
    """
    view = f"published.{quoted(dataset)}"
    names = ", ".join(map(quoted, columns))
    select = f"SELECT {names} FROM {table_name(dataset, version)}"
    if same_shape:
        return [f"CREATE OR REPLACE VIEW {view} AS {select}"]
    return [
        f"DROP VIEW IF EXISTS {view}",
        f"CREATE VIEW {view} AS {select}",
        f"GRANT SELECT ON {view} TO edulake_reader",
    ]


def count_regions(dataset: str, version: int) -> str:
    """Rows of a version by district: `region`, `rows`."""
    region = quoted(REGION)
    return (
        f"SELECT {region} AS region, count(*) AS rows FROM {table_name(dataset, version)} GROUP BY {region}"
    )


def count_filled(dataset: str, version: int, columns: Iterable[str]) -> str:
    """Values of a version that are not NULL, by column."""
    counts = ", ".join(f"count({quoted(name)}) AS {quoted(name)}" for name in columns)
    return f"SELECT {counts} FROM {table_name(dataset, version)}"


def drop_table(dataset: str, version: int) -> str:
    """DDL that forgets a version."""
    return f"DROP TABLE IF EXISTS {table_name(dataset, version)}"
