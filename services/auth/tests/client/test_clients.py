"""Clients: who registers, sees, rotates, disables; a secret is shown once."""

from datetime import datetime, timedelta

import pytest
from edulake.common.clock import now

FIELDS = {
    "client_id",
    "name",
    "organisation",
    "district",
    "roles",
    "status",
    "owner",
    "secrets",
    "key_ids",
    "created_at",
}
APP = {"name": "区数据看板"}


async def new_app(auth, who="person:zheng-applicant"):
    answer = await auth.call("POST", "/api/auth/apps", "applicant", who=who, json=APP)
    assert answer.status_code == 201, answer.text
    return answer.json()


class TestRegistering:
    async def test_gives_the_secret_once(self, auth):
        body = {"client_id": "demo", "name": "演示", "organisation": "市教委"}
        made = await auth.call("POST", "/api/auth/clients", "system_admin", json=body)
        assert made.headers["cache-control"] == "no-store"
        assert set(made.json()) == FIELDS | {"client_secret"}
        shown = await auth.call("GET", "/api/auth/clients/demo", "system_admin")
        assert set(shown.json()) == FIELDS
        assert made.json()["client_secret"] not in shown.text

    async def test_gives_no_roles_because_another_administrator_does(self, auth):
        await auth.new_client("demo")
        assert (await auth.call("GET", "/api/auth/clients/demo", "system_admin")).json()["roles"] == []

    async def test_is_announced(self, auth):
        await auth.new_client("demo")
        assert await auth.announced("access.client.changed.v1") == [
            {"client_id": "demo", "status": "active", "organisation": "示范区教育局"}
        ]

    async def test_a_taken_id_is_a_conflict(self, auth):
        await auth.new_client("demo")
        body = {"client_id": "demo", "name": "演示", "organisation": "市教委"}
        assert (await auth.call("POST", "/api/auth/clients", "system_admin", json=body)).status_code == 409

    @pytest.mark.parametrize("client_id", ["A", "x", "-x", "a b", "a'b", "a" * 64, "../x", "甲乙"])
    async def test_an_id_is_plain(self, auth, client_id):
        body = {"client_id": client_id, "name": "演示", "organisation": "市教委"}
        assert (await auth.call("POST", "/api/auth/clients", "system_admin", json=body)).status_code == 422

    @pytest.mark.parametrize("role", ["security_admin", "audit_admin", "steward", "applicant"])
    async def test_is_for_the_system_administrator(self, auth, role):
        body = {"client_id": "demo", "name": "演示", "organisation": "市教委"}
        assert (await auth.call("POST", "/api/auth/clients", role, json=body)).status_code == 403

    async def test_the_database_holds_no_secret(self, auth):
        secret = await auth.new_client("demo")
        [row] = await auth.rows("SELECT digest FROM auth.client_secret")
        assert secret not in row["digest"]
        assert row["digest"].startswith("s1.")


class TestRotatingSecrets:
    async def test_old_and_new_both_work_during_the_overlap(self, auth):
        old = await auth.new_client("demo")
        new = (await auth.call("POST", "/api/auth/clients/demo/secrets", "system_admin")).json()
        assert (await auth.token("demo", old)).status_code == 200
        assert (await auth.token("demo", new["client_secret"])).status_code == 200
        until = datetime.fromisoformat(new["others_until"])
        assert abs(until - now() - timedelta(days=7)) < timedelta(minutes=1)

    async def test_the_old_one_ends_with_the_overlap(self, auth):
        old = await auth.new_client("demo")
        new = (await auth.call("POST", "/api/auth/clients/demo/secrets", "system_admin")).json()
        await auth.change("UPDATE auth.client_secret SET expires_at = now() WHERE expires_at IS NOT NULL")
        assert (await auth.token("demo", old)).status_code == 401
        assert (await auth.token("demo", new["client_secret"])).status_code == 200

    async def test_a_second_rotation_does_not_lengthen_the_life_of_the_first(self, auth):
        await auth.new_client("demo")
        await auth.call("POST", "/api/auth/clients/demo/secrets", "system_admin")
        await auth.change(
            "UPDATE auth.client_secret SET expires_at = now() + interval '3 years' WHERE expires_at IS NOT NULL"
        )
        before = await auth.rows("SELECT min(expires_at) AS first FROM auth.client_secret")
        await auth.change(
            "UPDATE auth.client_secret SET expires_at = now() + interval '1 hour' WHERE expires_at IS NOT NULL"
        )
        await auth.call("POST", "/api/auth/clients/demo/secrets", "system_admin")
        after = await auth.rows("SELECT min(expires_at) AS first FROM auth.client_secret")
        assert after[0]["first"] < now() + timedelta(hours=1, minutes=1) < before[0]["first"]

    async def test_at_most_three_are_alive(self, auth):
        await auth.new_client("demo")
        path = "/api/auth/clients/demo/secrets"
        answers = [(await auth.call("POST", path, "system_admin")).status_code for _ in range(3)]
        assert answers == [201, 201, 409]

    async def test_one_can_be_ended_at_once(self, auth):
        old = await auth.new_client("demo")
        shown = (await auth.call("GET", "/api/auth/clients/demo", "system_admin")).json()
        path = f"/api/auth/clients/demo/secrets/{shown['secrets'][0]['id']}"
        assert (await auth.call("DELETE", path, "system_admin")).status_code == 204
        assert (await auth.token("demo", old)).status_code == 401
        assert (await auth.call("DELETE", path, "system_admin")).status_code == 404

    async def test_survives_the_rotation_of_the_pepper(self, auth):
        secret = await auth.new_client("demo")
        auth.app.state.resources.keys.rotate("token")
        assert (await auth.token("demo", secret)).status_code == 200

    async def test_a_secret_planted_in_the_database_without_the_pepper_never_works(self, auth):
        await auth.new_client("demo")
        await auth.change("UPDATE auth.client_secret SET digest = 's1.unknown-key.AAAA'")
        assert (await auth.token("demo", "anything")).status_code == 401


