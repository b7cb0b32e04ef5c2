"""Who has care of a resource: the owners and approvers of the house that answers for it, and its contact.

The contract says which house and who (`owner` of `standards/datasets/*`), nothing here names one. A program acts
with the care of the person who owns it. One rule behind deciding on applications and seeing and ending grants.
"""

from dataclasses import dataclass

from edulake.catalog.models import Resource
from edulake.common.identity import Subject

DECIDERS = ("owner", "approver")


@dataclass(frozen=True)
class Care:
    """The care of one decider; `resource.repository.cared_for` says the same in SQL."""

    organisation: str | None
    contacts: frozenset[str]

    def has(self, resource: Resource) -> bool:
        of_his_house = self.organisation is not None and resource.organisation == self.organisation
        return of_his_house or resource.contact in self.contacts


def care_of(caller: Subject) -> Care | None:
    """None: he is no decider, and so has care of nothing."""
    if not caller.has(*DECIDERS):
        return None
    return Care(caller.organisation, frozenset({caller.id, caller.answers or caller.id}))
