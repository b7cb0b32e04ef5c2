"""The standards of the lake: contracts, code tables, grading and shared APIs, read once and checked whole.

`Standards.load` is the only way in. It refuses a folder in which anything is misspelt, undeclared or served
in the clear although it is sensitive; an error names the file and the field.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from edulake.common.standards.contract import (
    Contract,
    Derivation,
    FieldContract,
    Link,
    Protect,
    Reference,
    Reshape,
    Rule,
)
from edulake.common.standards.tables import (
    ApiDefinition,
    CodeRow,
    CodeTable,
    Detector,
    Grading,
    Parameter,
    read_code_table,
)
from pydantic import ValidationError

__all__ = [
    "ApiDefinition",
    "CodeRow",
    "CodeTable",
    "Contract",
    "Derivation",
    "Detector",
    "FieldContract",
    "Grading",
    "Link",
    "Parameter",
    "Protect",
    "Reference",
    "Reshape",
    "Rule",
    "Standards",
    "StandardsError",
]

T = TypeVar("T")


class StandardsError(Exception):
    """The standards folder is wrong; the message says in which file and field."""


@dataclass(frozen=True)
class Standards:
    """Everything under `standards/`, by name."""

    datasets: dict[str, Contract]
    codes: dict[str, CodeTable]
    grading: Grading
    apis: dict[str, ApiDefinition]

    @classmethod
    def load(cls, folder: Path) -> "Standards":
        """Read and check `folder`; StandardsError with file and field on the first thing wrong."""
        codes = {table.name: table for table in _each(folder, "codes/*.csv", read_code_table)}
        grading = _read(folder / "grading.yaml", Grading.model_validate)
        datasets = _named(folder, "datasets/*/*.yaml", Contract.model_validate)
        apis = _named(folder, "apis/*.yaml", ApiDefinition.model_validate)
        standards = cls(datasets, codes, grading, apis)
        for complaint in _complaints(standards):
            raise StandardsError(f"{folder}: {complaint}")
        return standards


def _each(folder: Path, pattern: str, read: Callable[[Path], T]) -> list[T]:
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise StandardsError(f"{folder}: no {pattern}")
    try:
        return [read(path) for path in paths]
    except ValueError as error:
        raise StandardsError(str(error)) from error


def _named(folder: Path, pattern: str, parse: Callable[[Any], T]) -> dict[str, T]:
    items = {path: _read(path, parse) for path in sorted(folder.glob(pattern))}
    for path, item in items.items():
        if path.stem != getattr(item, "name", None):
            raise StandardsError(f"{path}: name must equal the file's name")
    return {path.stem: item for path, item in items.items()}


def _read(path: Path, parse: Callable[[Any], T]) -> T:
    try:
        return parse(yaml.safe_load(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "(whole file)"
        raise StandardsError(f"{path}: {where}: {first['msg']}") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise StandardsError(f"{path}: {error}") from error


def _complaints(standards: Standards) -> Iterable[str]:
    yield from _sources_complaints(standards)
    for contract in standards.datasets.values():
        yield from _contract_complaints(standards, contract)
    for api in standards.apis.values():
        yield from _api_complaints(standards, api)


def _contract_complaints(standards: Standards, contract: Contract) -> Iterable[str]:
    for field in contract.fields:
        if field.code_table and field.code_table not in standards.codes:
            yield f"datasets/{contract.name}: {field.name}: no code table {field.code_table}"
    for reference in contract.references:
        if reference.dataset not in standards.datasets:
            yield f"datasets/{contract.name}: references: no dataset {reference.dataset}"


def _sources_complaints(standards: Standards) -> Iterable[str]:
    """One source for each element (一数一源), and nothing is filled in from any other."""
    source: dict[str, str] = {}
    for contract in standards.datasets.values():
        for element in contract.authoritative_for:
            if (other := source.setdefault(element, contract.name)) != contract.name:
                yield f"datasets/{contract.name}: authoritative_for: {element} is {other}'s already"
    for contract in standards.datasets.values():
        datasets = {reference.alias: reference.dataset for reference in contract.references}
        for link in contract.links:
            for column in link.fill.values():
                if source.get(column) != datasets[link.reference]:
                    yield (
                        f"datasets/{contract.name}: {link.field}: {datasets[link.reference]} "
                        f"is not the source of {column}"
                    )


def _api_complaints(standards: Standards, api: ApiDefinition) -> Iterable[str]:
    contract = standards.datasets.get(api.dataset)
    if contract is None:
        yield f"apis/{api.name}: no dataset {api.dataset}"
        return
    served = {field.name: field for field in contract.served_fields}
    for name in (*api.columns, *api.order_by, *(p.field for p in api.parameters)):
        if name not in served:
            yield f"apis/{api.name}: {name} is not served by {api.dataset}"
    for parameter in api.parameters:
        if parameter.field in served and not served[parameter.field].filterable:
            yield f"apis/{api.name}: {parameter.name}: {parameter.field} is not filterable"
        if parameter.code_table and parameter.code_table not in standards.codes:
            yield f"apis/{api.name}: {parameter.name}: no code table {parameter.code_table}"
    columns = [served[name] for name in api.columns if name in served]
    if any(field.level > api.level for field in columns):
        yield f"apis/{api.name}: level is below that of its columns"
    if any(field.identifies == "minor" for field in columns) and api.level < standards.grading.minor_level:
        yield f"apis/{api.name}: level is below {standards.grading.minor_level} (minor_level) though it shows minors"
