"""Which delivered fields a finding is about, for every rule of every contract."""

import pytest
from edulake.common.standards import Standards
from edulake.governance.batch.schemas import OpenedValue
from edulake.governance.batch.values import _masked, fields_of


def test_every_rule_of_every_contract_leads_to_a_field_that_is_delivered(standards: Standards) -> None:
    lost = [
        rule.id
        for contract in standards.datasets.values()
        for rule in contract.rules
        if not any(contract.field(name).aliases for name in fields_of(contract, rule.id, rule.field))
    ]
    assert lost == []


def test_an_unknown_school_is_told_by_its_name_and_code(standards: Standards) -> None:
    contract = standards.datasets["student_base"]
    assert fields_of(contract, "school.linked", "school_key") == ["school_key", "school_name", "school_code"]


@pytest.mark.parametrize(
    ("field", "is_beside", "told"),
    [
        ("identity_number", True, "******"),
        ("identity_number", False, "310199201205170017"),
        ("school_name", True, "310199201205170017"),
    ],
)
def test_what_stands_beside_is_masked_for_a_steward_where_it_is_sensitive(
    standards: Standards, field: str, is_beside: bool, told: str
) -> None:
    cell = {"row_no": 2, "rule_id": "x", "value": "310199201205170017"}
    one = OpenedValue(**cell, field=field, is_beside=is_beside)
    assert _masked(one, standards.datasets["student_base"]).value == told
