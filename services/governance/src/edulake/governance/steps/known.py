"""What a contract may say and governance understands; anything else is an error, not a rule that never runs.

Asked when a process of governance starts, and by `edulake doctor`: a contract that cannot be carried out stops the
start. Asked once more for each batch.
"""

from collections.abc import Container, Iterator

import polars as pl
from edulake.common.mask import TRANSFORMS
from edulake.common.standards import Contract, Derivation, Rule, Standards, StandardsError
from edulake.governance.steps.checks import VALUE_CHECKS
from edulake.governance.steps.convert import NORMALISE
from edulake.governance.steps.derivations import DERIVATIONS
from edulake.governance.steps.faults import ContractFault
from edulake.governance.steps.link import SUGGESTIONS
from edulake.governance.steps.needs import RULE_NEEDS, WORDS, Needs
from edulake.governance.steps.whole import LAST_CHECKS, WHOLE_CHECKS

RULE_KINDS = frozenset({*VALUE_CHECKS, *WHOLE_CHECKS, *LAST_CHECKS, *SUGGESTIONS})


def refuse_faults(standards: Standards) -> None:
    """Raise StandardsError with every fault of every contract and detector; nothing when all can be carried out."""
    faults = [fault for contract in standards.datasets.values() for fault in faults_of(contract)]
    for detector in standards.grading.detectors:
        faults += _pattern_faults(detector.pattern, f"grading.yaml: detector {detector.name}")
    if faults:
        raise StandardsError("; ".join(faults))


def refuse_faults_of(contract: Contract) -> None:
    """Raise ContractFault, naming the field or rule, unless governance can carry out every part of the contract."""
    for fault in faults_of(contract):
        raise ContractFault(fault)


def faults_of(contract: Contract) -> Iterator[str]:
    """What governance does not know or cannot carry out, each by contract, part and field."""
    for field in contract.fields:
        where = f"{contract.name}: field {field.name}:"
        yield from _unknown(field.normalise or "school_name", NORMALISE, f"{where} normalise")
        for name in (field.protect.share, field.protect.minor or "keep"):
            yield from _unknown(name, {*TRANSFORMS, "keep", "drop"}, f"{where} protect")
        if field.normalise and field.type != "string":
            yield f"{where} normalise is for type string, this is {field.type}"
    for derivation in contract.derive:
        yield from _derivation_faults(derivation, contract)
    for rule in contract.rules:
        where = f"{contract.name}: rule {rule.id}:"
        yield from _unknown(rule.kind, RULE_KINDS, f"{where} kind")
        if rule.kind in RULE_KINDS:
            yield from (f"{where} {fault}" for fault in _rule_faults(rule, RULE_NEEDS[rule.kind], contract))


def _unknown(word: str, words: Container[str], where: str) -> Iterator[str]:
    if word not in words:
        yield f"{where}: {word!r} is unknown"


def _derivation_faults(derivation: Derivation, contract: Contract) -> Iterator[str]:
    where = f"{contract.name}: derive {derivation.field}: by"
    yield from _unknown(derivation.by, DERIVATIONS, where)
    found = DERIVATIONS.get(derivation.by)
    if found is None:
        return
    most, given = len(found.inputs), len(derivation.inputs)
    if not most - found.optional <= given <= most:
        least = f"{most - found.optional} to " if found.optional else ""
        yield f"{where} {derivation.by} takes {least}{most} inputs in `from`, not {given}"
    pairs = zip((derivation.field, *derivation.inputs), (found.gives, *found.inputs), strict=False)
    for name, types in pairs:
        if contract.field(name).type not in types:
            wanted = " or ".join(sorted(types))
            yield f"{where} {derivation.by}: {name} is {contract.field(name).type}, it must be {wanted}"


def _rule_faults(rule: Rule, needs: Needs, contract: Contract) -> Iterator[str]:
    said = {word for word in WORDS if getattr(rule, word) not in (None, ())}
    for word in needs.words:
        if word not in said:
            yield f"kind {rule.kind} needs {word}"
    if needs.one_of and not said & set(needs.one_of):
        yield f"kind {rule.kind} needs {' or '.join(needs.one_of)}"
    for word in sorted(said - {*needs.words, *needs.one_of, *needs.may}):
        yield f"kind {rule.kind} does not know {word}"
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        yield "min is above max"
    kinds = {rule.field: needs.types, **({rule.with_field: needs.with_types} if rule.with_field else {})}
    for name, types in kinds.items():
        if contract.field(name).type not in types:
            yield f"kind {rule.kind} cannot look at {name} of type {contract.field(name).type}"
    if rule.pattern is not None:
        yield from _pattern_faults(rule.pattern, "pattern")
    yield from _relation_faults(rule, needs, contract)


def _relation_faults(rule: Rule, needs: Needs, contract: Contract) -> Iterator[str]:
    """Kinds that look at a link, a derivation or the dataset itself need one."""
    if needs.link and not any(getattr(link, needs.link) == rule.field for link in contract.links):
        yield f"kind {rule.kind}: no link has {rule.field} as its {needs.link}"
    if rule.kind == "disputed" and not any(d.field == rule.field and d.inputs for d in contract.derive):
        yield f"kind disputed: {rule.field} is derived from nothing"
    if rule.kind == "near_name" and all(one.dataset != contract.name for one in contract.references):
        yield "kind near_name: the contract must reference its own dataset"


def _pattern_faults(pattern: str, where: str) -> Iterator[str]:
    """As the steps will read it: Rust's expressions, not Python's."""
    try:
        pl.Series(["x"]).str.contains(pattern)
    except pl.exceptions.ComputeError:
        yield f"{where}: {pattern!r} is no regular expression of Rust"
