"""/api/auth/people and /api/auth/me."""

from typing import Annotated

from edulake.auth.parts import PartsDep
from edulake.auth.person import repository, service
from edulake.auth.person.schemas import (
    AdmitIn,
    ContactOut,
    NamesIn,
    NamesOut,
    PersonDisabled,
    PersonOut,
    Status,
)
from edulake.auth.role.schemas import RolesIn, RolesOut
from edulake.auth.role.service import set_roles
from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from fastapi import APIRouter, Query, Response

router = APIRouter(prefix="/api/auth", tags=["people"])
internal = APIRouter(prefix="/internal", tags=["people"])
SUBJECT = allow("subject", "read")
Administrator = allow("person", "read")
StatusFilter = Annotated[Status | None, Query(description="pending / active / disabled")]
NameFilter = Annotated[str | None, Query(max_length=100, description="姓名中的文字 / part of the name")]


@router.get("/me", summary="我是谁")
async def me(subject: Annotated[Subject, allow("me", "read")]) -> Subject:
    return subject


@internal.post("/subjects/names", dependencies=[SUBJECT], summary="由编号得到人员与应用的名称（仅内部）")
async def names(asked: NamesIn, session: ReadSession, response: Response) -> NamesOut:
    """For pages that show who did something: rows and events carry ids alone."""
    response.headers["Cache-Control"] = "no-store"
    return NamesOut(names=await service.names_of(session, asked.ids))


@internal.get(
    "/subjects/{subject_id}", dependencies=[SUBJECT], summary="此刻的人员或应用：角色、机构、责任人（仅内部）"
)
async def subject_now(subject_id: str, session: ReadSession, response: Response) -> Subject:
    """With the roles held now; 404 for nobody and for who is not let in."""
    response.headers["Cache-Control"] = "no-store"
    found = await service.standing(session, subject_id)
    if found is None:
        raise service.PersonUnknown("没有在用的人员或应用", "nobody who is let in has this id")
    return found


@router.get(
    "/people",
    dependencies=[Administrator],
    summary="人员列表",
)
async def list_people(
    session: ReadSession,
    resources: Res,
    status: StatusFilter = None,
    name: NameFilter = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[PersonOut]:
    key = resources.keys.ring("page").current.secret
    after = decode_cursor(cursor, key, str)[0] if cursor else None
    found = await repository.list_after(session, status=status, name=name, after=after, limit=limit + 1)
    page = page_of(found, limit, lambda person: [person.id], key)
    return Page(items=await service.describe(session, page.items), next=page.next)


@router.get(
    "/people/contacts",
    dependencies=[allow("person", "choose")],
    summary="可登记为联系人、可分派工单的在岗人员",
)
async def list_contacts(
    session: ReadSession,
    resources: Res,
    organisation: Annotated[str | None, Query(max_length=100)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ContactOut]:
    """Who may be named where data is delivered and mended: no more of a person than that takes."""
    key = resources.keys.ring("page").current.secret
    after = decode_cursor(cursor, key, str)[0] if cursor else None
    found = await repository.list_after(
        session,
        status="active",
        roles=service.CONTACT_ROLES,
        organisation=organisation,
        after=after,
        limit=limit + 1,
    )
    page = page_of(found, limit, lambda person: [person.id], key)
    return Page(items=await service.describe_contacts(session, page.items), next=page.next)


@router.get("/people/{person_id}", dependencies=[Administrator], summary="一个人员")
async def get_person(person_id: str, session: ReadSession) -> PersonOut:
    person = await repository.find(session, person_id)
    if person is None:
        raise service.PersonUnknown("没有这个人员", "no such person")
    return (await service.describe(session, [person]))[0]


@router.post("/people/{person_id}/roles", summary="设定人员角色（安全管理员，不能是自己）")
async def set_person_roles(
    person_id: str, wanted: RolesIn, admin: Annotated[Subject, allow("person", "set_roles")], session: Session
) -> RolesOut:
    if await repository.lock(session, person_id) is None:
        raise service.PersonUnknown("没有这个人员", "no such person")
    held, _ = await set_roles(session, person_id, wanted.roles, by=admin.id, reason=wanted.reason)
    return held


@router.post("/people/{person_id}/admit", summary="准入人员（系统管理员）")
async def admit(
    person_id: str, place: AdmitIn, admin: Annotated[Subject, allow("person", "admit")], session: Session
) -> PersonOut:
    person = await service.admit(session, person_id, place, by=admin)
    return (await service.describe(session, [person]))[0]


@router.post("/people/{person_id}/disable", summary="停用人员：结束其全部会话，并停用其名下应用")
async def disable(
    person_id: str,
    admin: Annotated[Subject, allow("person", "disable")],
    session: Session,
    parts: PartsDep,
) -> PersonDisabled:
    person, clients = await service.disable(session, parts.settings, person_id, by=admin)
    shown = (await service.describe(session, [person]))[0]
    return PersonDisabled(**shown.model_dump(), disabled_clients=clients)
