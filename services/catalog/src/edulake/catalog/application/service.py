"""Applying and deciding. Who asks never decides; nobody decides two steps of one application."""

from typing import NamedTuple
from uuid import UUID, uuid4

from edulake.catalog.application import repository
from edulake.catalog.application.access import answering, facts_of, hindrance, over
from edulake.catalog.application.checks import check, require_own_client
from edulake.catalog.application.pack import Pack, pack_of
from edulake.catalog.application.schemas import ApplicationIn, ApplicationOut, DecisionIn, DecisionOut
from edulake.catalog.grant.service import ceiling, issue
from edulake.catalog.grant.terms import Quota, Terms, networks_of
from edulake.catalog.models import Application, Decision, Resource
from edulake.catalog.resource.service import api_of, approvals_for
from edulake.catalog.resource.service import get as get_resource
from edulake.common.clock import now
from edulake.common.errors import Conflict, Forbidden, NotFound, Unprocessable
from edulake.common.identity import Subject
from edulake.common.policy import may, refusal
from edulake.common.service import Resources
from edulake.common.standards import Standards
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession


class Seen(NamedTuple):
    """An application that the caller may see, with what is judged by."""

    row: Application
    resource: Resource
    decided: list[Decision]


async def apply(
    session: AsyncSession, wanted: ApplicationIn, subject: Subject, resources: Resources
) -> ApplicationOut:
    """Enter a request; raises a problem that names the field when it cannot be granted as asked."""
    resource = await get_resource(session, wanted.resource_id)
    check(wanted, resource, resources)
    await require_own_client(wanted.client_id, subject, resources)
    row = Application(
        id=uuid4(),
        accountable=answering(subject),
        requested_by=subject.id,
        requested_by_name=subject.name,
        organisation=subject.organisation,
        level=resource.level,
        steps=approvals_for(resource.level, resources.standards),
        status="pending",
        created_at=now(),
        ip_ranges=networks_of(wanted.ip_ranges, "body.ip_ranges"),
        **wanted.model_dump(exclude={"promises", "ip_ranges"}),
    )
    try:
        await repository.add(session, row)
    except IntegrityError as error:
        raise Conflict(
            "这个应用对该资源已有一份申请在审批中",
            "this client has a pending application for this resource already",
            mend_zh="等待审批结果，或先撤回原申请",
            mend_en="wait for the decision or withdraw it first",
        ) from error
    return (await describe(session, [row]))[0]


async def decide(
    session: AsyncSession, application_id: UUID, wanted: DecisionIn, subject: Subject, resources: Resources
) -> ApplicationOut:
    """Take the present step. The last approval makes the grant in the same transaction."""
    row, resource, decided = await _seen(session, application_id, subject, lock=True)
    hindered = hindrance(subject, row, resource, decided)
    if hindered is not None:
        raise hindered
    api = api_of(resource, resources.standards)
    step = str(row.steps[len(decided)])
    if wanted.decision == "refuse" and len(wanted.reason) < 4:
        raise Unprocessable("拒绝须说明理由", "a refusal needs a reason", where="body.reason")
    terms = _terms(wanted, ceiling(row.level, resources), makes_grant=_grants(wanted, step, row))
    decision = Decision(
        application_id=row.id,
        step=step,
        decision=wanted.decision,
        reason=wanted.reason,
        decided_by=subject.id,
        decided_by_name=subject.name,
        accountable=answering(subject),
        decided_at=now(),
    )
    await repository.add(session, decision)
    if wanted.decision == "refuse":
        row.status, row.decided_at = "refused", now()
    elif step == row.steps[-1]:
        row.status, row.decided_at = "approved", now()
        await session.flush()
        await issue(session, row, api, resources, terms)
    await session.flush()
    return (await describe(session, [row]))[0]


def _grants(wanted: DecisionIn, step: str, row: Application) -> bool:
    return wanted.decision == "approve" and step == row.steps[-1]


def _terms(wanted: DecisionIn, most: Quota, *, makes_grant: bool) -> Terms:
    """What the approver allows, within the ceiling; only the decision that makes the grant says it."""
    for name in ("rate_per_s", "day_quota", "mask_level", "ip_allow"):
        if getattr(wanted, name) is not None and not makes_grant:
            raise Unprocessable(
                "额度、脱敏程度与来源由最后一个审批环节给出",
                "quota, masks and networks are stated with the last approval",
                where=f"body.{name}",
            )
    quota = Quota(wanted.rate_per_s, wanted.day_quota)
    for name, value, limit in zip(Quota._fields, quota, most, strict=True):
        if value is not None and limit is not None and value > limit:
            raise Unprocessable(f"最多 {limit}", f"at most {limit}", where=f"body.{name}")
    allowed = None if wanted.ip_allow is None else networks_of(wanted.ip_allow, "body.ip_allow")
    return Terms(quota, wanted.mask_level, allowed)


async def withdraw(session: AsyncSession, application_id: UUID, subject: Subject) -> ApplicationOut:
    """The requester takes a pending application back; NotFound, or Forbidden for others who may see it."""
    row, resource, decided = await _seen(session, application_id, subject, lock=True)
    if not may(subject, "application", "withdraw", facts_of(row, resource, decided)):
        raise refusal("application", "withdraw")
    ended = over(row)
    if ended is not None:
        raise ended
    row.status, row.decided_at = "withdrawn", now()
    await session.flush()
    return (await describe(session, [row]))[0]


async def get(session: AsyncSession, application_id: UUID, subject: Subject) -> ApplicationOut:
    seen = await _seen(session, application_id, subject)
    return (await describe(session, [seen.row]))[0]


async def pack(session: AsyncSession, application_id: UUID, subject: Subject, standards: Standards) -> Pack:
    """What the decision is made on; Forbidden for who sees the application and decides on no such resource."""
    row, resource, decided = await _seen(session, application_id, subject)
    if not may(subject, "application", "weigh", facts_of(row, resource, decided)):
        raise Forbidden(
            f"审批信息只向{resource.organisation}、该资源的联系人与安全管理员提供",
            "the pack is for the house and the contact of the resource and the security administrator",
        )
    shown = (await describe(session, [row]))[0]
    return await pack_of(session, shown, resource, hindrance(subject, row, resource, decided), standards)


async def _seen(session: AsyncSession, application_id: UUID, subject: Subject, *, lock: bool = False) -> Seen:
    row = await (repository.lock if lock else repository.find)(session, application_id)
    if row is None:
        raise _unknown()
    resource = await get_resource(session, row.resource_id)
    decided = (await repository.decisions_of(session, [row.id])).get(row.id, [])
    if not may(subject, "application", "read", facts_of(row, resource, decided)):
        raise _unknown()
    return Seen(row, resource, decided)


async def describe(session: AsyncSession, rows: list[Application]) -> list[ApplicationOut]:
    ids = [row.id for row in rows]
    decisions = await repository.decisions_of(session, ids)
    grants = await repository.grants_of(session, ids)
    titles = await repository.titles_of(session, [row.resource_id for row in rows])
    found = []
    for row in rows:
        out = ApplicationOut.model_validate(row)
        out.decisions = [DecisionOut.model_validate(one) for one in decisions.get(row.id, [])]
        out.waiting_for = row.steps[len(out.decisions)] if row.status == "pending" else None
        out.grant_id = grants.get(row.id)
        out.resource_title = titles[row.resource_id]
        found.append(out)
    return found


def _unknown() -> NotFound:
    return NotFound("没有这份申请，或无权查看", "no such application, or not yours")
