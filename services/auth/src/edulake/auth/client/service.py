"""Registering, rotating, disabling clients; every change is announced in its own transaction."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from edulake.auth import jose, opaque
from edulake.auth.client import repository
from edulake.auth.client.schemas import AppIn, ClientCreated, ClientIn, ClientOut, SecretCreated, SecretOut
from edulake.auth.models import Client, ClientSecret
from edulake.auth.person import repository as people
from edulake.auth.role import repository as roles
from edulake.auth.settings import AuthSettings
from edulake.auth.token.service import revoke_all_of
from edulake.auth.trail.repository import record
from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.errors import Conflict, NotFound, Unprocessable
from edulake.common.events import AccessClientChanged, new_event_id
from edulake.common.gm import KeyRing
from edulake.common.identity import Subject
from edulake.common.policy import Facts
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

SELF = "service:auth"
#: The one being replaced, the new one, and one more for a slow migration.
MAX_SECRETS = 3


class ClientUnknown(NotFound):
    code, title_zh, title_en = "client-unknown", "应用不存在", "No such client"


class ClientIdTaken(Conflict):
    code, title_zh, title_en = "client-id-taken", "应用标识已被占用", "This client id is taken"


class TooManySecrets(Conflict):
    code, title_zh, title_en = "too-many-secrets", "有效密钥过多", "Too many secrets are alive"


class TooManyApps(Conflict):
    code, title_zh, title_en = "too-many-apps", "应用数量已达上限", "Too many applications"


class OwnerNotActive(Conflict):
    code, title_zh, title_en = "owner-not-active", "应用所有者未启用", "The client's owner is not active"


class UnusableKey(Unprocessable):
    code, title_zh, title_en = "unusable-key", "公钥不可用", "This public key cannot be used"


async def register(session: AsyncSession, ring: KeyRing, wanted: ClientIn, *, by: str) -> ClientCreated:
    """A new active client without roles and its first secret; raises ClientIdTaken, OwnerNotActive."""
    if wanted.owner:
        await _require_active_owner(session, wanted.owner)
    client = Client(
        client_id=wanted.client_id or f"app-{secrets.token_hex(5)}",
        name=wanted.name,
        organisation=wanted.organisation,
        district=wanted.district,
        owner=wanted.owner,
        status="active",
        keys=[],
        created_at=now(),
        created_by=by,
    )
    try:
        await repository.add(session, client)
    except IntegrityError as error:
        raise ClientIdTaken("请换一个应用标识", "choose another client id", where="body.client_id") from error
    secret, _ = await _add_secret(session, ring, client.client_id)
    await record(session, "client.registered", by=by, about=f"client:{client.client_id}")
    await _announce(session, client, "active")
    shown = (await describe(session, [client]))[0]
    return ClientCreated(**shown.model_dump(), client_secret=secret)


async def register_app(
    session: AsyncSession, ring: KeyRing, settings: AuthSettings, wanted: AppIn, owner: Subject
) -> ClientCreated:
    """A person's own application; it can apply for data and nothing else. Raises TooManyApps, OwnerNotActive."""
    await repository.lock_owner(session, owner.id)
    if await repository.count_of_owner(session, owner.id) >= settings.apps_per_owner:
        raise TooManyApps(
            f"每人最多 {settings.apps_per_owner} 个应用", f"at most {settings.apps_per_owner} each"
        )
    organisation = wanted.organisation or owner.organisation or "未填写"
    full = ClientIn(name=wanted.name, organisation=organisation, district=owner.district, owner=owner.id)
    created = await register(session, ring, full, by=owner.id)
    # Not the owner's act: an application gets this one role by being registered, nothing is chosen.
    await roles.act_as(session, SELF, "application registered by its owner")
    await roles.grant(session, f"client:{created.client_id}", "applicant", by=SELF)
    return created.model_copy(update={"roles": ["applicant"]})


async def rotate_secret(
    session: AsyncSession, ring: KeyRing, client: Client, *, by: str, overlap_s: int
) -> SecretCreated:
    """A further secret; the ones before keep working for the overlap. Raises TooManySecrets."""
    at = now()
    alive = await repository.secrets_of(session, [client.client_id], at)
    if len(alive[client.client_id]) >= MAX_SECRETS:
        raise TooManySecrets(
            f"最多 {MAX_SECRETS} 个密钥同时有效",
            f"at most {MAX_SECRETS} secrets at a time",
            mend_zh="先停用不再使用的密钥",
            mend_en="retire one that is no longer used",
        )
    secret, row = await _add_secret(session, ring, client.client_id)
    others_until = at + timedelta(seconds=overlap_s)
    await repository.expire_secrets(session, client.client_id, others_until, keep=row.id)
    await record(session, "client.secret-rotated", by=by, about=f"client:{client.client_id}")
    shown = SecretOut.model_validate(row).model_dump()
    return SecretCreated(**shown, client_id=client.client_id, client_secret=secret, others_until=others_until)


