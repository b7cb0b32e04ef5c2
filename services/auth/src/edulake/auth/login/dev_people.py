"""The people of the development issuer, and their first roles in a development database."""

from dataclasses import dataclass

from edulake.auth.person import repository as people
from edulake.auth.role import repository as roles
from edulake.auth.settings import AuthSettings
from edulake.common.clock import now
from edulake.common.db import Database

GRANTER = "service:auth-bootstrap"


@dataclass(frozen=True)
class DevPerson:
    sub: str
    name: str
    roles: tuple[str, ...]
    organisation: str


DEV_PEOPLE = (
    DevPerson("zhao-system", "赵系统", ("system_admin",), "市教育委员会信息中心"),
    DevPerson("qian-security", "钱安全", ("security_admin",), "市教育委员会信息中心"),
    DevPerson("sun-audit", "孙审计", ("audit_admin",), "市教育委员会信息中心"),
    DevPerson("li-steward", "李治理", ("steward",), "市教育委员会信息中心"),
    DevPerson("zhou-owner", "周数源", ("owner", "approver"), "市教育委员会信息中心"),
    DevPerson("wu-contact", "吴报送", ("source_contact",), "示范区教育局"),
    DevPerson("zheng-applicant", "郑申请", ("applicant",), "示范区教育局"),
)
BY_SUB = {person.sub: person for person in DEV_PEOPLE}


async def ensure_dev_people(database: Database, settings: AuthSettings) -> None:
    """Make the people that are absent, with their roles; who exists keeps the roles held now."""
    async with database.transaction() as session:
        await roles.act_as(session, GRANTER, "development people")
        for person in DEV_PEOPLE:
            row = {
                "id": f"person:{person.sub}",
                "issuer": settings.dev_issuer,
                "subject": person.sub,
                "name": person.name,
                "organisation": person.organisation,
                "status": "active",
                "created_at": now(),
            }
            if await people.add_if_absent(session, row):
                for role in person.roles:
                    await roles.grant(session, f"person:{person.sub}", role, by=GRANTER)
