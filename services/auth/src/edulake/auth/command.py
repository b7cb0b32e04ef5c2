"""`python -m edulake.auth.command`: what an operator does at the machine, recorded like everything else.

rotate-keys                       the next signing key signs from now on
make-client ID NAME ORG           register a client without roles; its secret goes to a new file (0600)
new-secret ID                     one more secret, also for a client that holds an administrator's role
pending                           who has logged in and waits: since when, and the ISSUER and SUB for the next
first-admin ISSUER SUB NAME ROLE  admit the first administrator of a kind; refused when one exists
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from edulake.auth.client import repository as client_rows
from edulake.auth.client import service as clients
from edulake.auth.client.schemas import ClientIn
from edulake.auth.person import repository as people
from edulake.auth.person.service import meet
from edulake.auth.role import repository as roles
from edulake.auth.settings import AuthSettings
from edulake.auth.token.signing import SigningKeys
from edulake.auth.trail.repository import record
from edulake.common.db import Database
from edulake.common.gm import open_keys
from edulake.common.identity import ADMINISTRATORS
from edulake.common.telemetry import configure_logging

OPERATOR = "service:auth-operator"
MAX_PENDING = 200


class CommandRefused(Exception):
    """The text is for the operator."""


async def rotate_keys(settings: AuthSettings, database: Database) -> str:
    """Put the next signing key to work; returns its id."""
    keys = SigningKeys(settings, database, open_keys(settings))
    await keys.ensure()
    return await keys.rotate(OPERATOR)


async def make_client(settings: AuthSettings, database: Database, wanted: ClientIn, file: Path) -> str:
    """Register a client; its secret is written to a file that must not exist yet."""
    ring = open_keys(settings).ring("token")
    with _new_file(file) as out:
        async with database.transaction() as session:
            created = await clients.register(session, ring, wanted, by=OPERATOR)
            out.write(created.client_secret)
            out.flush()
    return created.client_id


async def new_secret(settings: AuthSettings, database: Database, client_id: str, file: Path) -> str:
    """A further secret, written to a file that must not exist yet; raises CommandRefused.

    The one way to a credential of a client that holds an administrator's office (`client/office.py`): whoever
    works at this machine could read the database anyway, and the trail says that it was the operator.
    """
    ring = open_keys(settings).ring("token")
    with _new_file(file) as out:
        async with database.transaction() as session:
            client = await client_rows.lock(session, client_id)
            if client is None:
                raise CommandRefused(f"there is no client {client_id}")
            made = await clients.rotate_secret(
                session, ring, client, by=OPERATOR, overlap_s=settings.secret_overlap_s
            )
            out.write(made.client_secret)
            out.flush()
    return client_id


@contextmanager
def _new_file(file: Path) -> Iterator[TextIO]:
    """A file for its owner only, which must not exist yet and is gone again when the block fails."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as out:
            yield out
    except BaseException:
        file.unlink()
        raise


async def pending(database: Database) -> str:
    """One line for each who waits, newest last; without names, which have no place at a machine's console."""
    async with database.read() as session:
        waiting = await people.list_after(session, status="pending", after=None, limit=MAX_PENDING)
    lines = [f"{row.created_at:%Y-%m-%d %H:%M} {row.issuer} {row.subject}" for row in waiting]
    return "\n".join(sorted(lines)) or "nobody waits"


async def first_admin(
    settings: AuthSettings, database: Database, *, issuer: str, subject: str, name: str, role: str
) -> str:
    """Admit one person with an administrator's role; raises CommandRefused when that office is taken.

    This is how a new installation begins. Afterwards people are admitted by the system administrator
    and given roles by the security administrator, never from here.
    """
    async with database.transaction() as session:
        await roles.lock_holder(session, f"office:{role}")
        if await roles.holders_of(session, role):
            raise CommandRefused(f"there is a {role} already: ask the security administrator")
        person = await meet(session, settings, issuer=issuer, subject=subject, name=name)
        await people.set_status(session, person.id, "active")
        await roles.act_as(session, OPERATOR, "first administrator of this installation")
        await roles.grant(session, person.id, role, by=OPERATOR)
        await record(session, "person.active", by=OPERATOR, about=person.id)
    return person.id


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edulake.auth.command", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("rotate-keys")
    commands.add_parser("pending")
    client = commands.add_parser("make-client")
    for name in ("client_id", "name", "organisation"):
        client.add_argument(name)
    client.add_argument("--secret-file", type=Path, required=True, help="new file for the secret")
    secret = commands.add_parser("new-secret")
    secret.add_argument("client_id")
    secret.add_argument("--secret-file", type=Path, required=True, help="new file for the secret")
    admin = commands.add_parser("first-admin")
    for name in ("issuer", "subject", "name"):
        admin.add_argument(name)
    admin.add_argument("role", choices=sorted(ADMINISTRATORS))
    return parser


async def run(settings: AuthSettings, asked: argparse.Namespace) -> str:
    """Carry out one command; returns the line for the operator, which never holds a secret."""
    database = Database(settings.database_for("edulake_auth"), pool_size=1)
    try:
        if asked.command == "rotate-keys":
            return f"signing with {await rotate_keys(settings, database)}"
        if asked.command == "pending":
            return await pending(database)
        if asked.command == "make-client":
            wanted = ClientIn(client_id=asked.client_id, name=asked.name, organisation=asked.organisation)
            made = await make_client(settings, database, wanted, asked.secret_file)
            return f"client {made} registered without roles; secret in {asked.secret_file}"
        if asked.command == "new-secret":
            made = await new_secret(settings, database, asked.client_id, asked.secret_file)
            return f"client {made} has one more secret; it stands in {asked.secret_file}"
        who = {"issuer": asked.issuer, "subject": asked.subject, "name": asked.name, "role": asked.role}
        return f"{await first_admin(settings, database, **who)} is {asked.role}"
    finally:
        await database.close()


def main() -> int:
    """Exit status 0 when done, 1 when refused."""
    asked = _parser().parse_args()
    settings = AuthSettings()
    configure_logging(settings.log_level)
    try:
        line = asyncio.run(run(settings, asked))
    except (CommandRefused, clients.ClientIdTaken, clients.TooManySecrets, FileExistsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
