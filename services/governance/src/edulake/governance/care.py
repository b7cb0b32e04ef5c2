"""Who decides about a dataset: stewards, and the owners that its contract names."""

from edulake.common.errors import Forbidden
from edulake.common.identity import Subject
from edulake.common.standards import Contract


def has_care(subject: Subject, contract: Contract) -> bool:
    """Stewards have care of every dataset, owners of those of their organisation or that name them."""
    names = (subject.id, subject.answers)
    return subject.has("steward") or (
        subject.has("owner") and contract.owner.includes(names, subject.organisation)
    )


def refuse_strangers(subject: Subject, contract: Contract) -> None:
    """Forbidden unless the subject has care of the dataset."""
    if not has_care(subject, contract):
        raise Forbidden(
            f"{contract.title}的数据责任人是{contract.owner.organisation}",
            f"an owner of {contract.name} or a steward decides about it",
        )
