"""Changing roles: granted by the security administrator, never to himself, always recorded.

Three administrators (系统、安全、审计) exclude each other (GB/T 22239-2019 §8.1.5, separation of
duties). The database enforces it and the record; this module only turns its refusals into words.
"""

from collections.abc import Collection

from edulake.auth.role import repository
from edulake.auth.role.schemas import RolesOut
from edulake.common.errors import Conflict, Forbidden
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession


class NotOwnRoles(Forbidden):
    code, title_zh, title_en = "own-roles", "不能更改自己的角色", "Nobody changes his own roles"


class AdministratorsExclude(Conflict):
    code, title_zh, title_en = (
        "administrators-exclude",
        "三员角色互斥",
        "The three administrators exclude each other",
    )


class OwnedNeverAdministers(Conflict):
    code, title_zh, title_en = "owned-client", "个人应用不能担任管理员", "An owned program never administers"


class LegalPersonOperates(Conflict):
    code, title_zh, title_en = "legal-person", "法人账号只能办理报送和申请", "A legal person only operates"


async def set_roles(
    session: AsyncSession, holder: str, roles: Collection[str], *, by: str, reason: str
) -> tuple[RolesOut, frozenset[str]]:
    """Give the holder exactly these roles; returns them and those that were withdrawn.

    Raises NotOwnRoles, AdministratorsExclude, OwnedNeverAdministers or LegalPersonOperates; then nothing changes.
    """
    await repository.lock_holder(session, holder)
    held = await repository.roles_of(session, holder)
    wanted = frozenset(roles)
    try:
        await repository.act_as(session, by, reason)
        for role in sorted(held - wanted):
            await repository.withdraw(session, holder, role)
        for role in sorted(wanted - held):
            await repository.grant(session, holder, role, by=by)
    except IntegrityError as error:
        raise _in_words(error) from error
    return RolesOut(holder=holder, roles=sorted(wanted)), held - wanted


def _in_words(error: IntegrityError) -> Exception:
    constraint = getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)
    if constraint == "one_administrator_role_each":
        return AdministratorsExclude(
            "系统管理员、安全管理员、审计管理员只能担任其一",
            "one holder has at most one of system, security and audit administrator",
            mend_zh="先收回另一管理员角色",
            mend_en="withdraw the other administrator role first",
            where="body.roles",
        )
    if constraint == "owned_client_never_administers":
        return OwnedNeverAdministers("归个人所有的应用不能获得管理员角色", "its owner would hold two offices")
    if constraint == "legal_person_operates":
        return LegalPersonOperates(
            "法人账号只能担任数据报送人或申请人，请把其他角色给予自然人",
            "an account of a body may hold source_contact and applicant; give other roles to a natural person",
            where="body.roles",
        )
    if constraint == "not_own_roles":
        return NotOwnRoles("请由另一位安全管理员办理", "ask another security administrator")
    return error
