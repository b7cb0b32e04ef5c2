"""What a contract may name and governance knows; anything else is an error, not a rule that never runs."""

from collections.abc import Container

from edulake.common.mask import TRANSFORMS
from edulake.common.standards import Contract
from edulake.governance.steps.checks import VALUE_CHECKS
from edulake.governance.steps.convert import NORMALISE
from edulake.governance.steps.derivations import DERIVATIONS
from edulake.governance.steps.link import SUGGESTIONS
from edulake.governance.steps.whole import LAST_CHECKS, WHOLE_CHECKS

RULE_KINDS = frozenset({*VALUE_CHECKS, *WHOLE_CHECKS, *LAST_CHECKS, *SUGGESTIONS})


class UnknownWord(LookupError):
    """A contract names a rule kind, derivation, normalisation or transform that governance does not have."""


def refuse_unknown(contract: Contract) -> None:
    """Raise UnknownWord, naming the field or rule, unless governance knows every word of the contract."""
    for rule in contract.rules:
        _known(rule.kind, RULE_KINDS, f"{contract.name}: rule {rule.id}: kind")
    for derivation in contract.derive:
        _known(derivation.by, DERIVATIONS, f"{contract.name}: derive {derivation.field}: by")
    for field in contract.fields:
        where = f"{contract.name}: field {field.name}:"
        _known(field.normalise or "school_name", NORMALISE, f"{where} normalise")
        for name in (field.protect.share, field.protect.minor or "keep"):
            _known(name, {*TRANSFORMS, "keep", "drop"}, f"{where} protect")


def _known(word: str, words: Container[str], where: str) -> None:
    if word not in words:
        raise UnknownWord(f"{where}: {word!r} is unknown")
