"""The catalogue from outside: a publication appears, is found, applied for, decided, granted, revoked."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from edulake.catalog.grant.service import expire_ended
from edulake.common.clock import now
from sqlalchemy import text

from .conftest import Headers, publish

APPLICATION = {
    "resource_id": "api:schools",
    "client_id": "demo-app",
    "purpose": "学区地图展示学校位置",
    "scenario": "市民查询学校",
    "days": 30,
    "promises": True,
}


async def events(app: Any, name: str) -> list[dict[str, Any]]:
    async with app.state.resources.database.read() as session:
        query = text("SELECT payload FROM bus.log WHERE name = :name ORDER BY pos")
        return list(await session.scalars(query, {"name": name}))


class TestPublication:
    async def test_a_new_version_updates_and_keeps_code_and_first_date(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any
    ) -> None:
        before = (await client.get("/api/catalog/resources/dataset:school_base", headers=app_headers)).json()
        await publish(app, "school_base", 2, version=2)
        after = (await client.get("/api/catalog/resources/dataset:school_base", headers=app_headers)).json()
        assert (after["published_version"], after["row_count"]) == (2, 20)
        assert (after["code"], after["first_published_at"]) == (before["code"], before["first_published_at"])

    async def test_core_metadata_is_complete(self, client: httpx.AsyncClient, app_headers: Any) -> None:
        """The 13 core elements of 政务信息资源目录编制指南."""
        found = (await client.get("/api/catalog/resources/api:student", headers=app_headers)).json()
        for name in (
            "code",
            "title",
            "organisation",
            "summary",
            "share_type",
            "share_condition",
            "share_way",
        ):
            assert found[name]
        for name in ("open_type", "update_cycle", "items", "related", "first_published_at", "level"):
            assert found[name]
        assert found["approvals"] == ["owner", "security_admin"]

    async def test_an_unknown_resource_is_a_problem(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        assert (await client.get("/api/catalog/resources/api:none", headers=app_headers)).status_code == 404


class TestApply:
    async def test_level_two_needs_the_owner_only_and_makes_a_grant(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, owner: Any
    ) -> None:
        entered = (
            await client.post("/api/catalog/applications", json=APPLICATION, headers=app_headers)
        ).json()
        assert (entered["status"], entered["waiting_for"]) == ("pending", "owner")
        todo = (await client.get("/api/catalog/applications?todo=true", headers=owner)).json()
        assert [item["id"] for item in todo["items"]] == [entered["id"]]
        url = f"/api/catalog/applications/{entered['id']}/decisions"
        decided = (await client.post(url, json={"decision": "approve"}, headers=owner)).json()
        assert decided["status"] == "approved"
        assert decided["grant_id"]
        (event,) = await events(app, "access.grant.changed.v1")
        assert (event["change"], event["api"], event["client_id"]) == ("granted", "schools", "demo-app")
        grants = (await client.get("/api/catalog/grants", headers=app_headers)).json()
        assert [grant["grant_id"] for grant in grants["items"]] == [decided["grant_id"]]

    async def test_personal_data_needs_the_security_administrator_as_well(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, owner: Any, security: Any
    ) -> None:
        wanted = {**APPLICATION, "resource_id": "api:student"}
        entered = (await client.post("/api/catalog/applications", json=wanted, headers=app_headers)).json()
        url = f"/api/catalog/applications/{entered['id']}/decisions"
        assert (await client.post(url, json={"decision": "approve"}, headers=security)).status_code == 403
        first = (await client.post(url, json={"decision": "approve"}, headers=owner)).json()
        assert (first["status"], first["waiting_for"]) == ("pending", "security_admin")
        assert await events(app, "access.grant.changed.v1") == []
        assert (await client.post(url, json={"decision": "approve"}, headers=owner)).status_code == 403
        second = (await client.post(url, json={"decision": "approve"}, headers=security)).json()
        assert second["status"] == "approved"

    async def test_nobody_decides_on_his_own_request(
        self, client: httpx.AsyncClient, as_subject: Headers
    ) -> None:
        both = as_subject("applicant", "owner", id="client:demo-app", audience="catalog")
        entered = (await client.post("/api/catalog/applications", json=APPLICATION, headers=both)).json()
        url = f"/api/catalog/applications/{entered['id']}/decisions"
        refused = await client.post(url, json={"decision": "approve"}, headers=both)
        assert refused.json()["type"] == "urn:edulake:problem:own-application"

    async def test_a_refusal_needs_words_and_makes_no_grant(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, owner: Any
    ) -> None:
        entered = (
            await client.post("/api/catalog/applications", json=APPLICATION, headers=app_headers)
        ).json()
        url = f"/api/catalog/applications/{entered['id']}/decisions"
        assert (await client.post(url, json={"decision": "refuse"}, headers=owner)).status_code == 422
        told = {"decision": "refuse", "reason": "用途不明确，请补充"}
        assert (await client.post(url, json=told, headers=owner)).json()["status"] == "refused"
        assert (await client.post(url, json=told, headers=owner)).status_code == 409
        assert await events(app, "access.grant.changed.v1") == []

    @pytest.mark.parametrize(
        ("change", "where", "status"),
        [
            ({"columns": ["school_code", "estimated_secret"]}, "body.columns", 422),
            ({"districts": ["999999"]}, "body.districts", 422),
            ({"days": 5000}, "body.days", 422),
            ({"promises": False}, "body.promises", 422),
            ({"resource_id": "dataset:school_base"}, "body.resource_id", 422),
            ({"resource_id": "api:none"}, "path.resource_id", 404),
            ({"purpose": "短"}, "body.purpose", 422),
        ],
    )
    async def test_what_cannot_be_granted_is_refused_with_its_place(
        self, client: httpx.AsyncClient, app_headers: Any, change: dict[str, Any], where: str, status: int
    ) -> None:
        answer = await client.post(
            "/api/catalog/applications", json={**APPLICATION, **change}, headers=app_headers
        )
        assert (answer.status_code, answer.json()["where"]) == (status, where)

    async def test_one_pending_application_at_a_time_and_withdrawing_frees_it(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        first = (await client.post("/api/catalog/applications", json=APPLICATION, headers=app_headers)).json()
        again = await client.post("/api/catalog/applications", json=APPLICATION, headers=app_headers)
        assert again.status_code == 409
        taken = await client.post(f"/api/catalog/applications/{first['id']}/withdraw", headers=app_headers)
        assert taken.json()["status"] == "withdrawn"
        again = await client.post("/api/catalog/applications", json=APPLICATION, headers=app_headers)
        assert again.status_code == 201

    async def test_a_stranger_sees_nothing_of_it(
        self, client: httpx.AsyncClient, app_headers: Any, as_subject: Headers
    ) -> None:
        entered = (
            await client.post("/api/catalog/applications", json=APPLICATION, headers=app_headers)
        ).json()
        stranger = as_subject("applicant", id="client:other", audience="catalog")
        assert (
            await client.get(f"/api/catalog/applications/{entered['id']}", headers=stranger)
        ).status_code == 404
        assert (
            await client.get("/api/catalog/grants?client_id=demo-app", headers=stranger)
        ).status_code == 403


class TestQuota:
    """What the last approver says about calls; the settings speak where nobody does."""

    @staticmethod
    async def decide(client: httpx.AsyncClient, app_headers: Any, steps: list[Any], **said: int) -> Any:
        """Apply for `student` (two steps) or `schools` (one) and take the steps; the last one says the quota."""
        api = "api:student" if len(steps) == 2 else "api:schools"
        wanted = {**APPLICATION, "resource_id": api}
        entered = (await client.post("/api/catalog/applications", json=wanted, headers=app_headers)).json()
        url = f"/api/catalog/applications/{entered['id']}/decisions"
        for headers in steps[:-1]:
            await client.post(url, json={"decision": "approve"}, headers=headers)
        return await client.post(url, json={"decision": "approve", **said}, headers=steps[-1])

    @staticmethod
    async def quotas(client: httpx.AsyncClient, app_headers: Any) -> list[tuple[int, int]]:
        found = (await client.get("/api/catalog/grants", headers=app_headers)).json()["items"]
        return [(grant["rate_per_s"], grant["day_quota"]) for grant in found]

    async def test_is_the_settings_when_nothing_was_said(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any
    ) -> None:
        await self.decide(client, app_headers, [owner])
        assert await self.quotas(client, app_headers) == [(2000, 50_000_000)]

    async def test_is_what_the_approver_said_and_is_announced(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, owner: Any
    ) -> None:
        await self.decide(client, app_headers, [owner], rate_per_s=7, day_quota=900_000_000)
        assert await self.quotas(client, app_headers) == [(7, 900_000_000)]
        (event,) = await events(app, "access.grant.changed.v1")
        assert (event["rate_per_s"], event["day_quota"]) == (7, 900_000_000)

    async def test_of_personal_data_may_be_lowered_and_not_raised(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any, security: Any
    ) -> None:
        raised = await self.decide(client, app_headers, [owner, security], rate_per_s=21)
        assert (raised.status_code, raised.json()["where"]) == (422, "body.rate_per_s")
        assert await self.quotas(client, app_headers) == []

    @pytest.mark.parametrize(
        "said", [{"rate_per_s": 20_001}, {"day_quota": 1_000_000_001}, {"rate_per_s": 0}]
    )
    async def test_above_the_ceiling_or_nothing_is_refused_and_the_application_stays_open(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any, said: dict[str, int]
    ) -> None:
        refused = await self.decide(client, app_headers, [owner], **said)
        assert (refused.status_code, refused.json()["where"]) == (422, f"body.{next(iter(said))}")
        todo = (await client.get("/api/catalog/applications?todo=true", headers=owner)).json()
        assert [item["status"] for item in todo["items"]] == ["pending"]

    async def test_is_not_for_an_earlier_step_to_say(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any
    ) -> None:
        wanted = {**APPLICATION, "resource_id": "api:student"}
        entered = (await client.post("/api/catalog/applications", json=wanted, headers=app_headers)).json()
        url = f"/api/catalog/applications/{entered['id']}/decisions"
        refused = await client.post(url, json={"decision": "approve", "rate_per_s": 1}, headers=owner)
        assert (refused.status_code, refused.json()["where"]) == (422, "body.rate_per_s")


class TestGrant:
    @pytest.fixture
    async def grant_id(self, client: httpx.AsyncClient, app_headers: Any, owner: Any) -> str:
        entered = (
            await client.post("/api/catalog/applications", json=APPLICATION, headers=app_headers)
        ).json()
        url = f"/api/catalog/applications/{entered['id']}/decisions"
        return str((await client.post(url, json={"decision": "approve"}, headers=owner)).json()["grant_id"])

    async def test_revoking_ends_it_once_and_says_so(
        self, client: httpx.AsyncClient, app: Any, owner: Any, app_headers: Any, grant_id: str
    ) -> None:
        url = f"/api/catalog/grants/{grant_id}/revoke"
        assert (await client.post(url, json={"reason": "用途结束"}, headers=app_headers)).status_code == 403
        revoked = await client.post(url, json={"reason": "用途结束"}, headers=owner)
        assert (revoked.json()["status"], revoked.json()["ended_reason"]) == ("revoked", "用途结束")
        assert (await client.post(url, json={"reason": "再次"}, headers=owner)).status_code == 409
        changes = [event["change"] for event in await events(app, "access.grant.changed.v1")]
        assert changes == ["granted", "revoked"]

    async def test_an_ended_one_expires_by_itself(
        self, client: httpx.AsyncClient, app: Any, grant_id: str
    ) -> None:
        async with app.state.resources.database.transaction() as session:
            await session.execute(
                text('UPDATE catalog."grant" SET valid_from = :a, valid_until = :b'),
                {"a": now() - timedelta(days=2), "b": now() - timedelta(days=1)},
            )
            assert await expire_ended(session) == 1
        assert (await events(app, "access.grant.changed.v1"))[-1]["change"] == "expired"

    async def test_a_new_grant_replaces_the_old_one(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, owner: Any, grant_id: str
    ) -> None:
        entered = (
            await client.post("/api/catalog/applications", json=APPLICATION, headers=app_headers)
        ).json()
        url = f"/api/catalog/applications/{entered['id']}/decisions"
        await client.post(url, json={"decision": "approve"}, headers=owner)
        active = (await client.get("/api/catalog/grants?status=active", headers=app_headers)).json()["items"]
        assert len(active) == 1
        assert active[0]["grant_id"] != grant_id
