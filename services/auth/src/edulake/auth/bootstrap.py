"""`python -m edulake.auth.bootstrap --file F`: the clients and people of a development suite.

Makes those that are absent and writes the secrets of the clients to F (mode 0600). Running it again
changes nothing; a client whose secret is missing in F gets a new one. Refuses production.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from edulake.auth import opaque
from edulake.auth.client import repository as clients
from edulake.auth.client import service
from edulake.auth.client.schemas import ClientIn
from edulake.auth.login.dev_people import GRANTER, ensure_dev_people
from edulake.auth.role import repository as roles
from edulake.auth.settings import AuthSettings
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.gm import KeyRing, open_keys
from edulake.common.telemetry import configure_logging, logger
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)
ORGANISATION = "市教育委员会信息中心"


@dataclass(frozen=True)
class DevClient:
    client_id: str
    name: str
    roles: tuple[str, ...]
    owner: str | None = None


DEV_CLIENTS = (
    DevClient("edulake-cli", "命令行", ("steward", "source_contact")),
    DevClient("demo-app", "演示应用", ("applicant",)),
    # Owned by the contact of the demo's resources, so it has care of all of them (`policy/care.py`).
    DevClient("demo-owner", "演示数据责任人", ("owner", "approver"), owner="person:zhou-owner"),
    DevClient("demo-security", "演示安全管理员", ("security_admin",)),
    DevClient("demo-system", "演示系统管理员", ("system_admin",)),
    DevClient("demo-audit", "演示审计管理员", ("audit_admin",)),
    DevClient("loadtest", "压力测试", ("applicant",)),
)


async def bootstrap(settings: AuthSettings, file: Path) -> None:
    """Bring database and file to the same state; raises RuntimeError in production."""
    if settings.env == "production":
        raise RuntimeError("bootstrap makes demo clients and refuses production: use edulake.auth.command")
    ring = open_keys(settings).ring("token")
    known = _read(file)
    database = Database(settings.database_for("edulake_auth"), pool_size=1)
    try:
        await ensure_dev_people(database, settings)
        async with database.transaction() as session:
            await roles.lock_holder(session, "bootstrap")
            for wanted in DEV_CLIENTS:
                known[wanted.client_id] = await _ensure(session, ring, wanted, known.get(wanted.client_id))
            # Inside the transaction: a secret that could not be written was never given out.
            _write(file, known)
    finally:
        await database.close()


async def _ensure(session: AsyncSession, ring: KeyRing, wanted: DevClient, secret: str | None) -> str:
    """The secret of a client that now exists and works."""
    client = await clients.lock(session, wanted.client_id)
    if client is None:
        body = ClientIn(
            client_id=wanted.client_id, name=wanted.name, organisation=ORGANISATION, owner=wanted.owner
        )
        created = await service.register(session, ring, body, by=GRANTER)
        await roles.act_as(session, GRANTER, "development client")
        for role in wanted.roles:
            await roles.grant(session, f"client:{wanted.client_id}", role, by=GRANTER)
        return created.client_secret
    alive = (await clients.secrets_of(session, [wanted.client_id], now()))[wanted.client_id]
    if secret and any(opaque.matches(ring, secret, row.digest) for row in alive):
        return secret
    for row in alive:  # the file was lost: nobody holds these any more
        await clients.remove_secret(session, wanted.client_id, row.id)
    created_secret = await service.rotate_secret(session, ring, client, by=GRANTER, overlap_s=0)
    return created_secret.client_secret


def _read(file: Path) -> dict[str, str]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _write(file: Path, known: dict[str, str]) -> None:
    """Replace the file as a whole, never readable for others, not even for a moment."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(known, out, indent=2, sort_keys=True)
    draft.replace(file)


def main() -> int:
    """Exit status 0 when everything stands, 1 when it was refused."""
    parser = argparse.ArgumentParser(prog="python -m edulake.auth.bootstrap", description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="where the clients' secrets are written")
    asked = parser.parse_args()
    settings = AuthSettings()
    configure_logging(settings.log_level)
    try:
        asyncio.run(bootstrap(settings, asked.file))
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    log.info("development clients stand", clients=len(DEV_CLIENTS), file=str(asked.file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
