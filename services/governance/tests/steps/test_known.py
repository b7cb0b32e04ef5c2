"""Every word of every contract in the repository is one that governance knows."""

import dataclasses

import pytest
from edulake.common.settings import find_standards
from edulake.common.standards import Contract, StandardsError
from edulake.governance.steps.derivations import DERIVATIONS
from edulake.governance.steps.faults import ContractFault, blaming
from edulake.governance.steps.known import RULE_KINDS, faults_of, refuse_faults, refuse_faults_of
from edulake.governance.steps.needs import RULE_NEEDS


def broken(contract, **change):
    return contract.model_copy(update=change)


class TestContracts:
    def test_all_contracts_of_the_repository_are_understood(self, standards):
        for contract in standards.datasets.values():
            refuse_faults_of(contract)

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
        with pytest.raises(ContractFault, match=f"school_key.*{value}"):
            refuse_faults_of(broken(contract, fields=(changed,)))

    def test_an_unknown_derivation_is_refused(self, standards):
        contract = standards.datasets["school_base"]
        changed = contract.derive[0].model_copy(update={"by": "guess"})
        with pytest.raises(ContractFault, match="guess"):
            refuse_faults_of(broken(contract, derive=(changed,)))


def edited(contract: Contract, edit) -> Contract:
    """The contract with its plain data changed, read anew."""
    data = contract.model_dump(by_alias=True, mode="json")
    edit(data)
    return Contract.model_validate(data)


def rule(data, kind):
    return next(one for one in data["rules"] if one["kind"] == kind)


class TestDerivations:
    """D7 of the review of December 2026: one input where two were wanted was a ValueError, five times over."""

    @pytest.mark.parametrize(
        ("number", "change", "words"),
        [
            (4, {"from": []}, "person_token takes 1 to 2 inputs in `from`, not 0"),
            (4, {"from": ["identity_number", "student_number", "sex"]}, "takes 1 to 2 inputs"),
            (2, {"from": []}, "under_minor_age takes 1 inputs"),
            (2, {"from": ["grade"]}, "grade is code, it must be date"),
            (0, {"field": "grade"}, "grade is code, it must be date"),
            (4, {"from": ["birth_date"]}, "birth_date is date, it must be string"),
        ],
    )
    def test_inputs_that_do_not_fit_are_named(self, standards, number, change, words):
        contract = edited(standards.datasets["student_base"], lambda c: c["derive"][number].update(change))
        assert words in "; ".join(faults_of(contract))

    def test_a_person_without_a_student_number_needs_one_input(self, standards):
        contract = edited(
            standards.datasets["student_base"],
            lambda c: [d.update({"from": ["identity_number"]}) for d in c["derive"] if "identity" in d["by"]],
        )
        assert list(faults_of(contract)) == []


class TestRules:
    def test_every_kind_says_what_it_needs(self):
        assert set(RULE_NEEDS) == RULE_KINDS

    @pytest.mark.parametrize(
        ("kind", "change", "words"),
        [
            ("regex", {"pattern": None}, "kind regex needs pattern"),
            ("regex", {"pattern": "(?<=a)b"}, "is no regular expression of Rust"),
            ("length", {"min": None, "max": None}, "kind length needs min or max"),
            ("length", {"min": 9, "max": 3}, "min is above max"),
            ("not_in", {"allow": []}, "kind not_in needs allow"),
            ("one_value_per_key", {"with_field": None}, "needs with_field"),
            ("code_agrees", {"with_field": None}, "kind code_agrees needs with_field"),
            ("required", {"pattern": "x"}, "kind required does not know pattern"),
            ("length", {"field": "estimated_pupils"}, "cannot look at estimated_pupils of type integer"),
            ("code", {"field": "school_name"}, "cannot look at school_name of type string"),
            ("disputed", {"field": "office"}, "office is derived from nothing"),
            ("required", {"kind": "linked"}, "no link has school_name as its field"),
        ],
    )
    def test_what_a_rule_lacks_is_named(self, standards, kind, change, words):
        contract = edited(standards.datasets["school_base"], lambda c: rule(c, kind).update(change))
        found = "; ".join(faults_of(contract))
        assert words in found
        assert "school_base: rule " in found

    def test_likenesses_are_sought_in_the_dataset_itself(self, standards):
        contract = edited(standards.datasets["school_base"], lambda c: c.update(references=[]))
        assert "near_name: the contract must reference its own dataset" in "; ".join(faults_of(contract))


class TestStart:
    def test_every_fault_of_every_contract_is_told_at_once(self, standards):
        def spoil(data):
            data["derive"][0].update({"from": []})
            rule(data, "regex").update(pattern=None)

        spoilt = edited(standards.datasets["school_base"], spoil)
        datasets = {**standards.datasets, "school_base": spoilt}
        with pytest.raises(StandardsError, match=r"bracketed_names takes 1 inputs.*regex needs pattern"):
            refuse_faults(dataclasses.replace(standards, datasets=datasets))

    def test_the_how_to_lists_every_derivation(self):
        text = (find_standards().parent / "docs" / "howto" / "add-a-dataset.md").read_text("utf-8")
        assert [name for name in DERIVATIONS if f"`{name}`" not in text] == []


class TestBlaming:
    def test_what_fails_inside_is_told_by_its_place_and_kind_only(self):
        with (
            pytest.raises(
                ContractFault, match=r"club: rule a.b cannot be carried out \(ValueError\)"
            ) as told,
            blaming("club: rule a.b"),
        ):
            raise ValueError("310101200001011234")
        assert "310101200001011234" not in str(told.value)

    def test_a_lost_machine_is_nobodys_fault(self):
        with pytest.raises(MemoryError), blaming("club: rule a.b"):
            raise MemoryError