class TestDisabling:
    async def test_and_enabling_again(self, auth):
        secret = await auth.new_client("demo")
        disabled = await auth.call("POST", "/api/auth/clients/demo/disable", "system_admin")
        assert disabled.json()["status"] == "disabled"
        assert (await auth.token("demo", secret)).status_code == 401
        await auth.call("POST", "/api/auth/clients/demo/enable", "system_admin")
        assert (await auth.token("demo", secret)).status_code == 200
        said = [event["status"] for event in await auth.announced("access.client.changed.v1")]
        assert said == ["active", "disabled", "active"]

    async def test_twice_is_announced_once(self, auth):
        await auth.new_client("demo")
        for _ in range(2):
            await auth.call("POST", "/api/auth/clients/demo/disable", "system_admin")
        assert len(await auth.announced("access.token.revoked.v1")) == 1

    @pytest.mark.parametrize("role", ["audit_admin", "steward", "applicant", "owner"])
    async def test_is_for_administrators(self, auth, role):
        await auth.new_client("demo")
        for act in ("disable", "enable"):
            assert (await auth.call("POST", f"/api/auth/clients/demo/{act}", role)).status_code == 403


class TestApplicationsOfAPerson:
    async def test_come_with_a_secret_the_role_applicant_and_their_owner(self, auth):
        made = await new_app(auth)
        assert (made["roles"], made["owner"]) == (["applicant"], "person:zheng-applicant")
        token = await auth.token(made["client_id"], made["client_secret"])
        assert token.json()["scope"] == "applicant"

    async def test_are_listed_for_their_owner_only(self, auth):
        mine = await new_app(auth)
        theirs = await new_app(auth, who="person:wu-contact")
        for path in ("/api/auth/apps", "/api/auth/clients"):
            found = (await auth.call("GET", path, "applicant", who="person:zheng-applicant")).json()["items"]
            assert [item["client_id"] for item in found] == [mine["client_id"]]
        path = f"/api/auth/clients/{theirs['client_id']}"
        assert (await auth.call("GET", path, "applicant", who="person:zheng-applicant")).status_code == 404

    @pytest.mark.parametrize(("method", "path"), [("POST", "secrets"), ("PUT", "keys")])
    async def test_have_credentials_that_only_owner_and_system_administrator_touch(self, auth, method, path):
        made = await new_app(auth)
        address = f"/api/auth/clients/{made['client_id']}/{path}"
        body = {"keys": []} if path == "keys" else None
        stranger = await auth.call(method, address, "applicant", who="person:other", json=body)
        auditor = await auth.call(method, address, "audit_admin", who="person:sun-audit", json=body)
        security = await auth.call(method, address, "security_admin", who="person:qian-security", json=body)
        itself = await auth.call(method, address, "applicant", who=f"client:{made['client_id']}", json=body)
        owner = await auth.call(method, address, "applicant", who="person:zheng-applicant", json=body)
        codes = [answer.status_code for answer in (stranger, auditor, security, itself)]
        assert codes == [404, 403, 403, 403]
        assert owner.is_success

    @pytest.mark.parametrize("role", ["system_admin", "security_admin", "audit_admin"])
    async def test_are_found_by_their_owner_among_all(self, auth, role):
        mine, _ = await new_app(auth), await new_app(auth, "person:wu-contact")
        asked = {"owner": "person:zheng-applicant"}
        found = (await auth.call("GET", "/api/auth/clients", role, params=asked)).json()["items"]
        assert [one["client_id"] for one in found] == [mine["client_id"]]

    async def test_of_others_are_not_found_by_asking_for_their_owner(self, auth):
        await new_app(auth)
        asked, other = {"owner": "person:zheng-applicant"}, "person:wu-contact"
        answer = await auth.call("GET", "/api/auth/clients", "applicant", who=other, params=asked)
        assert answer.json()["items"] == []

    async def test_have_a_limit(self, open_auth):
        async with open_auth(apps_per_owner=1) as auth:
            await new_app(auth)
            again = await auth.call(
                "POST", "/api/auth/apps", "applicant", who="person:zheng-applicant", json=APP
            )
            assert again.status_code == 409

    async def test_are_not_registered_by_programs(self, auth):
        answer = await auth.call("POST", "/api/auth/apps", "applicant", who="client:demo", json=APP)
        assert answer.status_code == 403

    async def test_page_in_order(self, auth):
        names = sorted([(await new_app(auth))["client_id"] for _ in range(5)])
        seen, cursor = [], None
        while True:
            query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
            page = (
                await auth.call("GET", f"/api/auth/apps{query}", "applicant", who="person:zheng-applicant")
            ).json()
            seen += [item["client_id"] for item in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
        assert seen == names


class TestWithoutASignedContext:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/auth/clients"),
            ("POST", "/api/auth/clients"),
            ("GET", "/api/auth/people"),
            ("GET", "/api/auth/apps"),
            ("GET", "/api/auth/sessions"),
            ("GET", "/api/auth/trail"),
            ("POST", "/api/auth/revocations"),
            ("POST", "/internal/sessions/resolve"),
        ],
    )
    async def test_nothing_is_told(self, auth, method, path):
        assert (await auth.http.request(method, path, json={})).status_code == 401
