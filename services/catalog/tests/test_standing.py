"""When the standards move: what was added is listed at once, what was taken out leaves with words."""

import dataclasses
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from edulake.catalog.models import Publication
from edulake.catalog.resource.listing import reconcile
from edulake.catalog.standing import follow
from edulake.common.clock import now
from edulake.common.standards import ApiDefinition, Standards
from sqlalchemy import text

from .conftest import Headers, publish
from .test_catalog import APPLICATION, events

APPLICATIONS, RESOURCES = "/api/catalog/applications", "/api/catalog/resources"
SCHOOLS = f"{RESOURCES}/api:schools"


def edited(standards: Standards, name: str, **over: Any) -> Standards:
    api = ApiDefinition.model_validate({**standards.apis[name].model_dump(), **over})
    return dataclasses.replace(standards, apis={**standards.apis, name: api})


def without(standards: Standards, name: str) -> Standards:
    return dataclasses.replace(standards, apis={n: a for n, a in standards.apis.items() if n != name})


async def move(app: Any, standards: Standards) -> None:
    """What a start with these standards does."""
    app.state.resources.standards = standards
    async with app.state.resources.database.transaction() as session:
        await follow(session, standards)


@pytest.fixture
async def asked(client: httpx.AsyncClient, app_headers: Any) -> str:
    entered = await client.post(APPLICATIONS, json=APPLICATION, headers=app_headers)
    return str(entered.json()["id"])


@pytest.fixture
async def held(client: httpx.AsyncClient, app_headers: Any, owner: Any, asked: str) -> str:
    url = f"{APPLICATIONS}/{asked}/decisions"
    return str((await client.post(url, json={"decision": "approve"}, headers=owner)).json()["grant_id"])


class TestAnAddedApi:
    async def test_over_a_published_dataset_is_listed_found_and_applied_for_at_once(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, standards: Standards
    ) -> None:
        twin = standards.apis["schools"].model_copy(update={"name": "school-count", "title": "学校数目"})
        await move(app, dataclasses.replace(standards, apis={**standards.apis, "school-count": twin}))
        shown = (await client.get(f"{RESOURCES}/api:school-count", headers=app_headers)).json()
        assert (shown["title"], shown["published_version"], shown["level"]) == ("学校数目", 1, 1)
        found = (await client.get(f"{RESOURCES}?q=学校数目", headers=app_headers)).json()["items"]
        assert [one["id"] for one in found] == ["api:school-count"]
        dataset = (await client.get(f"{RESOURCES}/dataset:school_base", headers=app_headers)).json()
        assert "api:school-count" in dataset["related"]
        wanted = {**APPLICATION, "resource_id": "api:school-count"}
        assert (await client.post(APPLICATIONS, json=wanted, headers=app_headers)).status_code == 201

    async def test_its_dataset_may_have_been_published_before_this_process_knew_it(
        self, app: Any, client: httpx.AsyncClient, app_headers: Any, standards: Standards
    ) -> None:
        """The event of a new dataset reaches a process that still has the old standards."""
        older = {name: one for name, one in standards.datasets.items() if name != "senior_quota"}
        app.state.resources.standards = dataclasses.replace(
            without(standards, "senior-quota"), datasets=older
        )
        async with app.state.resources.database.transaction() as session:
            await session.execute(text("DELETE FROM catalog.resource WHERE dataset = 'senior_quota'"))
            await session.execute(text("DELETE FROM catalog.publication WHERE dataset = 'senior_quota'"))
        app.state.resources.standards.datasets["senior_quota"] = standards.datasets["senior_quota"]
        await publish(app, "senior_quota", 1, version=3)
        del app.state.resources.standards.datasets["senior_quota"]
        await move(app, standards)
        shown = (await client.get(f"{RESOURCES}/api:senior-quota", headers=app_headers)).json()
        assert shown["published_version"] == 3

    async def test_nothing_is_written_when_nothing_moved(
        self, client: httpx.AsyncClient, app: Any, standards: Standards
    ) -> None:
        async with app.state.resources.database.read() as session:
            query = "SELECT id, xmin::text FROM catalog.resource ORDER BY id"
            before = (await session.execute(text(query))).all()
        await move(app, standards)
        async with app.state.resources.database.read() as session:
            assert (await session.execute(text(query))).all() == before


