"""A client that holds an administrator's office: nobody else comes to its credentials."""

import asyncio

import pytest
from edulake.auth.command import CommandRefused, new_secret
from joserfc.jwk import OKPKey

OFFICES = ("system_admin", "security_admin", "audit_admin")
CREDENTIALS = [("POST", "secrets"), ("PUT", "keys"), ("DELETE", "secrets/{secret}")]


async def in_office(auth, role):
    """A client with this office, and the secret that whoever registered it was shown."""
    return await auth.new_client("demo", role)


class TestGivingAnOffice:
    @pytest.mark.parametrize("role", OFFICES)
    async def test_voids_the_secret_its_creator_was_shown(self, auth, role):
        secret = await auth.new_client("demo")
        assert (await auth.token("demo", secret)).status_code == 200
        assert (await auth.set_roles("clients", "demo", role)).json()["credentials_void"] is True
        assert (await auth.token("demo", secret)).status_code == 401

    async def test_voids_the_keys_too(self, auth):
        await auth.new_client("demo")
        keys = {"keys": [OKPKey.generate_key("Ed25519").as_dict(private=False)]}
        put = await auth.call("PUT", "/api/auth/clients/demo/keys", "system_admin", json=keys)
        assert len(put.json()["key_ids"]) == 1
        await auth.set_roles("clients", "demo", "audit_admin")
        shown = (await auth.call("GET", "/api/auth/clients/demo", "audit_admin")).json()
        assert (shown["key_ids"], shown["secrets"]) == ([], [])

    async def test_is_written_to_the_trail(self, auth):
        await in_office(auth, "security_admin")
        kinds = [row["kind"] for row in await auth.rows("SELECT kind FROM auth.trail ORDER BY id")]
        assert kinds[-1] == "client.credentials-voided"

    async def test_any_other_role_leaves_them_and_so_does_an_office_kept(self, auth):
        secret = await auth.new_client("demo")
        assert (await auth.set_roles("clients", "demo", "approver")).json()["credentials_void"] is False
        assert (await auth.token("demo", secret)).status_code == 200
        await auth.set_roles("clients", "demo", "audit_admin")
        assert (await auth.set_roles("clients", "demo", "audit_admin", "steward")).json()[
            "credentials_void"
        ] is False

    async def test_a_refused_one_voids_nothing(self, auth):
        secret = await auth.new_client("demo")
        assert (await auth.set_roles("clients", "demo", "system_admin", "audit_admin")).status_code == 409
        assert (await auth.token("demo", secret)).status_code == 200

    async def test_in_the_moment_of_a_login_gives_the_old_secret_no_token_with_it(self, auth):
        secret = await auth.new_client("demo")
        answers = await asyncio.gather(
            *(auth.token("demo", secret) for _ in range(6)),
            auth.set_roles("clients", "demo", "security_admin"),
            *(auth.token("demo", secret) for _ in range(6)),
        )
        scopes = {
            answer.json().get("scope", "") for answer in answers if answer.request.url.path == "/oauth/token"
        }
        assert scopes == {""}


class TestCredentialsOfAnOffice:
    @pytest.mark.parametrize("role", OFFICES)
    @pytest.mark.parametrize(("method", "path"), CREDENTIALS)
    async def test_are_not_for_the_system_administrator(self, auth, home, role, method, path):
        await in_office(auth, role)
        await new_secret(auth.settings, auth.database, "demo", home / "demo.secret")
        shown = (await auth.call("GET", "/api/auth/clients/demo", "system_admin")).json()
        address = f"/api/auth/clients/demo/{path.format(secret=shown['secrets'][0]['id'])}"
        body = {"keys": []} if path == "keys" else None
        answer = await auth.call(method, address, "system_admin", json=body)
        assert (answer.status_code, answer.json()["type"]) == (
            403,
            "urn:edulake:problem:client-holds-office",
        )
        assert (await auth.token("demo", (home / "demo.secret").read_text())).json()["scope"] == role

    async def test_are_the_system_administrators_again_without_the_office(self, auth):
        await in_office(auth, "security_admin")
        await auth.set_roles("clients", "demo", "steward")
        made = await auth.call("POST", "/api/auth/clients/demo/secrets", "system_admin")
        assert (await auth.token("demo", made.json()["client_secret"])).json()["scope"] == "steward"

    async def test_come_from_the_operator_at_the_machine(self, auth, home):
        await in_office(auth, "security_admin")
        file = home / "demo.secret"
        await new_secret(auth.settings, auth.database, "demo", file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert (await auth.token("demo", file.read_text())).json()["scope"] == "security_admin"
        with pytest.raises(FileExistsError):
            await new_secret(auth.settings, auth.database, "demo", file)

    async def test_of_a_client_that_is_not_there_leave_no_file(self, auth, home):
        home.mkdir(exist_ok=True)
        with pytest.raises(CommandRefused, match="no client"):
            await new_secret(auth.settings, auth.database, "none", home / "none.secret")
        assert not (home / "none.secret").exists()
