"""What an API definition must not say: each fault names the part of the file and how to mend it.

One place for all: the folder is refused with it, so no service starts with an API that another cannot serve.
"""

import re
from collections.abc import Iterator, Mapping

from edulake.common.standards.contract import PERSONAL_LEVEL, Contract, FieldContract
from edulake.common.standards.tables import ApiDefinition, CodeTable, Grading, Parameter

#: Names that a list call uses for paging; a parameter may not take them.
PAGING = frozenset({"cursor", "limit"})
#: The types a column may have for a parameter of each type.
FITTING = {
    "string": {"string", "code"},
    "integer": {"integer"},
    "date": {"date"},
    "boolean": {"boolean"},
}


def least_level(api: ApiDefinition, contract: Contract, grading: Grading) -> int:
    """The lowest level the API may declare: that of the highest field it shows, filters or orders by.

    What identifies a minor counts as `minor_level` at least (GB/T 43697: 就高从严).
    """
    used = [field for field in contract.served_fields if field.name in _used(api)]
    minors = [grading.minor_level for field in used if field.identifies == "minor"]
    return max([1, *minors, *(field.level for field in used)])


def faults_of_api(
    api: ApiDefinition, contract: Contract | None, codes: Mapping[str, CodeTable], grading: Grading
) -> Iterator[str]:
    """Every reason against the API; `contract`: of its dataset, None when there is none of that name."""
    if contract is None:
        yield f"dataset: no dataset {api.dataset}"
        return
    yield from misfits(api, contract, codes)
    yield from _careless(api, contract, grading)


def misfits(api: ApiDefinition, contract: Contract, codes: Mapping[str, CodeTable]) -> Iterator[str]:
    """What would not run: names, types, pages."""
    served = {field.name: field for field in contract.served_fields}
    if unknown := sorted(_used(api) - served.keys()):
        yield f"{', '.join(unknown)} is not served by {api.dataset} (no field, or its protection is drop)"
        return
    for part, names in (("columns", api.columns), ("order_by", api.order_by)):
        if len(set(names)) != len(names):
            yield f"{part}: a field is named twice"
    if len({one.name for one in api.parameters}) != len(api.parameters):
        yield "parameters: a name is declared twice"
    for parameter in api.parameters:
        for fault in _parameter_misfits(parameter, served[parameter.field], codes):
            yield f"parameters: {parameter.name}: {fault}"
    if hidden := sorted(_used(api) - set(api.columns)):
        yield f"{', '.join(hidden)} influences the answer and is not among columns: add it, or leave it out"
    if api.page.default > api.page.max:
        yield "page: default is above max"
    missing = sorted(set(contract.business_key) - _fixed(api))
    if api.kind == "one" and missing:
        yield f"kind one must require the whole business key by equality; {', '.join(missing)} is missing"


def _parameter_misfits(one: Parameter, field: FieldContract, codes: Mapping[str, CodeTable]) -> Iterator[str]:
    if one.name in PAGING:
        yield "the name belongs to paging"
    if not field.filterable:
        yield f"{field.name} is not filterable in its contract"
    if field.served_type not in FITTING[one.type]:
        yield f"type {one.type} does not fit {field.name}, which is served as {field.served_type}"
    if one.op == "prefix" and one.type != "string":
        yield "prefix needs type string"
    if one.code_table and one.code_table not in codes:
        yield f"no code table {one.code_table}"
    try:
        re.compile(one.pattern or "", re.ASCII)
    except re.error as error:
        yield f"pattern: {error}"


def _careless(api: ApiDefinition, contract: Contract, grading: Grading) -> Iterator[str]:
    """What would run and must not: levels, caches and lists of people (docs/security/minors.md)."""
    least = least_level(api, contract, grading)
    if api.level < least:
        yield f"level: {api.level} is below {least}, the highest of what it shows, filters or orders by"
    if api.kind == "list" and contract.concerns_minors and not _fixed(api) & set(contract.subject_keys):
        keys = ", ".join(contract.subject_keys) or "a key of one child"
        yield (
            f"kind: a list over {contract.name}, whose rows are children, must require {keys} by equality: "
            f"add a parameter {{field: {keys}, op: eq, required: true}}, or make it kind one"
        )
    if not api.is_personal:
        return
    if api.cache_s:
        yield f"cache_s: nothing from level {PERSONAL_LEVEL} on is kept in a cache: set it to 0"
    if api.kind == "list" and api.page.max > grading.personal_page_max:
        yield f"page: max is above {grading.personal_page_max}, the most from level {PERSONAL_LEVEL} on"
    fields = {field.name: field for field in contract.served_fields}
    for one in api.parameters:
        if one.op != "eq" and (
            one.field in contract.subject_keys or fields[one.field].level >= PERSONAL_LEVEL
        ):
            yield f"parameters: {one.name}: people are not found by {one.op} of {one.field}: use op eq"
    if lost := sorted(set(contract.business_key) - fields.keys()):
        yield f"{', '.join(lost)} of the business key is not served: nobody could tell who read a record"


def _used(api: ApiDefinition) -> set[str]:
    """Every field that shapes an answer."""
    return {*api.columns, *api.order_by, *(one.field for one in api.parameters)}


def _fixed(api: ApiDefinition) -> set[str]:
    """The fields of which a call must name the one value."""
    return {one.field for one in api.parameters if one.required and one.op == "eq"}
