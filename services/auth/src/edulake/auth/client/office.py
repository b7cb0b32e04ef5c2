"""Clients that hold an administrator's office: who knows their credentials holds the office as well.

So an office that is given voids every credential there is, since whoever registered the client knows its first
secret; and while it is held none is made over the API. The operator makes one at the machine
(`python -m edulake.auth.command new-secret`). Separation of duties: GB/T 22239-2019 §8.1.5.
"""

from edulake.auth.client import repository
from edulake.auth.client.schemas import ClientRolesOut
from edulake.auth.models import Client
from edulake.auth.role import repository as roles
from edulake.auth.role.schemas import RolesIn
from edulake.auth.role.service import set_roles
from edulake.auth.settings import AuthSettings
from edulake.auth.token.service import revoke_all_of
from edulake.auth.trail.repository import record
from edulake.common.errors import Forbidden
from edulake.common.identity import ADMINISTRATORS
from sqlalchemy.ext.asyncio import AsyncSession


class HoldsOffice(Forbidden):
    code, title_zh, title_en = (
        "client-holds-office",
        "应用担任管理员",
        "The client holds an administrator's office",
    )


async def refuse_office(session: AsyncSession, client: Client) -> None:
    """Credentials of an office are for nobody here: HoldsOffice, whoever asks.

    The caller holds the client's lock, so that no office is given in between.
    """
    if not (await roles.roles_of(session, f"client:{client.client_id}")).isdisjoint(ADMINISTRATORS):
        raise HoldsOffice(
            "该应用担任三员之一，掌握其凭据即兼任两职",
            "whoever holds its credentials would hold two offices",
            mend_zh="由运维人员在服务器上执行 python -m edulake.auth.command new-secret",
            mend_en="the operator runs `python -m edulake.auth.command new-secret` at the machine",
        )


async def set_client_roles(
    session: AsyncSession, settings: AuthSettings, client: Client, wanted: RolesIn, *, by: str
) -> ClientRolesOut:
    """Give a locked client exactly these roles; raises what `set_roles` raises, and then nothing changes."""
    holder = f"client:{client.client_id}"
    held_before = await roles.roles_of(session, holder)
    now_held, withdrawn = await set_roles(session, holder, wanted.roles, by=by, reason=wanted.reason)
    if withdrawn:  # tokens in circulation still name the roles that were taken away
        await revoke_all_of(session, settings, client.client_id, by=by, reason="roles withdrawn")
    takes_office = not (wanted.roles - held_before).isdisjoint(ADMINISTRATORS)
    if takes_office:
        await repository.remove_credentials(session, client.client_id)
        await record(session, "client.credentials-voided", by=by, about=holder)
    return ClientRolesOut(**now_held.model_dump(), credentials_void=takes_office)
