"""Migrations of every service from one environment (Alembic, called from code).

Each service keeps numbered revisions in its own `migrations` folder and its version in its own
schema; the shared schemas `bus` and `lake` come first. Roles are made here, so that a service can
only ever write what it owns.
"""

import asyncio
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alembic.config import Config
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from edulake.common import locks
from edulake.common.db import engine_url
from edulake.common.locks import Space
from edulake.common.settings import READER
from edulake.common.telemetry import logger
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.util import await_only

log = logger(__name__)
RELAY = "edulake_relay"


@dataclass(frozen=True)
class Owner:
    """One set of migrations: the schema its objects stand in and the role that owns them."""

    schema: str
    role: str | None
    package: str


OWNERS = (
    Owner("bus", None, "edulake.common"),
    Owner("ingest", "edulake_ingest", "edulake.ingest"),
    Owner("governance", "edulake_governance", "edulake.governance"),
    Owner("gateway", "edulake_gateway", "edulake.share_gateway"),
    Owner("catalog", "edulake_catalog", "edulake.catalog"),
    Owner("workorder", "edulake_workorder", "edulake.workorder"),
    Owner("auth", "edulake_auth", "edulake.auth"),
)
SERVICE_ROLES = tuple(owner.role for owner in OWNERS if owner.role)


class ScriptImpl(PostgresqlImpl):
    """Lets `op.execute` take several statements at once, which a prepared statement refuses."""

    __dialect__ = "postgresql"

    def execute(self, sql: Any, execution_options: dict[str, Any] | None = None) -> None:
        connection = self.connection
        if not isinstance(sql, str) or connection is None:
            super().execute(sql, execution_options)
            return
        connection.exec_driver_sql("SELECT 1")  # opens the transaction that the script then joins
        driver: Any = connection.connection.driver_connection
        await_only(driver.execute(sql))


async def upgrade_all(admin_url: str, *, passwords: dict[str, str] | None = None) -> None:
    """Bring every schema to its newest revision; several callers at once are safe.

    `admin_url` must be a superuser's. `passwords` maps roles to passwords (embedded: none needed).
    """
    engine = create_async_engine(engine_url(admin_url), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await locks.hold(connection, Space.MIGRATIONS)
            await _make_roles(connection, passwords or {})
            for owner in OWNERS:
                await _upgrade(connection, owner)
            await locks.release(connection, Space.MIGRATIONS)
            await connection.commit()
    finally:
        await engine.dispose()


async def _make_roles(connection: AsyncConnection, passwords: dict[str, str]) -> None:
    known = set(await connection.scalars(text("SELECT rolname FROM pg_roles")))
    for role in (*SERVICE_ROLES, READER, RELAY):
        if role not in known:
            await connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        if role in passwords:
            literal = passwords[role].replace("'", "''")
            await connection.execute(text(f"ALTER ROLE {role} PASSWORD '{literal}'"))
    await connection.execute(text(f"ALTER ROLE {READER} SET default_transaction_read_only = on"))
    await connection.execute(text(f"ALTER ROLE {READER} SET statement_timeout = '5s'"))
    await connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    await connection.commit()


async def _upgrade(connection: AsyncConnection, owner: Owner) -> None:
    folder = migrations_folder(owner.package)
    if folder is None:
        return
    await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {owner.schema}"))
    if owner.schema == "gateway":
        await _make_published(connection)
    await connection.commit()
    await connection.run_sync(_run_revisions, folder, owner.schema)
    if owner.role:
        await _hand_over(connection, owner.schema, owner.role)
    await connection.commit()
    log.info("schema upgraded", schema=owner.schema)


async def _make_published(connection: AsyncConnection) -> None:
    """The serving schema: the gateway's role writes it, the query engine's role only reads it."""
    await connection.execute(text("CREATE SCHEMA IF NOT EXISTS published AUTHORIZATION edulake_gateway"))
    await connection.execute(text(f"GRANT USAGE ON SCHEMA published TO {READER}"))
    await connection.execute(
        text(
            "ALTER DEFAULT PRIVILEGES FOR ROLE edulake_gateway IN SCHEMA published "
            f"GRANT SELECT ON TABLES TO {READER}"
        )
    )


def migrations_folder(package: str) -> Path | None:
    """Where a package keeps its revisions, or None when it has none."""
    spec = importlib.util.find_spec(package)
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place) / "migrations"
        if folder.is_dir():
            return folder
    return None


def script_directory(folder: Path) -> ScriptDirectory:
    config = Config()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("script_location", quote(str(folder), safe="/%").replace("%", "%%"))
    config.set_main_option("version_locations", str(folder).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def _run_revisions(connection: Connection, folder: Path, schema: str) -> None:
    scripts = script_directory(folder)

    def steps(revision: object, _context: object) -> list[object]:
        return list(scripts._upgrade_revs("heads", revision))  # type: ignore[arg-type]

    config = Config()
    environment = EnvironmentContext(config, scripts, fn=steps)
    environment.configure(
        connection=connection,
        version_table="schema_version",
        version_table_schema=schema,
        transaction_per_migration=True,
        fn=steps,
    )
    with environment.begin_transaction():
        environment.run_migrations()


async def _hand_over(connection: AsyncConnection, schema: str, role: str) -> None:
    """Give the schema and all it holds to its role, so that migrations can run as superuser."""
    await connection.execute(text(f"ALTER SCHEMA {schema} OWNER TO {role}"))
    found = await connection.execute(
        text(
            "SELECT c.relkind, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'S') "
            # a sequence that belongs to a column changes hands with its table
            "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') "
            "AND c.relkind = 'S') "
            "AND pg_get_userbyid(c.relowner) <> :role"
        ),
        {"schema": schema, "role": role},
    )
    kinds = {"r": "TABLE", "p": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW", "S": "SEQUENCE"}
    for kind, name in found.all():
        letter = kind.decode() if isinstance(kind, bytes) else kind
        await connection.execute(text(f'ALTER {kinds[letter]} {schema}."{name}" OWNER TO {role}'))
    routines = await connection.execute(
        text(
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
            "WHERE n.nspname = :schema"
        ),
        {"schema": schema},
    )
    for (signature,) in routines.all():
        await connection.execute(text(f"ALTER ROUTINE {signature} OWNER TO {role}"))


class MigrationSettings(BaseSettings):
    """What `python -m edulake.common.migrate` needs; run once a release, before the services."""

    model_config = SettingsConfigDict(env_prefix="EDULAKE_", extra="ignore")
    database_admin_url: str = Field(description="Address of a superuser of the database.")
    role_passwords_file: Path | None = Field(
        default=None, description="JSON of role → password; roles without one keep what they have."
    )


def main() -> None:
    """Bring the database up to date and exit; what is wrong is said on standard error."""
    settings = MigrationSettings()
    passwords = json.loads(settings.role_passwords_file.read_text()) if settings.role_passwords_file else {}
    asyncio.run(upgrade_all(settings.database_admin_url, passwords=passwords))


if __name__ == "__main__":
    main()