class TestAChangedOne:
    @pytest.mark.parametrize(
        ("over", "field", "value"),
        [
            ({"title": "学校名录"}, "title", "学校名录"),
            ({"level": 2}, "level", 2),
            (
                {"columns": ["school_key", "school_name"], "parameters": []},
                "columns",
                ["school_key", "school_name"],
            ),
        ],
    )
    async def test_is_shown_as_it_is_now(
        self,
        client: httpx.AsyncClient,
        app: Any,
        app_headers: Any,
        standards: Standards,
        over: Any,
        field: str,
        value: Any,
    ) -> None:
        await move(app, edited(standards, "schools", **over))
        assert (await client.get(SCHOOLS, headers=app_headers)).json()[field] == value

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda s: edited(s, "schools", level=3, cache_s=0), "由第 1 级调为第 3 级"),
            (lambda s: edited(s, "schools", level=5, cache_s=0), "不予共享"),
            (lambda s: edited(s, "schools", dataset="senior_quota"), "另一个数据集"),
            (lambda s: edited(s, "schools", columns=["boarding"], parameters=[]), "任何字段"),
            (lambda s: without(s, "schools"), "已从共享目录撤下"),
        ],
    )
    async def test_ends_what_it_can_no_longer_serve_and_says_why(
        self,
        client: httpx.AsyncClient,
        app: Any,
        app_headers: Any,
        owner: Any,
        standards: Standards,
        change: Callable[[Standards], Standards],
        words: str,
    ) -> None:
        """One grant that was given for a column, and one application that still waits."""
        wanted = {**APPLICATION, "columns": ["school_name"]}
        first = (await client.post(APPLICATIONS, json=wanted, headers=app_headers)).json()
        url = f"{APPLICATIONS}/{first['id']}/decisions"
        held = (await client.post(url, json={"decision": "approve"}, headers=owner)).json()["grant_id"]
        waiting = (await client.post(APPLICATIONS, json=wanted, headers=app_headers)).json()
        await move(app, change(standards))
        shown = (await client.get(f"{APPLICATIONS}/{waiting['id']}", headers=app_headers)).json()
        assert (shown["status"], shown["waiting_for"]) == ("ended", None)
        assert words in shown["ended_reason"]
        grant = (await client.get(f"/api/catalog/grants/{held}", headers=app_headers)).json()
        assert (grant["status"], words in grant["ended_reason"]) == ("revoked", True)
        told = [event["change"] for event in await events(app, "access.grant.changed.v1")]
        assert told == ["granted", "revoked"]

    async def test_a_raised_level_leaves_a_grant_of_that_level_alone(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, standards: Standards, held: str
    ) -> None:
        await move(app, edited(standards, "schools", title="学校名录"))
        assert (await client.get(f"/api/catalog/grants/{held}", headers=app_headers)).json()[
            "status"
        ] == "active"


class TestARemovedApi:
    async def test_is_found_no_more_and_its_page_says_since_when(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, standards: Standards
    ) -> None:
        before = (await client.get("/api/catalog/summary", headers=app_headers)).json()["apis"]
        code = (await client.get(SCHOOLS, headers=app_headers)).json()["code"]
        await move(app, without(standards, "schools"))
        found = (await client.get(f"{RESOURCES}?kind=api", headers=app_headers)).json()
        assert "api:schools" not in [one["id"] for one in found["items"]]
        assert (await client.get("/api/catalog/summary", headers=app_headers)).json()["apis"] == before - 1
        shown = (await client.get(SCHOOLS, headers=app_headers)).json()
        assert shown["withdrawn_at"] is not None
        assert shown["columns"] == []
        await move(app, standards)
        again = (await client.get(SCHOOLS, headers=app_headers)).json()
        assert (again["withdrawn_at"], again["code"]) == (None, code)

    async def test_takes_no_application_and_shows_no_sample(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, standards: Standards
    ) -> None:
        await move(app, without(standards, "schools"))
        for answer in (
            await client.post(APPLICATIONS, json=APPLICATION, headers=app_headers),
            await client.get(f"{SCHOOLS}/sample", headers=app_headers),
        ):
            assert (answer.status_code, answer.json()["type"]) == (
                409,
                "urn:edulake:problem:resource-withdrawn",
            )

    @pytest.mark.parametrize("is_followed", [False, True])
    async def test_an_open_application_of_it_is_answered_in_words_never_by_a_defect(
        self,
        client: httpx.AsyncClient,
        app: Any,
        owner: Any,
        standards: Standards,
        asked: str,
        *,
        is_followed: bool,
    ) -> None:
        """Also in the moment in which this process has the new standards and has not followed them yet."""
        if is_followed:
            await move(app, without(standards, "schools"))
        else:
            app.state.resources.standards = without(standards, "schools")
        decision = {"decision": "approve"}
        for answer in (
            await client.get(f"{APPLICATIONS}/{asked}/pack", headers=owner),
            await client.post(f"{APPLICATIONS}/{asked}/decisions", json=decision, headers=owner),
        ):
            assert answer.status_code == 409
        assert (await client.get(f"{APPLICATIONS}?todo=true", headers=owner)).status_code == 200

    async def test_a_removed_dataset_takes_its_apis_along_and_comes_back(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, standards: Standards
    ) -> None:
        rest = {n: one for n, one in standards.datasets.items() if n != "senior_quota"}
        await move(app, dataclasses.replace(without(standards, "senior-quota"), datasets=rest))
        for each in ("api:senior-quota", "dataset:senior_quota"):
            shown = (await client.get(f"{RESOURCES}/{each}", headers=app_headers)).json()
            assert shown["withdrawn_at"]
        sample = await client.get(f"{RESOURCES}/dataset:senior_quota/sample", headers=app_headers)
        assert sample.status_code == 409
        await move(app, standards)
        shown = (await client.get(f"{RESOURCES}/api:senior-quota", headers=app_headers)).json()
        assert shown["withdrawn_at"] is None


