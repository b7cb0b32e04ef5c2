"""Who sees and who ends which grants: one rule in words, one in SQL, tested as one matrix.

* security and audit administrators and the services see all;
* an owner or approver sees those on resources in his care (`care.py`), and those he decided on;
* everybody sees those he asked for and those his organisation's people asked for; a client sees its own.

Ending one: the security administrator any, an owner or approver what he sees in that role, and the person
who asked for it gives his own back. An audit administrator looks and changes nothing.
"""

from dataclasses import dataclass

from edulake.catalog.care import Care, care_of
from edulake.common.identity import Subject

OVERSEERS = ("security_admin", "audit_admin", "service")


@dataclass(frozen=True)
class Scope:
    """What a subject may see; `None` where that way is closed to him."""

    everything: bool
    requester: str
    client_id: str | None
    #: Grants of applications of these people.
    asked_by_organisation: str | None
    #: Grants on resources in this decider's care, and of applications he decided on.
    care: Care | None
    decider: str | None


def scope_of(caller: Subject) -> Scope:
    care = care_of(caller)
    is_person = caller.kind == "person"
    return Scope(
        everything=caller.has(*OVERSEERS),
        requester=caller.id,
        client_id=None if is_person else caller.id.removeprefix("client:"),
        asked_by_organisation=caller.organisation if is_person else None,
        care=care,
        decider=caller.id if care else None,
    )


def ending_scope_of(caller: Subject) -> Scope | None:
    """The grants a subject may end; None when there can be none."""
    care = care_of(caller)
    if not (care or caller.has("security_admin") or caller.kind == "person"):
        return None
    return Scope(
        everything=caller.has("security_admin"),
        requester=caller.id if caller.kind == "person" else "",
        client_id=None,
        asked_by_organisation=None,
        care=care,
        decider=caller.id if care else None,
    )
