"""Who has care of a dataset: those of the organisation that answers for it, and its contact.

The contract says which organisation and who (`owner` of `standards/datasets/*`), nothing here names one. A program
acts with the care of the person who owns it. Care alone is no right: a role comes with it (`relations.py`).
"""

from dataclasses import dataclass

from edulake.common.identity import Subject


@dataclass(frozen=True)
class Care:
    """What one subject has care of."""

    organisation: str | None
    contacts: frozenset[str]

    def has(self, organisation: str, contact: str) -> bool:
        """Whether it is what this organisation and this contact answer for."""
        return organisation == self.organisation or contact in self.contacts


def care_of(subject: Subject) -> Care:
    """The care of a subject: by its organisation, by itself, by the person who answers for it."""
    return Care(subject.organisation, frozenset({subject.id, subject.answers or subject.id}))
