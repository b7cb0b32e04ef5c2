"""Making and ending grants; each change is announced in the transaction that makes it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, cast
from uuid import UUID, uuid4

from edulake.catalog.grant import repository
from edulake.catalog.grant.access import scope_of
from edulake.catalog.grant.terms import Quota, Terms
from edulake.catalog.models import Application, GrantRow
from edulake.catalog.settings import CatalogSettings
from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.errors import Conflict, Forbidden, NotFound
from edulake.common.events import AccessGrantChanged
from edulake.common.identity import Subject
from edulake.common.service import Resources
from edulake.common.standards import PERSONAL_LEVEL, ApiDefinition, Standards
from edulake.common.standards.tables import MaskLevel
from sqlalchemy.ext.asyncio import AsyncSession

EXPIRE_BATCH_ROWS = 200
Change = Literal["granted", "revoked", "expired", "amended"]


async def issue(
    session: AsyncSession, application: Application, api: ApiDefinition, resources: Resources, terms: Terms
) -> GrantRow:
    """Make the grant of an approved application; it replaces the client's earlier one for the same API."""
    twins = await repository.active_twin(session, application.client_id, api.name)
    allowed = _allowed(terms.quota, application.level, resources)
    moment = now()
    row = GrantRow(
        grant_id=uuid4(),
        application_id=application.id,
        client_id=application.client_id,
        resource_id=application.resource_id,
        api=api.name,
        dataset=api.dataset,
        purpose=application.purpose,
        columns=application.columns or list(api.columns),
        districts=application.districts,
        mask_level=terms.mask_level or usual_mask(api, application.columns, resources.standards),
        valid_from=moment,
        valid_until=moment + timedelta(days=application.days),
        ip_allow=application.ip_ranges if terms.ip_allow is None else terms.ip_allow,
        rate_per_s=allowed.rate_per_s,
        day_quota=allowed.day_quota,
        level=application.level,
        status="active",
        changed_at=moment,
    )
    await repository.add(session, row)
    await _announce(session, row, "granted")
    for twin in twins:  # after the new one is announced, so that no gateway is without either
        await end(session, twin, "revoked", "catalog", "由新的授权替代")
    return row


def usual_mask(api: ApiDefinition, asked: Sequence[str], standards: Standards) -> MaskLevel:
    """The masks that hold when nobody says others: the grading scheme's where minors are shown, else standard."""
    contract = standards.datasets[api.dataset]
    shown = [contract.field(name) for name in asked or api.columns if name in api.columns]
    return standards.grading.minor_mask if any(f.identifies == "minor" for f in shown) else "standard"


def ceiling(level: int, resources: Resources) -> Quota:
    """The most an approver may allow; personal data is never opened wider than its default."""
    settings = cast(CatalogSettings, resources.settings)
    if level >= PERSONAL_LEVEL:
        return Quota(settings.personal_rate_per_s, settings.personal_day_quota)
    return Quota(settings.rate_max_per_s, settings.day_quota_max)


def _allowed(quota: Quota, level: int, resources: Resources) -> Quota:
    """The quota with the defaults of the level where nothing was said."""
    settings = cast(CatalogSettings, resources.settings)
    usual = Quota(settings.grant_rate_per_s, settings.grant_day_quota)
    if level >= PERSONAL_LEVEL:
        usual = ceiling(level, resources)
    return Quota(quota.rate_per_s or usual.rate_per_s, quota.day_quota or usual.day_quota)


class NotYours(Forbidden):
    code, title_zh, title_en = "not-your-grant", "不能结束这项授权", "This grant is not yours to end"


async def get(session: AsyncSession, grant_id: UUID, subject: Subject) -> repository.Held:
    """The grant; NotFound when it is unknown or not theirs to see."""
    held = await repository.find(session, grant_id, scope_of(subject), scope_of(subject, "end"))
    if held is None:
        raise NotFound("没有这项授权，或无权查看", "no such grant, or not yours", where="path.grant_id")
    return held


async def revoke(session: AsyncSession, grant_id: UUID, reason: str, subject: Subject) -> GrantRow:
    """End a grant now. NotFound when unknown or not theirs to see, Forbidden when not theirs to end, Conflict when
    it has ended already."""
    row = await repository.lock(session, grant_id)
    ends = scope_of(subject, "end")
    await get(session, grant_id, subject)
    if await repository.find(session, grant_id, ends, ends) is None:
        raise NotYours(
            "只有该资源的责任人、安全管理员与申请人本人可以结束授权",
            "the resource's owner, the security administrator and the requester may end a grant",
        )
    if row is None or row.status != "active":
        raise Conflict("授权已经结束", "the grant has ended already")
    await end(session, row, "revoked", subject.id, reason)
    return row


async def expire_ended(session: AsyncSession) -> int:
    """End the grants whose time is over; how many there were."""
    rows = await repository.ended(session, now(), EXPIRE_BATCH_ROWS)
    for row in rows:
        await end(session, row, "expired", "catalog", "有效期已满")
    return len(rows)


async def end(
    session: AsyncSession, row: GrantRow, status: Literal["revoked", "expired"], by: str, reason: str
) -> None:
    """End a grant and say so; `reason` is read by its holder."""
    row.status, row.ended_by, row.ended_reason, row.changed_at = status, by, reason, now()
    await session.flush()
    await _announce(session, row, status)


async def _announce(session: AsyncSession, row: GrantRow, change: Change) -> None:
    fields = AccessGrantChanged.model_fields.keys() - {"change"}
    facts = {name: getattr(row, name) for name in fields}
    facts |= {"grant_id": str(row.grant_id), "application_id": str(row.application_id)}
    await announce(session, AccessGrantChanged(**facts, change=change))
