"""What somebody who decides must see at once: columns and masks as the applicant will see them, who else has
the resource, and whether it is about minors. Facts of the contract of today, not of the day of the request."""

from datetime import datetime

from edulake.catalog.application.schemas import ApplicationOut
from edulake.catalog.grant import repository as grants
from edulake.catalog.grant.service import usual_mask
from edulake.catalog.models import Resource
from edulake.catalog.resource.service import api_of, contract_of
from edulake.common.errors import Problem
from edulake.common.standards import FieldContract, Standards
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

#: Other holders shown; above that the number says enough.
MAX_HOLDERS = 20


class PackColumn(BaseModel):
    """A column as the applicant will see it. `share`: the transform; `minor`: the stricter one under 14."""

    name: str
    title: str
    level: int
    category: str
    share: str
    minor: str | None
    #: none, organisation, person or minor
    identifies: str


class Holder(BaseModel):
    """Somebody who has the resource already."""

    client_id: str
    requested_by_name: str
    organisation: str | None
    purpose: str
    valid_until: datetime


class Pack(BaseModel):
    """The decision pack of one application."""

    application: ApplicationOut
    resource_title: str
    dataset: str
    level_title: str
    share_type: str
    share_condition: str
    row_count: int
    columns: list[PackColumn]
    #: Columns of the API that were not asked for.
    left_out: list[str]
    concerns_minors: bool
    #: From the personal level on the quota can only be lowered.
    is_personal: bool
    #: The masks that hold when the approver says no others.
    usual_mask: str
    holders: list[Holder]
    more_holders: bool
    #: Why the caller may not take the present step, in Chinese; empty: he may.
    hindrance: str


async def pack_of(
    session: AsyncSession,
    application: ApplicationOut,
    resource: Resource,
    hindrance: Problem | None,
    standards: Standards,
) -> Pack:
    """The pack, with what hinders the caller from taking the present step."""
    contract, api = contract_of(resource, standards), api_of(resource, standards)
    asked = application.columns or list(api.columns)
    columns = [_column(contract.field(name)) for name in api.columns if name in asked]
    held = await grants.on_resource(session, resource.id, MAX_HOLDERS + 1)
    return Pack(
        application=application,
        resource_title=resource.title,
        dataset=resource.dataset,
        level_title=standards.grading.level(application.level).title,
        share_type=resource.share_type,
        share_condition=resource.share_condition,
        row_count=resource.row_count,
        columns=columns,
        left_out=[name for name in api.columns if name not in asked],
        concerns_minors=any(column.identifies == "minor" for column in columns),
        is_personal=api.is_personal,
        usual_mask=usual_mask(api, asked, standards),
        holders=[_holder(one) for one in held[:MAX_HOLDERS] if one.grant.client_id != application.client_id],
        more_holders=len(held) > MAX_HOLDERS,
        hindrance=f"{hindrance.detail_zh}。" if hindrance else "",
    )


def _column(field: FieldContract) -> PackColumn:
    return PackColumn(
        name=field.name,
        title=field.title,
        level=field.level,
        category=field.category,
        share=field.protect.share,
        minor=field.protect.minor,
        identifies=field.identifies,
    )


def _holder(held: grants.Held) -> Holder:
    return Holder(
        client_id=held.grant.client_id,
        requested_by_name=held.requested_by_name,
        organisation=held.organisation,
        purpose=held.grant.purpose,
        valid_until=held.grant.valid_until,
    )
