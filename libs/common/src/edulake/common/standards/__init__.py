"""The standards of the lake: contracts, code tables, grading and shared APIs, read once and checked whole.

`Standards.load` is the only way in. It refuses a folder in which anything is misspelt, undeclared or served
in the clear although it is sensitive; an error names the file and the field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from edulake.common.standards.apis import faults_of_api, least_level
from edulake.common.standards.contract import (
    PERSONAL_LEVEL,
    Contract,
    Derivation,
    FieldContract,
    Link,
    Protect,
    Reference,
    Reshape,
    Rule,
)
from edulake.common.standards.datasets import faults_of_datasets
from edulake.common.standards.tables import (
    ApiDefinition,
    CodeRow,
    CodeTable,
    Detector,
    Domain,
    Grading,
    Parameter,
    read_code_table,
)
from pydantic import TypeAdapter, ValidationError

__all__ = [
    "PERSONAL_LEVEL",
    "ApiDefinition",
    "CodeRow",
    "CodeTable",
    "Contract",
    "Derivation",
    "Detector",
    "Domain",
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
    "least_level",
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
        domains = _read(folder / "domains.yaml", TypeAdapter(dict[str, Domain]).validate_python)
        for fault in faults_of_datasets(datasets, codes, domains):
            raise StandardsError(f"{folder}: {fault}")
        for name, api in apis.items():
            for fault in faults_of_api(api, datasets.get(api.dataset), codes, grading):
                raise StandardsError(f"{folder}: apis/{name}: {fault}")
        return cls(datasets, codes, grading, apis)


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
        if isinstance(item, Contract) and path.parent.name != item.domain:
            raise StandardsError(f"{path}: domain: {item.domain} must equal the folder's name")
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
