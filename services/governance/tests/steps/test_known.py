"""Every word of every contract in the repository is one that governance knows."""

import pytest
from edulake.governance.steps.known import RULE_KINDS, UnknownWord, refuse_unknown


def broken(contract, **change):
    return contract.model_copy(update=change)


class TestContracts:
    def test_all_contracts_of_the_repository_are_understood(self, standards):
        for contract in standards.datasets.values():
            refuse_unknown(contract)

    def test_every_rule_kind_is_used_by_some_contract(self, standards):
        used = {rule.kind for contract in standards.datasets.values() for rule in contract.rules}
        assert used == RULE_KINDS

    @pytest.mark.parametrize(
        ("field", "value"),
        [("normalise", "shout"), ("protect", "mask_everything")],
    )
    def test_an_unknown_word_of_a_field_is_refused_and_named(self, standards, field, value):
        contract = standards.datasets["school_base"]
        first = contract.fields[0]
        protect = first.protect.model_copy(update={"share": value})
        changed = first.model_copy(update={field: protect if field == "protect" else value})
        with pytest.raises(UnknownWord, match=f"school_key.*{value}"):
            refuse_unknown(broken(contract, fields=(changed,)))

    def test_an_unknown_derivation_is_refused(self, standards):
        contract = standards.datasets["school_base"]
        changed = contract.derive[0].model_copy(update={"by": "guess"})
        with pytest.raises(UnknownWord, match="guess"):
            refuse_unknown(broken(contract, derive=(changed,)))