class TestReconcile:
    def test_is_pure_and_lists_nothing_unpublished(self, standards: Standards) -> None:
        assert reconcile(standards, [], {}).listed == []
        published = Publication(
            dataset="school_base", version=1, row_count=1, content_digest="d", level=2, published_at=now()
        )
        listed = reconcile(standards, [published], {}).listed
        assert [facts["id"] for facts in listed] == ["dataset:school_base", "api:schools"]

    def test_an_api_has_the_one_level_it_declares(self, standards: Standards) -> None:
        """D4: it was the dataset's where that is higher."""
        published = Publication(
            dataset="student_base", version=1, row_count=1, content_digest="d", level=5, published_at=now()
        )
        levels = {facts["id"]: facts["level"] for facts in reconcile(standards, [published], {}).listed}
        assert levels == {"dataset:student_base": 5, "api:student": 4}


class TestTerms:
    """D5: masks and networks are asked for, chosen, shown and announced."""

    async def approved(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any, asks: Any, says: Any
    ) -> httpx.Response:
        wanted = {**APPLICATION, **asks}
        entered = (await client.post(APPLICATIONS, json=wanted, headers=app_headers)).json()
        url = f"{APPLICATIONS}/{entered['id']}/decisions"
        return await client.post(url, json={"decision": "approve", **says}, headers=owner)

    @pytest.mark.parametrize(
        ("asks", "says", "mask", "networks"),
        [
            ({}, {}, "standard", []),
            ({"ip_ranges": ["203.0.113.7"]}, {}, "standard", ["203.0.113.7/32"]),
            ({"ip_ranges": ["203.0.113.7"]}, {"ip_allow": []}, "standard", []),
            ({}, {"mask_level": "strict", "ip_allow": ["2001:DB8::/32", "203.0.113.0/24"]}, "strict",
             ["2001:db8::/32", "203.0.113.0/24"]),
        ],
    )  # fmt: skip
    async def test_are_what_was_said_else_what_was_asked(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, owner: Any,
        asks: Any, says: Any, mask: str, networks: list[str],
    ) -> None:  # fmt: skip
        await self.approved(client, app_headers, owner, asks, says)
        (event,) = await events(app, "access.grant.changed.v1")
        assert (event["mask_level"], event["ip_allow"]) == (mask, networks)
        (shown,) = (await client.get("/api/catalog/grants", headers=app_headers)).json()["items"]
        assert (shown["mask_level"], shown["ip_allow"]) == (mask, networks)

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ("203.0.113.5/24", "不是 IP 地址或网段"),
            ("office", "不是 IP 地址或网段"),
            ("0.0.0.0/0", "包含全部地址"),
            ("::/0", "包含全部地址"),
            ("::ffff:203.0.113.7", "请写作 IPv4 地址"),
        ],
    )
    async def test_what_is_no_network_is_refused_at_its_field(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any, entry: str, words: str
    ) -> None:
        wanted = {**APPLICATION, "ip_ranges": [entry]}
        refused = await client.post(APPLICATIONS, json=wanted, headers=app_headers)
        assert (refused.status_code, refused.json()["where"]) == (422, "body.ip_ranges")
        assert words in refused.json()["detail"]
        said = await self.approved(client, app_headers, owner, {}, {"ip_allow": [entry]})
        assert (said.status_code, said.json()["where"]) == (422, "body.ip_allow")

    async def test_an_unknown_mask_is_refused_and_an_earlier_step_says_none(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any
    ) -> None:
        unknown = await self.approved(client, app_headers, owner, {}, {"mask_level": "none"})
        assert (unknown.status_code, unknown.json()["where"]) == (422, "body.mask_level")
        student = {"resource_id": "api:student"}
        early = await self.approved(client, app_headers, owner, student, {"mask_level": "strict"})
        assert (early.status_code, early.json()["where"]) == (422, "body.mask_level")

    async def test_the_scheme_may_want_strict_masks_for_minors(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, owner: Any, as_subject: Headers,
        standards: Standards, security: Any,
    ) -> None:  # fmt: skip
        grading = standards.grading.model_copy(update={"minor_mask": "strict"})
        app.state.resources.standards = dataclasses.replace(standards, grading=grading)
        wanted = {**APPLICATION, "resource_id": "api:student"}
        entered = (await client.post(APPLICATIONS, json=wanted, headers=app_headers)).json()
        pack = (await client.get(f"{APPLICATIONS}/{entered['id']}/pack", headers=owner)).json()
        assert pack["usual_mask"] == "strict"
        for headers in (owner, security):
            url = f"{APPLICATIONS}/{entered['id']}/decisions"
            await client.post(url, json={"decision": "approve"}, headers=headers)
        (event,) = await events(app, "access.grant.changed.v1")
        assert event["mask_level"] == "strict"
