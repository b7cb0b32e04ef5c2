"""Each dependency broken in turn: never a 2xx where something had to be known or written, and healed afterwards."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from edulake.cli.embedded import start_redis

FORM = {"grant_type": "client_credentials"}
SESSION = "__Host-edulake"


@pytest.fixture
def postgres_lost(postgres_admin_url: str, database_name: str) -> Callable[[], Any]:
    """`async with postgres_lost():` nobody is connected to the database and nobody can connect."""

    async def allow(connections: int) -> None:
        connection = await asyncpg.connect(postgres_admin_url.replace(database_name, "postgres"))
        try:
            await connection.execute(f"ALTER DATABASE {database_name} CONNECTION LIMIT {connections}")
            ended = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = $1"
            await connection.execute(ended, database_name)
        finally:
            await connection.close()

    @asynccontextmanager
    async def lost() -> AsyncIterator[None]:
        await allow(0)
        try:
            yield
        finally:
            await allow(-1)

    return lost


Ask = Callable[[Any, str, str], Awaitable[Any]]


def as_client(method: str, path: str, **form: str) -> Ask:
    async def ask(auth: Any, secret: str, cookie: str) -> Any:
        data = {name: value.format(cookie=cookie) for name, value in form.items()}
        return await auth.http.request(method, path, data=data, auth=("app", secret))

    return ask


def as_person(method: str, path: str, role: str, body: dict[str, Any] | None = None) -> Ask:
    async def ask(auth: Any, secret: str, cookie: str) -> Any:
        filled = {name: cookie if value == "{cookie}" else value for name, value in (body or {}).items()}
        return await auth.call(method, path, role, json=filled or None)

    return ask


CALLS = {
    "a token": as_client("POST", "/oauth/token", **FORM),
    "revoking one's own token": as_client("POST", "/oauth/revoke", token="x.y.z"),
    "revoking any token": as_person(
        "POST", "/api/auth/revocations", "security_admin", {"jti": "j", "reason": "测试"}
    ),
    "a session": as_person("POST", "/internal/sessions/resolve", "service", {"cookie": "{cookie}"}),
    "a new client": as_person(
        "POST", "/api/auth/clients", "system_admin", {"client_id": "next", "name": "n", "organisation": "o"}
    ),
    "a new secret": as_person("POST", "/api/auth/clients/app/secrets", "system_admin"),
    "disabling": as_person("POST", "/api/auth/clients/app/disable", "system_admin"),
    "roles": as_person("POST", "/api/auth/clients/app/roles", "security_admin", {"roles": ["steward"]}),
    "the clients": as_person("GET", "/api/auth/clients", "system_admin"),
}


class TestPostgresLost:
    @pytest.mark.parametrize("what", CALLS)
    async def test_nothing_succeeds_and_nothing_was_done_when_it_is_back(
        self, auth: Any, postgres_lost: Any, what: str
    ) -> None:
        secret = await auth.new_client("app", "applicant")
        browser = auth.browser()
        await browser.log_in("li-steward")
        cookie = browser.cookies[SESSION]
        before = await self.everything(auth)
        async with postgres_lost():
            answer = await CALLS[what](auth, secret, cookie)
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"] == "urn:edulake:problem:unavailable"
        assert int(answer.headers["retry-after"]) > 0
        assert await self.everything(auth) == before
        again = await auth.token("app", secret)
        assert again.status_code == 200, "healed"

    async def test_a_guess_made_meanwhile_is_not_taken_for_a_good_secret(
        self, auth: Any, postgres_lost: Any
    ) -> None:
        await auth.new_client("app", "applicant")
        async with postgres_lost():
            form, guess = {"grant_type": "client_credentials"}, ("app", "wrong")
            assert (await auth.http.post("/oauth/token", data=form, auth=guess)).status_code == 503

    async def everything(self, auth: Any) -> list[Any]:
        """What auth decided so far: clients, secrets, roles, revocations, announcements."""
        tables = (
            "auth.client",
            "auth.client_secret",
            "auth.role_assignment",
            "auth.revocation",
            "auth.session",
        )
        counted = [await auth.rows(f"SELECT count(*) AS n FROM {table}") for table in tables]
        return [*counted, await auth.rows("SELECT name FROM bus.log ORDER BY pos")]


class TestRedisLost:
    async def test_good_secrets_work_and_guessing_still_meets_the_wall(
        self, open_auth: Any, tmp_path: Any
    ) -> None:
        redis = start_redis(tmp_path)
        async with open_auth(redis_url=redis.url, client_failures=3) as auth:
            secret = await auth.new_client("app", "applicant")
            redis.stop()
            assert (await auth.token("app", secret)).status_code == 200
            guesses = [(await auth.token("app", f"guess-{number}")).status_code for number in range(6)]
            assert guesses[:3] == [401] * 3
            assert guesses[-1] == 429
            assert (await auth.token("app", secret)).status_code == 429, "the wall stands for this address"
