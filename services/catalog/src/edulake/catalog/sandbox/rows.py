"""Made-up rows of a dataset, the same at every call, masked as the contract masks real ones.

They start from the documented sample answer of an API over the dataset, so that a reader meets the same
school in the handbook, among the samples and in the sandbox. Nobody in them exists: they are not derived
from any delivered row, and this module reads no data at all.
"""

from collections.abc import Callable
from typing import Any

from edulake.common.standards import ApiDefinition, Contract, FieldContract, Standards

ROWS = 8
#: What a mask leaves of a made-up value, where the sample answer of an API says nothing of the field.
_MASKED = {
    "mask_name": ("张*", "李*", "欧阳*", "王*"),
    "mask_phone": ("100****0001", "100****0002"),
    "mask_id_number": ("3101**********0010", "3101**********002X"),
    "mask_student_number": ("G3101**********0010", "G3101**********002X"),
    "mask_text": ("示***",),
    "generalise_month": ("2012-05", "2013-09", "2011-11"),
    "generalise_year": ("2012", "2013", "2011"),
    "generalise_address": ("示范区示例街道", "示范区样本镇"),
    "hide": (None,),
}
#: Values of the types that are neither text nor code, by number of the row.
_PLAIN: dict[str, Callable[[int], Any]] = {
    "boolean": lambda number: number % 3 == 0,
    "integer": lambda number: (number + 1) * 5,
    "decimal": lambda number: (number + 1) * 5.5,
    "date": lambda number: f"2026-0{number + 1}-01",
}


def sample_rows(contract: Contract, standards: Standards) -> list[dict[str, Any]]:
    """`ROWS` rows of every served field of the dataset."""
    known = _documented(contract, standards)
    served = [field for field in contract.fields if field.served]
    return [
        {field.name: _value(field, number, known, contract, standards) for field in served}
        for number in range(ROWS)
    ]


def _documented(contract: Contract, standards: Standards) -> dict[str, Any]:
    """The fields of the sample answers of the APIs over the dataset."""
    found: dict[str, Any] = {}
    for api in standards.apis.values():
        if api.dataset == contract.name:
            found = {**_first(api), **found}
    return found


def _first(api: ApiDefinition) -> dict[str, Any]:
    data = api.sample_response.get("data")
    row = data[0] if isinstance(data, list) and data else data
    return dict(row) if isinstance(row, dict) else {}


def _value(
    field: FieldContract, number: int, known: dict[str, Any], contract: Contract, standards: Standards
) -> Any:
    documented = known.get(field.name)
    if number == 0 and field.name in known:
        return documented
    if field.protect.share != "keep":
        values = _MASKED.get(field.protect.share, (None,))  # an unknown mask shows nothing
        return values[number % len(values)]
    if field.type == "code":
        return _code(field, number, standards)
    if field.type == "string":
        return _text(field, number, documented, is_key=field.name in contract.business_key)
    return documented if field.name == "year" else _PLAIN[field.type](number)


def _code(field: FieldContract, number: int, standards: Standards) -> str | None:
    rows = standards.codes[field.code_table or ""].rows
    live = [row.code for row in rows if not row.successor and row.valid_until is None]
    scoped = [code for code in live if not field.code_scope or _below(code, field.code_scope)]
    return scoped[number % len(scoped)] if scoped else None


def _below(code: str, scope: str) -> bool:
    """Within the scope and not the whole of it: a school stands in a district, not in the city."""
    return code.startswith(scope) and not code.endswith("0000")


def _text(field: FieldContract, number: int, documented: Any, *, is_key: bool) -> str:
    """The documented value with another end where rows must differ, else a value that says what it is."""
    if not documented:
        return f"示例{field.title}{number + 1}"
    body, end = str(documented)[:-1], str(documented)[-1]
    if end.isdigit():
        return f"{body}{(int(end) + number) % 10}"
    return f"{body}{'stuvwxyz'[number % 8]}" if is_key else f"{body}{end}（{number + 1}）"
