"""Deciding by the table: coarse at the route, whole with the facts of the object."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from edulake.common.errors import Forbidden, Problem
from edulake.common.identity import ROLES, Subject, known_subject, public, stating
from edulake.common.policy.asking import AskedOnce, Asking
from edulake.common.policy.care import care_of
from edulake.common.policy.relations import ANYONE, APPROVER, CONTACT, OWNER, Facts
from edulake.common.policy.table import TABLE, Relations, row
from edulake.common.standards.contract import Contract
from fastapi import Depends, Request
from sqlalchemy import ColumnElement, false, or_, true


def could(subject: Subject, kind: str, verb: str) -> bool:
    """Whether the subject may do this to some object: what a route asks before there is one."""
    return any(relation.could(subject) for relation in row(kind, verb))


def may(subject: Subject, kind: str, verb: str, facts: Facts) -> bool:
    """Whether the subject may do this to an object with these facts."""
    return any(relation.is_so(subject, facts) for relation in row(kind, verb))


def allow(kind: str, verb: str) -> Any:
    """A route's dependency: its line of the table. Gives the subject, or None where anybody may.

    403 where no object could be meant; which object is meant the service asks (`Deciding.check`).
    """
    if ANYONE in row(kind, verb):
        return public(f"{kind}:{verb}")

    def check(subject: Annotated[Subject, Depends(known_subject)]) -> Subject:
        if not could(subject, kind, verb):
            raise _role_needed(kind, verb)
        return subject

    return stating(f"{kind}:{verb}", check)


def _role_needed(kind: str, verb: str) -> Forbidden:
    """In words which roles suffice, of objects in care or one's own; whoever is asked here holds none of them."""
    named = {role for relation in row(kind, verb) for role in relation.roles}
    roles = [role for role in ROLES if role in named]
    titles = "、".join(ROLES[role] for role in roles)
    return Forbidden(f"需要角色：{titles}", f"needs one of the roles {', '.join(roles)}")


def refusal(kind: str, verb: str) -> Forbidden:
    """In words who may do this."""
    relations = sorted(row(kind, verb), key=lambda relation: relation.name)
    return Forbidden(
        "可以这样做的有：" + "；".join(relation.zh for relation in relations),
        "this is for: " + "; ".join(relation.en for relation in relations),
    )


@dataclass(frozen=True)
class Scope:
    """What a subject may see of a list: everything, or what belongs to these datasets or these sources."""

    everything: bool = False
    datasets: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()

    def holds(self, dataset: str, source: str | None = None) -> bool:
        """Whether one thing of this dataset and source is among it."""
        return self.everything or dataset in self.datasets or source in self.sources

    def within(self, dataset: Any, source: Any = None) -> ColumnElement[bool]:
        """The same over the columns of a table; `source` None: a table that knows no sources."""
        if self.everything:
            return true()
        ways = [dataset.in_(self.datasets)] if self.datasets else []
        if source is not None and self.sources:
            ways.append(source.in_(self.sources))
        return or_(false(), *ways)


class Deciding:
    """Decides for one request on objects of one service: by the contracts, and by what ingest says of a source now."""

    def __init__(self, contracts: Mapping[str, Contract], asking: Asking) -> None:
        self.contracts = contracts
        self.asking = AskedOnce(asking)

    def facts(self, *datasets: str, **more: Any) -> Facts:
        """The facts of an object of these datasets; one without a contract is in nobody's care."""
        owners = tuple(self.contracts[name].owner for name in datasets if name in self.contracts)
        return Facts(owners=owners, **more)

    async def may(
        self, subject: Subject, kind: str, verb: str, facts: Facts, *, source: str | None = None
    ) -> bool:
        """As the function of this name; ingest is asked who is the contact of `source` only if that decides.

        Raises Unavailable when ingest does not answer then.
        """
        if may(subject, kind, verb, facts):
            return True
        if source is None or CONTACT not in row(kind, verb) or not CONTACT.could(subject):
            return False
        return may(subject, kind, verb, await self.with_contact(facts, source))

    async def with_contact(self, facts: Facts, source: str) -> Facts:
        """The facts with who the source's contact is now. Raises Unavailable."""
        return replace(facts, contact=(await self.asking.contacts_of([source])).get(source))

    async def check(
        self,
        subject: Subject,
        kind: str,
        verb: str,
        facts: Facts,
        *,
        absent: Problem,
        source: str | None = None,
        refused: Problem | None = None,
    ) -> None:
        """Raises `absent` for an object the subject may not even read, `refused` (Forbidden) for what it may read."""
        if await self.may(subject, kind, verb, facts, source=source):
            return
        is_seen = "read" in TABLE[kind].verbs and verb != "read"
        if is_seen and await self.may(subject, kind, "read", facts, source=source):
            raise refused or refusal(kind, verb)
        raise absent

    async def scope(self, subject: Subject, kind: str, verb: str = "read") -> Scope:
        """What of a list the subject may see. Raises Unavailable when ingest is needed and does not answer."""
        relations = row(kind, verb)
        if any(relation.holds is None and relation.could(subject) for relation in relations):
            return Scope(everything=True)
        is_contact = CONTACT in relations and CONTACT.could(subject)
        sources = await self.asking.sources_of(subject.id) if is_contact else frozenset()
        return Scope(datasets=self.in_care(subject, relations), sources=sources)

    def in_care(self, subject: Subject, relations: Relations) -> frozenset[str]:
        """The datasets whose owner or approver the subject is, where the line is for those."""
        if not any(relation.could(subject) for relation in relations & {OWNER, APPROVER}):
            return frozenset()
        care = care_of(subject)
        owners = {name: contract.owner for name, contract in self.contracts.items()}
        return frozenset(name for name, of in owners.items() if care.has(of.organisation, of.contact))


def _deciding(request: Request) -> Deciding:
    resources = request.app.state.resources
    return Deciding(resources.standards.datasets, resources.extra["asking"])


#: In the signature of a route that decides on objects; `resources.extra["asking"]` is made when the service starts.
Decides = Annotated[Deciding, Depends(_deciding)]
