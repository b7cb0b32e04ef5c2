"""/api/auth/clients and /api/auth/apps."""

from typing import Annotated
from uuid import UUID

from edulake.auth.client import office, repository, service
from edulake.auth.client.schemas import (
    AppIn,
    ClientCreated,
    ClientIn,
    ClientOut,
    ClientRolesOut,
    KeysIn,
    SecretCreated,
)
from edulake.auth.client.service import ClientUnknown
from edulake.auth.models import Client
from edulake.auth.parts import PartsDep
from edulake.auth.role.schemas import RolesIn
from edulake.common.db import ReadSession, Session
from edulake.common.errors import Forbidden
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import Facts, allow, may, refusal
from edulake.common.service import Res
from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

router = APIRouter(prefix="/api/auth", tags=["clients"])
Reader = Annotated[Subject, allow("client", "read")]
Manager = Annotated[Subject, allow("client", "manage")]
OwnerFilter = Annotated[str | None, Query(max_length=210, description="管理员：只看此人的应用 / person:…")]


@router.post("/clients", status_code=201, summary="登记应用（密钥只显示一次）")
async def create_client(
    wanted: ClientIn,
    admin: Annotated[Subject, allow("client", "register")],
    session: Session,
    resources: Res,
    response: Response,
) -> ClientCreated:
    response.headers["Cache-Control"] = "no-store"
    return await service.register(session, resources.keys.ring("token"), wanted, by=admin.id)


@router.get("/clients", summary="应用列表：管理员看全部，其他人看自己的")
async def list_clients(
    caller: Reader,
    session: ReadSession,
    resources: Res,
    owner: OwnerFilter = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ClientOut]:
    of = owner if may(caller, "client", "read", Facts()) else caller.id
    return await _page(session, resources, of, cursor, limit)


@router.get("/clients/{client_id}", summary="一个应用")
async def get_client(client_id: str, caller: Reader, session: ReadSession) -> ClientOut:
    client = await repository.find(session, client_id)
    if client is None or not may(caller, "client", "read", service.facts_of(client)):
        raise ClientUnknown("没有这个应用，或无权查看", "no such client, or not yours")
    return (await service.describe(session, [client]))[0]


@router.post(
    "/clients/{client_id}/roles", summary="设定应用的角色（安全管理员）；授予管理员角色时原有凭据作废"
)
async def set_client_roles(
    client_id: str,
    wanted: RolesIn,
    admin: Annotated[Subject, allow("client", "set_roles")],
    session: Session,
    parts: PartsDep,
) -> ClientRolesOut:
    client = await _locked(session, client_id)
    return await office.set_client_roles(session, parts.settings, client, wanted, by=admin.id)


@router.post("/clients/{client_id}/secrets", status_code=201, summary="轮换密钥（旧密钥在重叠期内仍可用）")
async def rotate_secret(
    client_id: str, caller: Manager, session: Session, resources: Res, parts: PartsDep, response: Response
) -> SecretCreated:
    client = await _managed(session, caller, client_id)
    response.headers["Cache-Control"] = "no-store"
    return await service.rotate_secret(
        session,
        resources.keys.ring("token"),
        client,
        by=caller.id,
        overlap_s=parts.settings.secret_overlap_s,
    )


@router.delete("/clients/{client_id}/secrets/{secret_id}", status_code=204, summary="立即停用一个密钥")
async def retire_secret(client_id: str, secret_id: UUID, caller: Manager, session: Session) -> None:
    client = await _managed(session, caller, client_id)
    await service.retire_secret(session, client, secret_id, by=caller.id)


@router.put("/clients/{client_id}/keys", summary="登记公钥（private_key_jwt）")
async def set_keys(client_id: str, wanted: KeysIn, caller: Manager, session: Session) -> ClientOut:
    client = await _managed(session, caller, client_id)
    await service.set_keys(session, client, wanted.keys, by=caller.id)
    return (await service.describe(session, [client]))[0]


@router.post("/clients/{client_id}/disable", summary="停用应用，已发令牌立即作废")
async def disable(
    client_id: str,
    admin: Annotated[Subject, allow("client", "disable")],
    session: Session,
    parts: PartsDep,
) -> ClientOut:
    return await _set_status(session, parts, client_id, "disabled", admin)


@router.post("/clients/{client_id}/enable", summary="重新启用应用")
async def enable(
    client_id: str, admin: Annotated[Subject, allow("client", "enable")], session: Session, parts: PartsDep
) -> ClientOut:
    return await _set_status(session, parts, client_id, "active", admin)


@router.get("/apps", summary="我的应用")
async def list_apps(
    caller: Reader, session: ReadSession, resources: Res, cursor: Cursor = None, limit: Limit = 50
) -> Page[ClientOut]:
    return await _page(session, resources, caller.id, cursor, limit)


@router.post("/apps", status_code=201, summary="登记我的应用（密钥只显示一次）")
async def create_app(
    wanted: AppIn,
    caller: Annotated[Subject, allow("client", "register_own")],
    session: Session,
    resources: Res,
    parts: PartsDep,
    response: Response,
) -> ClientCreated:
    if caller.kind != "person":
        raise Forbidden("应用须由个人登记", "only a person registers an application")
    response.headers["Cache-Control"] = "no-store"
    return await service.register_app(session, resources.keys.ring("token"), parts.settings, wanted, caller)


async def _managed(session: AsyncSession, caller: Subject, client_id: str) -> Client:
    client = await repository.lock(session, client_id)
    if client is None or not may(caller, "client", "read", service.facts_of(client)):
        raise ClientUnknown("没有这个应用，或无权查看", "no such client, or not yours")
    if not may(caller, "client", "manage", service.facts_of(client)):
        raise refusal("client", "manage")
    await office.refuse_office(session, client)
    return client


async def _locked(session: AsyncSession, client_id: str) -> Client:
    client = await repository.lock(session, client_id)
    if client is None:
        raise ClientUnknown("没有这个应用", "no such client")
    return client


async def _set_status(
    session: AsyncSession, parts: PartsDep, client_id: str, status: str, admin: Subject
) -> ClientOut:
    client = await _locked(session, client_id)
    await service.set_status(session, parts.settings, client, status, by=admin.id)
    return (await service.describe(session, [client]))[0]


async def _page(
    session: ReadSession, resources: Res, owner: str | None, cursor: str | None, limit: int
) -> Page[ClientOut]:
    key = resources.keys.ring("page").current.secret
    after = decode_cursor(cursor, key, str)[0] if cursor else None
    found = await repository.list_after(session, owner=owner, after=after, limit=limit + 1)
    page = page_of(found, limit, lambda client: [client.client_id], key)
    return Page(items=await service.describe(session, page.items), next=page.next)