async def retire_secret(session: AsyncSession, client: Client, secret_id: UUID, *, by: str) -> None:
    """End one secret now; raises NotFound."""
    if not await repository.remove_secret(session, client.client_id, secret_id):
        raise NotFound("密钥不存在", "no such secret")
    await record(session, "client.secret-retired", by=by, about=f"client:{client.client_id}")


async def set_keys(session: AsyncSession, client: Client, keys: list[dict[str, object]], *, by: str) -> None:
    """Replace the public keys of private_key_jwt; raises UnusableKey for private or weak ones."""
    kept = []
    for place, document in enumerate(keys):
        try:
            public = jose.import_public(document)
        except jose.TokenRefused as error:
            raise UnusableKey("请提交公钥（JWK）", str(error), where=f"body.keys.{place}") from error
        public.ensure_kid()
        kept.append({**public.as_dict(private=False), "use": "sig"})
    await repository.set_keys(session, client.client_id, kept)
    client.keys = kept
    await record(session, "client.keys-replaced", by=by, about=f"client:{client.client_id}")


async def set_status(
    session: AsyncSession, settings: AuthSettings, client: Client, status: str, *, by: str
) -> None:
    """Enable or disable; a disabled client's tokens are void within seconds. Raises OwnerNotActive."""
    if client.status == status:
        return
    if status == "active" and client.owner:
        await _require_active_owner(session, client.owner)
    client.status = status
    await repository.set_status(session, client.client_id, status)
    await record(session, f"client.{status}", by=by, about=f"client:{client.client_id}")
    if status == "disabled":
        await revoke_all_of(session, settings, client.client_id, by=by, reason="client disabled")
    await _announce(session, client, status)


async def disable_all_of(session: AsyncSession, settings: AuthSettings, owner: str, *, by: str) -> list[str]:
    """Disable every client of a person, each announced as if disabled alone; their ids."""
    await repository.lock_owner(session, owner)
    owned = await repository.lock_active_of_owner(session, owner)
    for client in owned:
        await set_status(session, settings, client, "disabled", by=by)
    return [client.client_id for client in owned]


async def _require_active_owner(session: AsyncSession, owner: str) -> None:
    """Nobody answers for a client whose owner is unknown or shut out."""
    await repository.lock_owner(session, owner)
    if await people.status_of(session, owner) != "active":
        raise OwnerNotActive(
            "应用所有者不存在、待准入或已停用",
            "the client's owner is unknown, pending or disabled",
            mend_zh="先准入该人员",
            mend_en="admit the person first",
        )


async def describe(session: AsyncSession, clients: Sequence[Client]) -> list[ClientOut]:
    """Clients with their roles and what may be known of their secrets."""
    ids = [client.client_id for client in clients]
    held = await roles.roles_by_holder(session, [f"client:{client_id}" for client_id in ids])
    alive = await repository.secrets_of(session, ids, now())
    return [_out(client, held[f"client:{client.client_id}"], alive[client.client_id]) for client in clients]


def facts_of(client: Client) -> Facts:
    """Whose a program is: its own, and its owner's."""
    return Facts(own=frozenset({f"client:{client.client_id}"}), accountable=client.owner)


async def _add_secret(session: AsyncSession, ring: KeyRing, client_id: str) -> tuple[str, ClientSecret]:
    secret = opaque.fresh()
    row = ClientSecret(
        id=new_event_id(),
        client_id=client_id,
        digest=opaque.keyed_digest(ring, secret),
        created_at=now(),
        expires_at=None,
        last_used_at=None,
    )
    await repository.add_secret(session, row)
    return secret, row


async def _announce(session: AsyncSession, client: Client, status: str) -> None:
    facts = {"client_id": client.client_id, "status": status, "organisation": client.organisation or ""}
    await announce(session, AccessClientChanged.model_validate(facts))


def _out(client: Client, held: list[str], alive: list[ClientSecret]) -> ClientOut:
    created_at: datetime = client.created_at
    return ClientOut(
        client_id=client.client_id,
        name=client.name,
        organisation=client.organisation,
        district=client.district,
        roles=held,
        status=client.status,
        owner=client.owner,
        secrets=[SecretOut.model_validate(secret) for secret in alive],
        key_ids=[str(key.get("kid", "")) for key in client.keys],
        created_at=created_at,
    )
