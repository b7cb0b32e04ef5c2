"""Every service once a run, in one process and one event loop; a test finds them empty.

The network between them is a transport that finds a service by its port; a service that is not
attached refuses the connection, as it would outside.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from edulake.auth.app import create_app as create_auth
from edulake.auth.settings import AuthSettings
from edulake.catalog.app import create_app as create_catalog
from edulake.catalog.settings import CatalogSettings
from edulake.common.settings import Settings
from edulake.governance.app import create_app as create_governance
from edulake.governance.settings import GovernanceSettings
from edulake.ingest.app import create_app as create_ingest
from edulake.ingest.settings import IngestSettings
from edulake.portal.app import create_app
from edulake.portal.settings import PortalSettings
from edulake.share_gateway.app import create_app as create_gateway
from edulake.share_gateway.settings import GatewaySettings
from edulake.workorder.app import create_app as create_workorder
from edulake.workorder.settings import WorkorderSettings
from fastapi import FastAPI

#: What a test may have left. Sessions and people stay, so that nobody logs in twice.
_LEFT = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE (schemaname IN ('catalog', 'workorder', 'ingest', 'governance', 'lake')
       OR (schemaname = 'auth' AND tablename IN ('client', 'client_secret'))
       OR (schemaname = 'gateway' AND (tablename IN ('grant', 'quota_override') OR tablename ~ '^(audit|publication)')))
  AND tablename <> 'schema_version'
"""
#: What was announced counts as heard by everybody, also what a reader has in its hands: it would come into the next
#: test. The lock waits for the handlers that are at work.
_HEARD = """
LOCK TABLE bus.inbox IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO bus.inbox (consumer, event_id)
SELECT c.consumer, l.event_id FROM bus.cursor c JOIN bus.log l ON l.pos > c.pos ON CONFLICT DO NOTHING
"""
#: Whom a test has let come from another provider than the development one.
NEWCOMERS = "https://login.example"
_LEFT_PEOPLE = f"""
DELETE FROM auth.role_assignment WHERE holder IN (SELECT id FROM auth.person WHERE issuer = '{NEWCOMERS}');
DELETE FROM auth.person WHERE issuer = '{NEWCOMERS}'
"""


#: All services share one loop here, and a page under way must not make the gateway's rights too old to be believed.
_NEVER_STALE = {"access_stale_s": 3600.0, "versions_stale_s": 3600.0}


class InProcess(httpx.AsyncBaseTransport):
    """Requests go to the application that listens on the port."""

    def __init__(self) -> None:
        self.apps: dict[int, FastAPI] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        app = self.apps.get(request.url.port or 80)
        if app is None:
            raise httpx.ConnectError("connection refused", request=request)
        return await httpx.ASGITransport(app, raise_app_exceptions=False).handle_async_request(request)


@dataclass
class Suite:
    """The running services; `door` is the one real port, kept for this run alone."""

    door: socket.socket
    common: dict[str, Any]
    admin_url: str
    network: InProcess = field(default_factory=InProcess)
    apps: dict[str, FastAPI] = field(default_factory=dict)
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.door.getsockname()[1])

    @property
    def portal(self) -> FastAPI:
        return self.apps["portal"]

    @property
    def settings(self) -> PortalSettings:
        found: PortalSettings = self.portal.state.resources.settings
        return found

    def make_settings(self, kind: type[Settings] = Settings, **over: Any) -> Any:
        return kind(**{**self.common, "port": self.port, **over})

    def attach(self, *names: str) -> None:
        """These services answer; all others are down."""
        self.network.apps = {self.settings.service_port(name): self.apps[name] for name in names}

    async def empty(self) -> None:
        """Take away what a test left, without waiting for anybody's locks on the way of a truncation."""
        if not self.leftovers:
            self.leftovers = [row[0] for row in await self.as_admin(_LEFT)]
        deletions = ";".join(f"DELETE FROM {table}" for table in self.leftovers)  # names from pg_tables
        await self.as_admin(f"BEGIN; {_HEARD}; {deletions}; {_LEFT_PEOPLE}; COMMIT")

    async def as_admin(self, statement: str) -> list[asyncpg.Record]:
        """What the database's own administrator does, whom no trigger and no policy stops."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute("SET session_replication_role = replica")
            if statement.lstrip().startswith("SELECT"):
                return list(await connection.fetch(statement))
            await connection.execute(statement)
            return []
        finally:
            await connection.close()


@asynccontextmanager
async def running(common: dict[str, Any], admin_url: str) -> AsyncIterator[Suite]:
    """All services, on one database and one free port."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        suite = Suite(door, common, admin_url)
        made = _applications(suite)
        async with AsyncExitStack() as stack:
            for name, app in made.items():
                service = app if isinstance(app, FastAPI) else app.service
                suite.apps[name] = service
                await stack.enter_async_context(service.router.lifespan_context(service))
            await _take_the_same_network(suite)
            yield suite


def _applications(suite: Suite) -> dict[str, Any]:
    make, network = suite.make_settings, suite.network
    return {
        "auth": create_auth(make(AuthSettings), provider_transport=network),
        "catalog": create_catalog(make(CatalogSettings)),
        "workorder": create_workorder(make(WorkorderSettings)),
        "ingest": create_ingest(make(IngestSettings)),
        "governance": create_governance(make(GovernanceSettings)),
        "gateway": create_gateway(make(GatewaySettings).model_copy(update=_NEVER_STALE)),
        "portal": create_app(make(PortalSettings, page_timeout_s=30), transport=network),
    }


async def _take_the_same_network(suite: Suite) -> None:
    """The other services' calls go where the portal's go."""
    for name in ("catalog", "ingest", "governance", "workorder", "gateway"):
        extra = suite.apps[name].state.resources.extra
        clients = [extra["internal"]] if name == "catalog" else [extra["asking"].client]
        for client in clients:
            await client._http.aclose()
            client._http = httpx.AsyncClient(transport=suite.network)


def stores(folder: Path, database_url: str, redis_url: str) -> dict[str, Any]:
    """Settings every service shares; events are looked for rarely, since no test here waits for one.

    Waits are long: a service that is slow because the machine is must not look like one that is silent.
    """
    return {
        "home": folder,
        "database_url": database_url,
        "redis_url": redis_url,
        "bus_poll_ms": 2000,
        "upstream_timeout_s": 30,
        "redis_timeout_ms": 30_000,
        "log_level": "WARNING",
    }
