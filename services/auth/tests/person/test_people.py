"""People: seen by administrators, admitted by one, shut out by two."""

import asyncio

import pytest

LI = "person:li-steward"
ZHENG = "person:zheng-applicant"


class TestListing:
    @pytest.mark.parametrize("role", ["system_admin", "security_admin", "audit_admin"])
    async def test_shows_everybody_with_roles(self, auth, role):
        found = (await auth.call("GET", "/api/auth/people", role)).json()["items"]
        assert len(found) == 7
        assert {person["id"]: person["roles"] for person in found}["person:zhou-owner"] == [
            "approver",
            "owner",
        ]

    async def test_can_ask_for_those_who_wait(self, auth):
        await auth.change(f"UPDATE auth.person SET status = 'pending' WHERE id = '{LI}'")
        found = (await auth.call("GET", "/api/auth/people?status=pending", "system_admin")).json()["items"]
        assert [person["id"] for person in found] == [LI]

    @pytest.mark.parametrize("role", ["steward", "owner", "approver", "source_contact", "applicant"])
    async def test_is_for_administrators(self, auth, role):
        assert (await auth.call("GET", "/api/auth/people", role)).status_code == 403

    @pytest.mark.parametrize(("name", "count"), [("李", 1), ("治理", 1), ("%", 0), ("_", 0), ("没有", 0)])
    async def test_can_ask_by_name(self, auth, name, count):
        answer = await auth.call("GET", "/api/auth/people", "system_admin", params={"name": name})
        assert len(answer.json()["items"]) == count


class TestOne:
    @pytest.mark.parametrize("role", ["system_admin", "security_admin", "audit_admin"])
    async def test_is_shown_to_administrators(self, auth, role):
        found = (await auth.call("GET", f"/api/auth/people/{LI}", role)).json()
        assert (found["id"], found["name"], found["roles"]) == (LI, "李治理", ["steward"])

    async def test_and_to_nobody_else(self, auth):
        assert (await auth.call("GET", f"/api/auth/people/{LI}", "steward", who=LI)).status_code == 403
        assert (await auth.call("GET", "/api/auth/people/person:x", "system_admin")).status_code == 404


class TestContacts:
    @pytest.mark.parametrize("role", ["steward", "owner"])
    async def test_are_those_who_deliver_or_mend_and_work_here_now(self, auth, role):
        found = (await auth.call("GET", "/api/auth/people/contacts", role)).json()["items"]
        assert [one["id"] for one in found] == [LI, "person:wu-contact", "person:zhou-owner"]
        assert set(found[0]) == {"id", "name", "organisation", "roles"}
        await auth.change(f"UPDATE auth.person SET status = 'disabled' WHERE id = '{LI}'")
        path = "/api/auth/people/contacts?limit=1"
        first = (await auth.call("GET", path, role)).json()
        second = (await auth.call("GET", f"{path}&cursor={first['next']}", role)).json()
        assert [one["id"] for one in first["items"] + second["items"]] == [
            "person:wu-contact",
            "person:zhou-owner",
        ]

    async def test_can_be_asked_for_by_organisation(self, auth):
        asked = {"organisation": "示范区教育局"}
        found = (await auth.call("GET", "/api/auth/people/contacts", "steward", params=asked)).json()["items"]
        assert [one["id"] for one in found] == ["person:wu-contact"]

    @pytest.mark.parametrize("role", ["applicant", "source_contact", "approver", "system_admin"])
    async def test_are_nobody_elses_business(self, auth, role):
        assert (await auth.call("GET", "/api/auth/people/contacts", role)).status_code == 403


class TestAdmittingAndDisabling:
    @pytest.mark.parametrize("act", ["admit", "disable"])
    async def test_never_oneself(self, auth, act):
        answer = await auth.call("POST", f"/api/auth/people/{LI}/{act}", "system_admin", who=LI, json={})
        assert answer.status_code == 403

    async def test_admitting_is_for_the_system_administrator(self, auth):
        for role in ("security_admin", "audit_admin", "steward"):
            answer = await auth.call("POST", f"/api/auth/people/{LI}/admit", role, json={})
            assert answer.status_code == 403

    async def test_admitting_keeps_the_place_that_is_not_given(self, auth):
        before = (await auth.rows(f"SELECT organisation FROM auth.person WHERE id = '{LI}'"))[0]
        body = {"district": "310101"}
        answer = await auth.call("POST", f"/api/auth/people/{LI}/admit", "system_admin", json=body)
        assert (answer.json()["organisation"], answer.json()["district"]) == (
            before["organisation"],
            "310101",
        )

    async def test_nobody_is_a_404(self, auth):
        assert (
            await auth.call("POST", "/api/auth/people/person:x/disable", "system_admin")
        ).status_code == 404

    async def test_is_written_to_the_trail_for_the_auditor(self, auth):
        await auth.call(
            "POST", f"/api/auth/people/{LI}/disable", "security_admin", who="person:qian-security"
        )
        newest = (await auth.call("GET", "/api/auth/trail", "audit_admin")).json()["items"][0]
        assert (newest["kind"], newest["by"], newest["about"]) == (
            "person.disabled",
            "person:qian-security",
            LI,
        )
        assert (await auth.call("GET", "/api/auth/trail", "system_admin")).status_code == 403


