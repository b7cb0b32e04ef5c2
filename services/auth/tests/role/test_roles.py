"""Who may hold what, who may grant it, and that the database itself keeps the rules."""

import asyncio
import itertools

import pytest
from edulake.auth.role import repository
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

ADMINISTRATORS = ("system_admin", "security_admin", "audit_admin")
LI = "person:li-steward"


async def held(auth, holder):
    found = await auth.rows(f"SELECT role FROM auth.role_assignment WHERE holder = '{holder}'")
    return sorted(row["role"] for row in found)


class TestTheThreeAdministrators:
    @pytest.mark.parametrize("pair", list(itertools.permutations(ADMINISTRATORS, 2)), ids="+".join)
    async def test_exclude_each_other(self, auth, pair):
        answer = await auth.set_roles("people", LI, *pair)
        assert (answer.status_code, answer.json()["type"]) == (
            409,
            "urn:edulake:problem:administrators-exclude",
        )
        assert await held(auth, LI) == ["steward"]

    async def test_exclude_each_other_for_clients_too(self, auth):
        await auth.new_client("demo", "audit_admin")
        answer = await auth.set_roles("clients", "demo", "audit_admin", "system_admin")
        assert answer.status_code == 409

    async def test_one_office_can_be_changed_for_another_in_one_step(self, auth):
        assert (await auth.set_roles("people", "person:sun-audit", "system_admin")).status_code == 200

    async def test_exclude_each_other_in_the_database_itself(self, auth):
        async with auth.database.transaction() as session:
            await repository.act_as(session, "person:x", "")
            await repository.grant(session, LI, "system_admin", by="person:x")
        with pytest.raises(IntegrityError, match="one_administrator_role_each"):
            async with auth.database.transaction() as session:
                await repository.act_as(session, "person:x", "")
                await repository.grant(session, LI, "audit_admin", by="person:x")

    async def test_exclude_each_other_when_two_grants_race(self, auth):
        wanted = [("system_admin",), ("security_admin",), ("audit_admin",)] * 4
        answers = await asyncio.gather(*(auth.set_roles("people", LI, *roles) for roles in wanted))
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert len(set(await held(auth, LI)) & set(ADMINISTRATORS)) == 1


class TestGranting:
    async def test_sets_exactly_the_wanted_roles(self, auth):
        answer = await auth.set_roles("people", LI, "owner", "approver")
        assert answer.json() == {"holder": LI, "roles": ["approver", "owner"]}
        assert await held(auth, LI) == ["approver", "owner"]

    async def test_never_to_oneself(self, auth):
        answer = await auth.set_roles("people", "person:qian-security", "security_admin", "approver")
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:edulake:problem:own-roles")
        assert await held(auth, "person:qian-security") == ["security_admin"]

    async def test_never_to_oneself_as_a_client(self, auth):
        await auth.new_client("demo", "security_admin")
        answer = await auth.set_roles("clients", "demo", "security_admin", "owner", who="client:demo")
        assert answer.status_code == 403

    async def test_never_to_a_program_of_ones_own(self, auth):
        await auth.new_client("mine", owner="person:qian-security")
        assert (await auth.set_roles("clients", "mine", "approver")).status_code == 403
        assert (await auth.set_roles("clients", "mine", "approver", who="person:other")).status_code == 200

    @pytest.mark.parametrize("role", ADMINISTRATORS)
    async def test_never_an_office_to_a_program_that_somebody_owns(self, auth, role):
        await auth.new_client("owned", owner="person:li-steward")
        answer = await auth.set_roles("clients", "owned", role)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:edulake:problem:owned-client")

    @pytest.mark.parametrize(
        "role", ["system_admin", "audit_admin", "steward", "owner", "approver", "source_contact", "applicant"]
    )
    async def test_only_by_the_security_administrator(self, auth, role):
        answer = await auth.call("POST", f"/api/auth/people/{LI}/roles", role, json={"roles": ["owner"]})
        assert answer.status_code == 403
        assert await held(auth, LI) == ["steward"]

    @pytest.mark.parametrize("role", ["service", "root", "", "steward'; --"])
    async def test_only_roles_that_exist(self, auth, role):
        assert (await auth.set_roles("people", LI, role)).status_code == 422

    async def test_only_to_holders_that_exist(self, auth):
        assert (await auth.set_roles("people", "person:nobody", "owner")).status_code == 404
        assert (await auth.set_roles("clients", "nobody", "owner")).status_code == 404

    async def test_holds_in_the_next_resolve_of_a_session(self, auth):
        browser = auth.browser()
        await browser.log_in("li-steward")
        await auth.set_roles("people", LI, "applicant")
        found = await auth.call(
            "POST",
            "/internal/sessions/resolve",
            "service",
            who="service:portal",
            json={"cookie": browser.cookies["__Host-edulake"]},
        )
        assert found.json()["subject"]["roles"] == ["applicant"]


class TestTheRecord:
    async def test_tells_who_changed_what_and_why(self, auth):
        body = {"roles": ["owner"], "reason": "岗位调整"}
        await auth.call(
            "POST", f"/api/auth/people/{LI}/roles", "security_admin", who="person:qian-security", json=body
        )
        answer = await auth.call("GET", f"/api/auth/role-changes?holder={LI}", "audit_admin")
        newest = answer.json()["items"][:2]
        assert [(item["role"], item["change"]) for item in newest] == [
            ("owner", "granted"),
            ("steward", "withdrawn"),
        ]
        assert {(item["by"], item["reason"]) for item in newest} == {("person:qian-security", "岗位调整")}
        assert all(len(item["trace_id"]) == 32 for item in newest)

    async def test_pages_without_gap_or_repeat(self, auth):
        seen, cursor = [], None
        while True:
            page = (
                await auth.call(
                    "GET",
                    "/api/auth/role-changes?limit=3" + (f"&cursor={cursor}" if cursor else ""),
                    "audit_admin",
                )
            ).json()
            seen += [(item["holder"], item["role"]) for item in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
        assert len(seen) == len(set(seen)) == 8

    async def test_a_change_without_an_actor_does_not_happen(self, auth):
        with pytest.raises(IntegrityError, match="needs an actor"):
            async with auth.database.transaction() as session:
                await repository.grant(session, LI, "owner", by="person:x")

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE auth.role_change SET by = 'person:nobody'",
            "DELETE FROM auth.role_change",
            "TRUNCATE auth.role_change",
            "UPDATE auth.trail SET outcome = 'x'",
            "DELETE FROM auth.trail",
        ],
    )
    async def test_is_never_rewritten(self, auth, statement):
        with pytest.raises(DBAPIError, match="only added"):
            async with auth.database.transaction() as session:
                await session.execute(text(statement))

    async def test_an_assignment_is_not_edited_around_the_record(self, auth):
        with pytest.raises(IntegrityError, match="not edited"):
            async with auth.database.transaction() as session:
                await session.execute(text("UPDATE auth.role_assignment SET role = 'owner'"))

    @pytest.mark.parametrize("role", ["system_admin", "steward", "applicant"])
    async def test_is_for_the_security_and_audit_administrators(self, auth, role):
        assert (await auth.call("GET", "/api/auth/role-changes", role)).status_code == 403
