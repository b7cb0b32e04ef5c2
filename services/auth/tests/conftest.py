"""Auth as a whole, in-process; the development issuer is reached through the app itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from edulake.auth.app import create_app
from edulake.auth.settings import AuthSettings
from edulake.common.db import Database
from fastapi import FastAPI
from sqlalchemy import text

PUBLIC = "http://127.0.0.1:18100"
BROWSER = "__Host-edulake-login"
SESSION = "__Host-edulake"


class ToApp(httpx.AsyncBaseTransport):
    """The network between auth and its own development issuer."""

    def __init__(self) -> None:
        self.app: FastAPI | None = None
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.app is not None
        self.asked.append(str(request.url))
        return await httpx.ASGITransport(self.app).handle_async_request(request)


class Fields(HTMLParser):
    """The hidden inputs and buttons of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.buttons: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "input":
            self.hidden[found["name"]] = found["value"]
        if tag == "button":
            self.buttons.append(found["value"])


@dataclass
class Auth:
    """Auth under test, with the words people and programs use to talk to it."""

    http: httpx.AsyncClient
    settings: AuthSettings
    database: Database
    admin: Database
    network: httpx.AsyncBaseTransport
    app: FastAPI
    sign: Callable[..., dict[str, str]]

    async def call(
        self, method: str, path: str, *roles: str, who: str = "person:tester", **more: Any
    ) -> httpx.Response:
        """One call on behalf of a subject with these roles."""
        headers = self.sign(*roles, id=who, audience="auth")
        return await self.http.request(method, path, headers={**headers, **more.pop("headers", {})}, **more)

    async def new_client(self, client_id: str, *roles: str, **more: Any) -> str:
        """Register a client, give it roles, return its secret."""
        body = {"client_id": client_id, "name": client_id, "organisation": "示范区教育局", **more}
        made = await self.call("POST", "/api/auth/clients", "system_admin", json=body)
        assert made.status_code == 201, made.text
        if roles:
            given = await self.set_roles("clients", client_id, *roles)
            assert given.status_code == 200, given.text
        return str(made.json()["client_secret"])

    async def set_roles(
        self, kind: str, name: str, *roles: str, who: str = "person:qian-security"
    ) -> httpx.Response:
        path = f"/api/auth/{kind}/{name}/roles"
        return await self.call("POST", path, "security_admin", who=who, json={"roles": list(roles)})

    async def token(self, client_id: str, secret: str, **form: str) -> httpx.Response:
        """What /oauth/token answers; waits, like a well-behaved client, where tokens were voided just now."""
        data = {"grant_type": "client_credentials", **form}
        async with asyncio.timeout(60):
            while True:
                answer = await self.http.post("/oauth/token", data=data, auth=(client_id, secret))
                if answer.status_code != 503:
                    return answer
                await asyncio.sleep(0.05)

    async def rows(self, statement: str) -> list[dict[str, Any]]:
        async with self.admin.read() as session:
            return [dict(row) for row in (await session.execute(text(statement))).mappings()]

    async def change(self, statement: str) -> None:
        async with self.admin.transaction() as session:
            await session.execute(text(statement))

    async def announced(self, name: str) -> list[dict[str, Any]]:
        """The facts of every event of a name, oldest first."""
        found = await self.rows(f"SELECT payload FROM bus.log WHERE name = '{name}' ORDER BY pos")
        return [row["payload"] for row in found]

    def browser(self) -> "Browser":
        return Browser(self)


@dataclass
class Browser:
    """A browser with its own cookies. Secure cookies are kept by hand: the test speaks plain http."""

    auth: Auth
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, address: str) -> httpx.Response:
        return await self._send("GET", address)

    async def post(self, address: str, form: dict[str, str], **headers: str) -> httpx.Response:
        return await self._send("POST", address, data=form, headers=headers)

    async def begin(self, return_to: str = "/resources") -> dict[str, str]:
        """Press login; the query that the provider is sent."""
        answer = await self.get(f"/login?return_to={return_to}")
        assert answer.status_code == 303, answer.text
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        return {name: values[0] for name, values in query.items()}

    async def log_in(self, sub: str, return_to: str = "/resources") -> httpx.Response:
        """The whole flow by the development issuer's pages; the answer of the callback."""
        redirect = await self.get(f"/login?return_to={return_to}")
        chooser = await self.get(redirect.headers["location"])
        form = {**Fields(chooser.text).hidden, "sub": sub}
        back = await self.post("/dev-issuer/authorize", form)
        return await self.get(back.headers["location"])

    async def _send(self, method: str, address: str, **more: Any) -> httpx.Response:
        path = address.removeprefix(PUBLIC)
        headers = {
            **more.pop("headers", {}),
            "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()),
        }
        answer = await self.auth.http.request(method, path, headers=headers, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            value = rest.split(";")[0].strip('"')
            self.cookies.pop(name, None)
            if value and "max-age=0" not in line.lower():
                self.cookies[name] = value
        return answer


Opener = Callable[..., AbstractAsyncContextManager[Auth]]


@pytest.fixture
def open_auth(
    make_settings: Callable[..., AuthSettings],
    client_for: Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]],
    as_subject: Callable[..., dict[str, str]],
    postgres_admin_url: str,
) -> Opener:
    """`async with open_auth(field=value) as auth`."""

    @asynccontextmanager
    async def opened(network: httpx.AsyncBaseTransport | None = None, **over: Any) -> AsyncIterator[Auth]:
        settings = make_settings(AuthSettings, **{"port": 18100, "token_leeway_s": 0, **over})
        to_app = ToApp()
        app = create_app(settings, provider_transport=network or to_app)
        to_app.app = app
        admin = Database(postgres_admin_url, pool_size=1)
        async with client_for(app) as http:
            database = app.state.resources.database
            yield Auth(http, settings, database, admin, network or to_app, app, as_subject)
        await admin.close()

    return opened


@pytest.fixture
async def auth(open_auth: Opener) -> AsyncIterator[Auth]:
    async with open_auth() as running:
        yield running
