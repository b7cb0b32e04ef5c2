"""The demo clients: made once, written for their owner only, never in production."""

import json

import pytest
from edulake.auth.bootstrap import DEV_CLIENTS, bootstrap
from edulake.auth.client.schemas import ClientIn
from edulake.auth.client.service import ClientIdTaken
from edulake.auth.command import CommandRefused, first_admin, make_client, pending

EXPECTED = {
    "edulake-cli": ["source_contact", "steward"],
    "demo-app": ["applicant"],
    "demo-owner": ["approver", "owner"],
    "demo-security": ["security_admin"],
    "demo-system": ["system_admin"],
    "demo-audit": ["audit_admin"],
    "loadtest": ["applicant"],
}


@pytest.fixture
def file(home):
    return home / "secrets" / "clients.json"


class TestBootstrap:
    async def test_makes_the_clients_with_their_roles(self, auth, file):
        await bootstrap(auth.settings, file)
        found = (await auth.call("GET", "/api/auth/clients", "audit_admin")).json()["items"]
        assert {client["client_id"]: client["roles"] for client in found} == EXPECTED

    async def test_every_secret_in_the_file_works(self, auth, file):
        await bootstrap(auth.settings, file)
        secrets = json.loads(file.read_text())
        assert set(secrets) == set(EXPECTED)
        for client_id, secret in secrets.items():
            token = (await auth.token(client_id, secret)).json()
            assert token["scope"].split() == EXPECTED[client_id]

    async def test_the_file_is_for_its_owner_only(self, auth, file):
        await bootstrap(auth.settings, file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in file.parent.glob("clients.json*")] == ["clients.json"]

    async def test_again_changes_nothing(self, auth, file):
        await bootstrap(auth.settings, file)
        before, rows = file.read_text(), await auth.rows("SELECT * FROM auth.client_secret ORDER BY id")
        await bootstrap(auth.settings, file)
        assert file.read_text() == before
        assert await auth.rows("SELECT * FROM auth.client_secret ORDER BY id") == [
            {**row, "last_used_at": None} for row in rows
        ]

    async def test_a_lost_file_is_written_again_with_new_secrets_and_the_old_ones_end(self, auth, file):
        await bootstrap(auth.settings, file)
        old = json.loads(file.read_text())
        file.unlink()
        await bootstrap(auth.settings, file)
        new = json.loads(file.read_text())
        assert (await auth.token("demo-app", new["demo-app"])).status_code == 200
        assert (await auth.token("demo-app", old["demo-app"])).status_code == 401

    async def test_keeps_roles_that_an_administrator_changed(self, auth, file):
        await bootstrap(auth.settings, file)
        await auth.set_roles("clients", "demo-app", "owner")
        await bootstrap(auth.settings, file)
        assert (await auth.call("GET", "/api/auth/clients/demo-app", "audit_admin")).json()["roles"] == [
            "owner"
        ]

    async def test_refuses_production(self, auth, file):
        production = auth.settings.model_copy(update={"env": "production"})
        with pytest.raises(RuntimeError, match="refuses production"):
            await bootstrap(production, file)
        assert not file.exists()
        assert len(DEV_CLIENTS) == 7


class TestOperatorCommands:
    async def test_make_client_writes_the_secret_for_its_owner_only(self, auth, home):
        file = home / "new.secret"
        wanted = ClientIn(client_id="made", name="新应用", organisation="市教委")
        await make_client(auth.settings, auth.database, wanted, file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert (await auth.token("made", file.read_text())).status_code == 200

    async def test_make_client_never_overwrites_and_leaves_nothing_behind(self, auth, home):
        wanted = ClientIn(client_id="made", name="新应用", organisation="市教委")
        await make_client(auth.settings, auth.database, wanted, home / "a")
        with pytest.raises(FileExistsError):
            await make_client(auth.settings, auth.database, wanted, home / "a")
        with pytest.raises(ClientIdTaken):
            await make_client(auth.settings, auth.database, wanted, home / "b")
        assert not (home / "b").exists()

    async def test_the_first_administrator_is_admitted_and_the_second_refused(self, open_auth):
        who = {"issuer": "https://idp.example", "name": "赵", "role": "system_admin"}
        async with open_auth(oidc_issuer="https://idp.example") as auth:
            admitted = await first_admin(auth.settings, auth.database, subject="1", **who)
            with pytest.raises(CommandRefused, match="already"):
                await first_admin(auth.settings, auth.database, subject="2", **who)
            found = (await auth.call("GET", "/api/auth/people", "audit_admin")).json()["items"]
        assert [(person["id"], person["roles"], person["status"]) for person in found] == [
            (admitted, ["system_admin"], "active")
        ]


class TestWhoWaits:
    async def test_is_told_with_what_first_admin_needs_and_without_a_name(self, auth):
        assert await pending(auth.database) == "nobody waits"
        await auth.change(
            "INSERT INTO auth.person (id, issuer, subject, name, status, created_at) "
            "VALUES ('person:new', 'https://idp.example', 'ywtb:t1.x', '叶测试', 'pending', '2026-12-01T08:00Z')"
        )
        assert await pending(auth.database) == "2026-12-01 08:00 https://idp.example ywtb:t1.x"