class TestDisablingAnOwner:
    async def owned(self, auth, name="区数据看板"):
        made = await auth.call("POST", "/api/auth/apps", "applicant", who=ZHENG, json={"name": name})
        return made.json()

    async def disable(self, auth):
        return await auth.call("POST", f"/api/auth/people/{ZHENG}/disable", "security_admin")

    async def test_disables_his_applications_with_him_and_says_which(self, auth):
        first, second = await self.owned(auth), await self.owned(auth)
        other = await auth.new_client("other")
        answer = await self.disable(auth)
        assert answer.json()["disabled_clients"] == sorted([first["client_id"], second["client_id"]])
        for app in (first, second):
            assert (await auth.token(app["client_id"], app["client_secret"])).status_code == 401
        assert (await auth.token("other", other)).status_code == 200

    async def test_is_announced_as_if_each_were_disabled_alone(self, auth):
        app = (await self.owned(auth))["client_id"]
        await self.disable(auth)
        assert [one["client_id"] for one in await auth.announced("access.token.revoked.v1")] == [app]
        said = await auth.announced("access.client.changed.v1")
        assert [(one["client_id"], one["status"]) for one in said] == [(app, "active"), (app, "disabled")]

    async def test_all_of_it_or_nothing(self, auth):
        app = await self.owned(auth)
        await auth.change("ALTER TABLE bus.log ADD CONSTRAINT stop CHECK (name <> 'access.token.revoked.v1')")
        assert (await self.disable(auth)).status_code == 500
        assert await auth.rows(f"SELECT status FROM auth.person WHERE id = '{ZHENG}'") == [
            {"status": "active"}
        ]
        assert (await auth.token(app["client_id"], app["client_secret"])).status_code == 200

    async def test_admitting_him_again_enables_none_silently(self, auth):
        app = await self.owned(auth)
        await self.disable(auth)
        path = f"/api/auth/clients/{app['client_id']}/enable"
        too_early = await auth.call("POST", path, "system_admin")
        assert (too_early.status_code, too_early.json()["type"]) == (
            409,
            "urn:edulake:problem:owner-not-active",
        )
        await auth.call("POST", f"/api/auth/people/{ZHENG}/admit", "system_admin", json={})
        assert (await auth.token(app["client_id"], app["client_secret"])).status_code == 401
        assert (await auth.call("POST", path, "system_admin")).status_code == 200
        assert (await auth.token(app["client_id"], app["client_secret"])).status_code == 200

    async def test_who_is_shut_out_or_unknown_answers_for_no_new_one(self, auth):
        await self.disable(auth)
        own = await auth.call("POST", "/api/auth/apps", "applicant", who=ZHENG, json={"name": "看板"})
        assert own.status_code == 409
        for owner in (ZHENG, "person:nobody"):
            body = {"client_id": "demo", "name": "演示", "organisation": "市教委", "owner": owner}
            assert (
                await auth.call("POST", "/api/auth/clients", "system_admin", json=body)
            ).status_code == 409

    async def test_while_he_registers_leaves_none_that_works(self, auth):
        await asyncio.gather(*(self.owned(auth, f"看板{n}") for n in range(4)), self.disable(auth))
        assert await auth.rows("SELECT client_id FROM auth.client WHERE status = 'active'") == []


class TestNames:
    async def ask(self, auth, *ids, role="service", who="service:portal"):
        return await auth.call("POST", "/internal/subjects/names", role, who=who, json={"ids": list(ids)})

    async def test_are_told_by_id_to_our_services(self, auth):
        await auth.new_client("demo")
        answer = await self.ask(auth, LI, "client:demo", "person:nobody", "service:auth", "demo")
        assert answer.json() == {"names": {LI: "李治理", "client:demo": "demo"}}
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("role", ["system_admin", "audit_admin", "steward", "applicant"])
    async def test_are_not_told_to_people(self, auth, role):
        assert (await self.ask(auth, LI, role=role, who="person:tester")).status_code == 403

    async def test_are_asked_in_lists_of_at_most_two_hundred(self, auth):
        assert (await self.ask(auth, *[LI] * 201)).status_code == 422
        assert (await self.ask(auth)).json() == {"names": {}}


class TestMe:
    async def test_says_who_the_gateway_says_i_am(self, auth):
        answer = await auth.call("GET", "/api/auth/me", "steward", who=LI)
        assert (answer.json()["id"], answer.json()["roles"]) == (LI, ["steward"])
