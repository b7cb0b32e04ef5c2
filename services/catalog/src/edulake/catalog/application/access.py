"""Who sees and who decides which applications; told before the button is pressed, and enforced after.

* Who sees one and who takes which step says the policy (`application` and its steps in `common/policy/table.py`).
* Who answers for the request takes none of its steps, and nobody answers for two of them. A person and the
  programs they own are one here: `accountable` of row and decision. Where it is not known nobody decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edulake.catalog.models import Application, Decision, Resource
from edulake.common.errors import Conflict, Forbidden, Problem
from edulake.common.identity import ROLES, Subject
from edulake.common.policy import Care, Facts, care_of, could, may, row
from edulake.common.standards.contract import Owner

#: The steps of the grading scheme, each a line of the policy.
STEPS = {"owner": "application.owner_step", "security_admin": "application.security_admin_step"}
STATES = {
    "pending": "在审批中",
    "approved": "已批准",
    "refused": "已拒绝",
    "withdrawn": "已撤回",
    "ended": "已终止",
}


class OwnApplication(Forbidden):
    code, title_zh, title_en = "own-application", "不能审批自己的申请", "Nobody decides on his own request"


class SecondStep(Forbidden):
    code, title_zh, title_en = "second-step", "同一人不能审批两个环节", "Nobody takes two steps"


class AccountableUnknown(Forbidden):
    code, title_zh, title_en = "accountable-unknown", "责任人不明", "It is not known who answers for this"


@dataclass(frozen=True)
class Turn:
    """What waits for a caller, for `repository.list_waiting`: their steps, those with care only within it."""

    answers: str | None
    steps: tuple[str, ...]
    steps_of_care: tuple[str, ...]
    care: Care


def turn_of(caller: Subject) -> Turn:
    mine = [step for step, line in STEPS.items() if could(caller, line, "decide")]
    anywhere = tuple(step for step in mine if may(caller, STEPS[step], "decide", Facts()))
    with_care = tuple(step for step in mine if step not in anywhere)
    return Turn(answers=caller.answers, steps=anywhere, steps_of_care=with_care, care=care_of(caller))


def facts_of(row: Application, resource: Resource, decided: Sequence[Decision]) -> Facts:
    """What is judged by: whose application it is, who answers for the resource, who took part."""
    return Facts(
        owners=(Owner(organisation=resource.organisation, contact=resource.contact),),
        own=frozenset({row.requested_by, f"client:{row.client_id}"}),
        accountable=row.accountable,
        deciders=frozenset(made.decided_by for made in decided),
    )


def hindrance(
    caller: Subject, row: Application, resource: Resource, decided: Sequence[Decision]
) -> Problem | None:
    """Why the caller may not take the present step; None: he may."""
    return over(row) or _same_hand(caller, row, decided) or _not_theirs(caller, row, resource, decided)


def over(row: Application) -> Conflict | None:
    """An application with a result takes no more steps."""
    if row.status == "pending":
        return None
    return Conflict(f"申请已有结果：{STATES[row.status]}", f"the application is {row.status} already")


def _same_hand(caller: Subject, row: Application, decided: Sequence[Decision]) -> Problem | None:
    if caller.answers is None:
        return _nobody_answers()
    if row.accountable is None:
        return AccountableUnknown(
            "无法确认由谁对这份申请负责",
            "it is not known who answers for this application",
            mend_zh="请申请人撤回后重新提出",
            mend_en="the requester withdraws it and applies again",
        )
    if caller.answers == row.accountable:
        return OwnApplication(
            "这是您自己或您名下应用的申请：申请人与审批人必须不同",
            "your own request or that of a client of yours: requester and approver must differ",
        )
    if any(made.accountable == caller.answers for made in decided):
        return SecondStep(
            "您或您名下的应用已审批过前一环节：同一人不能审批两个环节",
            "you or a client of yours took a step before: one person cannot take two",
        )
    return None


def answering(subject: Subject) -> str:
    """Who answers for what the subject does; raises AccountableUnknown, so that no new row stands without."""
    if subject.answers is None:
        raise _nobody_answers()
    return subject.answers


def _nobody_answers() -> AccountableUnknown:
    return AccountableUnknown(
        "无法确认由谁对您的应用负责",
        "it is not known who answers for your client",
        mend_zh="重新申请访问令牌",
        mend_en="get a new access token",
    )


def _not_theirs(
    caller: Subject, application: Application, resource: Resource, decided: Sequence[Decision]
) -> Problem | None:
    line = STEPS[application.steps[len(decided)]]
    if may(caller, line, "decide", facts_of(application, resource, decided)):
        return None
    if not could(caller, line, "decide"):
        named = {role for relation in row(line, "decide") for role in relation.roles}
        roles = [role for role in ROLES if role in named]
        titles = "或".join(ROLES[role] for role in roles)
        return Forbidden(f"当前环节由{titles}审批", f"this step is decided by {' or '.join(roles)}")
    return Forbidden(
        f"当前环节由{resource.organisation}或该资源的联系人审批",
        f"this step is decided by {resource.organisation} or the contact of the resource",
    )
