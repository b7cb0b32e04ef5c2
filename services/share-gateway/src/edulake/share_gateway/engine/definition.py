"""A shared API after checking: what may be asked, what may be answered, and of which types.

`define` is the gate between data (`standards/apis/*.yaml`) and SQL. Whatever it lets through is safe to
compile: every identifier is a served field of the contract, every parameter is typed and bounded.
What does not fit was refused when the standards were loaded, in the words of `common.standards.apis`; asked
again here, because SQL is made of it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from edulake.common.standards import (
    PERSONAL_LEVEL,
    ApiDefinition,
    CodeTable,
    Contract,
    FieldContract,
    Parameter,
)
from edulake.common.standards.apis import PAGING, misfits

Strict = Literal["hide", "year"]
SqlType = Literal["text", "bigint", "numeric", "date", "boolean"]
SQL_TYPES: Mapping[str, SqlType] = {
    "string": "text",
    "code": "text",
    "integer": "bigint",
    "decimal": "numeric",
    "date": "date",
    "boolean": "boolean",
}


class DefinitionError(ValueError):
    """An API definition does not fit its contract; the message names the API and the field."""


@dataclass(frozen=True, slots=True)
class Protection:
    """The form in which a field stands in a serving table: its transforms, and the level they answer to."""

    share: str
    minor: str | None
    level: int

    @classmethod
    def of(cls, field: FieldContract) -> Self:
        return cls(field.protect.share, field.protect.minor, field.level)

    def covers(self, wanted: "Protection") -> bool:
        """True when what was published so satisfies what is wanted now. Transforms have no order, so another
        one does not, and a level that was raised asks for a new look at the data."""
        return (self.share, self.minor) == (wanted.share, wanted.minor) and self.level >= wanted.level


@dataclass(frozen=True, slots=True)
class Column:
    """A served field: its type in the serving table, its protection, and how it reads under the strict mask level.

    `strict`: None leaves the column as it is, `year` keeps the first four characters, `hide` shows a constant.
    """

    name: str
    title: str
    sql_type: SqlType
    level: int
    strict: Strict | None
    protection: Protection


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter: `column` `op` value, with the bounds a value must keep."""

    name: str
    column: str
    op: Literal["eq", "prefix", "in"]
    type: Literal["string", "integer", "date", "boolean"]
    required: bool
    max_length: int
    pattern: re.Pattern[str] | None
    codes: frozenset[str] | None
    description: str


@dataclass(frozen=True, slots=True, eq=False)
class CompiledApi:
    """An API that can be called. Compared by identity; made once at start."""

    name: str
    version: str
    title: str
    level: int
    is_personal: bool
    kind: Literal["list", "one"]
    dataset: str
    columns: tuple[str, ...]
    params: tuple[Param, ...]
    order_by: tuple[str, ...]
    page_default: int
    page_max: int
    cache_s: int
    fields: Mapping[str, Column]
    #: What the audit must know of each answered row, beyond what is shown: groups of key columns, each of which
    #: stands for one record or person. None for general data.
    record_keys: tuple[tuple[str, ...], ...]
    definition: ApiDefinition
    #: Every name a call may use, and those it must.
    names: frozenset[str]
    required: tuple[str, ...]
    #: Differs between any two versions of the API and of the protection of its fields.
    stamp: bytes


def define(api: ApiDefinition, contract: Contract, codes: Mapping[str, CodeTable]) -> CompiledApi:
    """Check `api` against `contract`; DefinitionError says what does not fit. `codes`: the code tables by name."""
    for fault in misfits(api, contract, codes):
        raise DefinitionError(f"{api.name}: {fault}")
    served = {field.name: field for field in contract.served_fields}
    for name in api.columns:
        if served[name].level > api.level:
            raise DefinitionError(
                f"{api.name}: {name} is of level {served[name].level}, above the API's {api.level}"
            )
    record_keys = _record_keys(contract) if api.is_personal else ()
    used = dict.fromkeys((*api.columns, *(name for group in record_keys for name in group)))
    fields = {name: _column(served[name], contract.business_key) for name in used}
    params = tuple(_param(parameter, codes) for parameter in api.parameters)
    return CompiledApi(
        name=api.name,
        version=api.version,
        title=api.title,
        level=api.level,
        is_personal=api.is_personal,
        kind=api.kind,
        dataset=contract.name,
        columns=api.columns,
        params=params,
        order_by=api.order_by,
        page_default=api.page.default,
        page_max=api.page.max,
        cache_s=api.cache_s,
        fields=fields,
        record_keys=record_keys,
        definition=api,
        names=frozenset(param.name for param in params) | (PAGING if api.kind == "list" else frozenset()),
        required=tuple(param.name for param in params if param.required),
        stamp=hashlib.sha256(repr((api.version, fields)).encode()).digest()[:16],
    )


def _record_keys(contract: Contract) -> tuple[tuple[str, ...], ...]:
    """Each key of a person by itself, so that a person is found whatever else is in the key; else the whole key."""
    people = tuple((name,) for name in contract.subject_keys)
    return people or (contract.business_key,)


def _column(field: FieldContract, business_key: tuple[str, ...]) -> Column:
    name = field.name
    return Column(
        name=name,
        title=field.title,
        sql_type=SQL_TYPES[field.served_type],
        level=field.level,
        strict=None if name in business_key else strict_form(field),
        protection=Protection.of(field),
    )


def strict_form(field: FieldContract) -> Strict | None:
    """How a field reads under the strict mask level: of level ≥3 nothing is left but the year of a date."""
    if field.level < PERSONAL_LEVEL:
        return None
    return "year" if field.protect.share == "generalise_month" else "hide"


def _param(parameter: Parameter, codes: Mapping[str, CodeTable]) -> Param:
    table = codes.get(parameter.code_table) if parameter.code_table else None
    return Param(
        name=parameter.name,
        column=parameter.field,
        op=parameter.op,
        type=parameter.type,
        required=parameter.required,
        max_length=parameter.max_length,
        pattern=re.compile(parameter.pattern, re.ASCII) if parameter.pattern else None,
        codes=frozenset(table.by_code) if table and parameter.op != "prefix" else None,
        description=parameter.description,
    )
