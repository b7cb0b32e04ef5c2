"""The ways a subject can stand to an object, each a pure function of the subject and of the object's facts.

A relation that looks at the object holds only where the facts tell it: what is not told relates to nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edulake.common.identity import Subject
from edulake.common.policy.care import care_of
from edulake.common.standards.contract import Owner


@dataclass(frozen=True)
class Facts:
    """What an object is about at the moment of the call; never from a copy that an event brought."""

    #: Who answers for its datasets, as the contracts say.
    owners: tuple[Owner, ...] = ()
    #: The contact its source has now (`Asking.contact_of`).
    contact: str | None = None
    #: Ids of those whose own it is: who asked for it, the program it is for.
    own: frozenset[str] = frozenset()
    #: The person who answers for the program it is about.
    accountable: str | None = None
    #: Ids of those who decided on it before.
    deciders: frozenset[str] = frozenset()
    #: The organisation whose people asked for it.
    organisation: str | None = None


@dataclass(frozen=True)
class Relation:
    """One way to stand to an object. One of the `roles` is asked for in any case (none: no role is); `holds` looks
    at the object besides."""

    name: str
    zh: str
    en: str
    roles: tuple[str, ...] = ()
    holds: Callable[[Subject, Facts], bool] | None = None

    def could(self, subject: Subject) -> bool:
        """Whether the subject stands so to some object."""
        return not self.roles or subject.has(*self.roles)

    def is_so(self, subject: Subject, facts: Facts) -> bool:
        """Whether the subject stands so to this object."""
        return self.could(subject) and (self.holds is None or self.holds(subject, facts))


def _has_care(subject: Subject, facts: Facts) -> bool:
    care = care_of(subject)
    return any(care.has(owner.organisation, owner.contact) for owner in facts.owners)


ANYONE = Relation("anyone", "任何人，无需登录", "anybody, known or not")
KNOWN = Relation("known", "任何已登录的人或应用", "anybody who is known")
STEWARD = Relation("steward", "数据治理工程师", "a steward", ("steward",))
SYSTEM_ADMIN = Relation("system_admin", "系统管理员", "the system administrator", ("system_admin",))
SECURITY_ADMIN = Relation("security_admin", "安全管理员", "the security administrator", ("security_admin",))
AUDIT_ADMIN = Relation("audit_admin", "审计管理员", "the audit administrator", ("audit_admin",))
SERVICE = Relation("service", "内部服务", "one of our own services", ("service",))
APPLICANT = Relation("applicant", "申请人", "who may apply", ("applicant",))
SOME_OWNER = Relation(
    "some_owner", "数据责任人（不论哪个数据集）", "an owner, of whatever dataset", ("owner",)
)
OWNER = Relation(
    "owner",
    "数据责任人，且其机构负责该数据集，或本人（或应用的所有者）是合同中的联系人",
    "an owner whose organisation answers for the dataset, or who (or whose person) is its contact in the contract",
    ("owner",),
    _has_care,
)
APPROVER = Relation(
    "approver",
    "审批人，条件与数据责任人相同",
    "an approver, on the owner's conditions",
    ("approver",),
    _has_care,
)
CONTACT = Relation(
    "contact",
    "报送联系人，且此刻登记为该来源的联系人",
    "a source contact whom the source names as its contact at this moment",
    ("source_contact",),
    lambda subject, facts: facts.contact == subject.id,
)
OWN = Relation(
    "own",
    "本人：自己提出的，或自己这个应用的",
    "the one whose own it is: who asked for it, or the program itself",
    (),
    lambda subject, facts: subject.id in facts.own,
)
ACCOUNTABLE = Relation(
    "accountable",
    "对该应用负责的人",
    "the person who answers for the program",
    (),
    lambda subject, facts: subject.kind == "person" and subject.id == facts.accountable,
)
COLLEAGUE = Relation(
    "colleague",
    "申请人同机构的人员",
    "a person of the organisation whose people asked for it",
    (),
    lambda subject, facts: (
        subject.kind == "person"
        and subject.organisation is not None
        and subject.organisation == facts.organisation
    ),
)
DECIDED = Relation(
    "decided",
    "审批过它、且仍担任审批角色的人",
    "who decided on it, and still holds a role that decides",
    ("owner", "approver", "security_admin"),
    lambda subject, facts: subject.id in facts.deciders,
)
RELATIONS = (
    ANYONE,
    KNOWN,
    OWN,
    ACCOUNTABLE,
    COLLEAGUE,
    DECIDED,
    APPLICANT,
    CONTACT,
    OWNER,
    APPROVER,
    SOME_OWNER,
    STEWARD,
    SYSTEM_ADMIN,
    SECURITY_ADMIN,
    AUDIT_ADMIN,
    SERVICE,
)
