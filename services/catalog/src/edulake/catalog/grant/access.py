"""Who sees and who ends which grants: the policy's lines of `grant`, said in SQL by `repository._within`.

Each way of a scope is a relation of the line; a way is closed where the line does not name it or the caller's roles
do not suffice. An audit administrator looks and changes nothing.
"""

from dataclasses import dataclass

from edulake.common.identity import Subject
from edulake.common.policy import Care, Facts, care_of, may, row
from edulake.common.policy.relations import ACCOUNTABLE, APPROVER, COLLEAGUE, DECIDED, OWN, OWNER


@dataclass(frozen=True)
class Scope:
    """What a subject may see or end; `None` where that way is closed to them."""

    everything: bool
    #: Grants of this program.
    client_id: str | None
    #: Grants for whose application this person answers.
    accountable: str | None
    #: Grants of applications of these people.
    asked_by_organisation: str | None
    #: Grants on resources in this care.
    care: Care | None
    #: Grants of applications on which this subject decided.
    decider: str | None


def scope_of(caller: Subject, verb: str = "read") -> Scope:
    """The grants a subject may see (`read`), or end (`end`)."""
    line = row("grant", verb)
    open_ = {relation for relation in line if relation.could(caller)}
    is_person = caller.kind == "person"
    return Scope(
        everything=may(caller, "grant", verb, Facts()),
        client_id=caller.id.removeprefix("client:") if OWN in open_ and caller.kind == "client" else None,
        accountable=caller.id if ACCOUNTABLE in open_ and is_person else None,
        asked_by_organisation=caller.organisation if COLLEAGUE in open_ and is_person else None,
        care=care_of(caller) if open_ & {OWNER, APPROVER} else None,
        decider=caller.id if DECIDED in open_ else None,
    )
