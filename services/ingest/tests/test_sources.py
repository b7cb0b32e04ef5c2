"""Registering sources: everything named must exist, and nothing that was registered is forgotten."""

from typing import Any

import httpx
import pytest

SOURCES = "/api/ingest/sources"
SOURCE: dict[str, Any] = {
    "id": "other",
    "title": "另一来源",
    "organisation": "乙区教育局",
    "contact": "person:zhou",
    "datasets": ["school_base"],
}


class TestRegister:
    async def test_gives_the_source_back(self, client: httpx.AsyncClient, steward: dict[str, str]) -> None:
        answer = await client.post(SOURCES, json=SOURCE, headers=steward)

        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == f"{SOURCES}/other"
        body = answer.json()
        assert (body["authority"], body["status"], body["revision"]) == (50, "active", 1)

    async def test_twice_with_the_same_content_changes_nothing(
        self, client: httpx.AsyncClient, steward: dict[str, str]
    ) -> None:
        await client.post(SOURCES, json=SOURCE, headers=steward)
        again = await client.post(SOURCES, json=SOURCE, headers=steward)
        assert (again.status_code, again.json()["revision"]) == (200, 1)

    async def test_twice_with_other_content_is_a_conflict(
        self, client: httpx.AsyncClient, steward: dict[str, str]
    ) -> None:
        await client.post(SOURCES, json=SOURCE, headers=steward)
        again = await client.post(SOURCES, json={**SOURCE, "title": "x"}, headers=steward)
        assert (again.status_code, again.json()["type"]) == (409, "urn:edulake:problem:source-exists")

    @pytest.mark.parametrize(
        ("change", "where", "near"),
        [
            ({"datasets": ["school_bass"]}, "body.datasets.0", "school_base"),
            ({"mapping": {"school_base": {"码": "school_cod"}}}, "body.mapping.school_base", "school_code"),
            ({"mapping": {"student_base": {}}}, "body.mapping", ""),
            ({"defaults": {"school_base": {"nothing_like_it": "1"}}}, "body.defaults.school_base", ""),
        ],
    )
    async def test_names_what_no_contract_knows(
        self,
        client: httpx.AsyncClient,
        steward: dict[str, str],
        change: dict[str, Any],
        where: str,
        near: str,
    ) -> None:
        answer = await client.post(SOURCES, json={**SOURCE, **change}, headers=steward)
        body = answer.json()
        assert (answer.status_code, body["where"]) == (422, where)
        assert body["known"]
        assert near in body["mend"]

    @pytest.mark.parametrize(
        "change",
        [
            {"id": "Bad Id"},
            {"id": "../x"},
            {"title": ""},
            {"datasets": []},
            {"authority": 101},
            {"surplus": 1},
        ],
    )
    async def test_refuses_what_does_not_fit(
        self, client: httpx.AsyncClient, steward: dict[str, str], change: dict[str, Any]
    ) -> None:
        assert (await client.post(SOURCES, json={**SOURCE, **change}, headers=steward)).status_code == 422

    @pytest.mark.parametrize("role", ["source_contact", "applicant", "owner", "system_admin"])
    async def test_is_for_stewards_only(self, client: httpx.AsyncClient, as_subject: Any, role: str) -> None:
        headers = as_subject(role, audience="ingest")
        assert (await client.post(SOURCES, json=SOURCE, headers=headers)).status_code == 403
        assert (await client.put(f"{SOURCES}/other", json=SOURCE, headers=headers)).status_code == 403


class TestReplace:
    @pytest.fixture
    def body(self, roster: dict[str, Any]) -> dict[str, Any]:
        names = ("title", "organisation", "contact", "authority", "datasets", "mapping", "defaults")
        return {name: roster[name] for name in names}

    async def test_keeps_the_history_of_the_mapping(
        self, client: httpx.AsyncClient, steward: dict[str, str], body: dict[str, Any]
    ) -> None:
        mapping = {"school_base": {"校码": "school_code"}}
        answer = await client.put(f"{SOURCES}/roster", json={**body, "mapping": mapping}, headers=steward)
        assert (answer.status_code, answer.json()["revision"]) == (200, 2)

        history = (await client.get(f"{SOURCES}/roster/history", headers=steward)).json()
        assert [(entry["revision"], entry["body"]["mapping"]) for entry in history] == [(2, mapping), (1, {})]
        assert history[0]["changed_by"] == "person:li-steward"

    async def test_with_the_same_content_makes_no_revision(
        self, client: httpx.AsyncClient, steward: dict[str, str], body: dict[str, Any]
    ) -> None:
        answer = await client.put(f"{SOURCES}/roster", json=body, headers=steward)
        assert (answer.status_code, answer.json()["revision"]) == (200, 1)

    async def test_of_an_unknown_source(
        self, client: httpx.AsyncClient, steward: dict[str, str], body: dict[str, Any]
    ) -> None:
        answer = await client.put(f"{SOURCES}/nobody", json=body, headers=steward)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:edulake:problem:unknown-source")


class TestContact:
    """Whoever is named as a contact is somebody, and named whole (A3)."""

    @pytest.mark.parametrize("contact", ["zheng-applicant", "吴报送", "person:", "team:x", "person:a b", ""])
    async def test_is_a_whole_id(self, client: httpx.AsyncClient, steward: Any, contact: str) -> None:
        answer = await client.post(SOURCES, json={**SOURCE, "contact": contact}, headers=steward)
        assert (answer.status_code, answer.json()["where"]) == (422, "body.contact")

    async def test_is_somebody_who_is_let_in(
        self, client: httpx.AsyncClient, steward: Any, neighbourhood: Any, roster: dict[str, Any]
    ) -> None:
        neighbourhood.nobody.add("person:nobody")
        refused = await client.post(SOURCES, json={**SOURCE, "contact": "person:nobody"}, headers=steward)
        assert (refused.status_code, refused.json()["where"]) == (422, "body.contact")
        body = {name: roster[name] for name in ("title", "organisation", "datasets")}
        change = {**body, "contact": "person:nobody"}
        assert (await client.put(f"{SOURCES}/roster", json=change, headers=steward)).status_code == 422

    async def test_is_not_taken_while_auth_is_silent_but_all_else_is(
        self, client: httpx.AsyncClient, steward: Any, neighbourhood: Any, roster: dict[str, Any]
    ) -> None:
        neighbourhood.silent = True
        assert (await client.post(SOURCES, json=SOURCE, headers=steward)).status_code == 503
        body = {name: roster[name] for name in ("organisation", "contact", "datasets")}
        answer = await client.put(f"{SOURCES}/roster", json={**body, "title": "新名"}, headers=steward)
        assert answer.status_code == 200

    async def test_now_is_told_to_services_alone(
        self, client: httpx.AsyncClient, steward: Any, as_subject: Any, roster: Any
    ) -> None:
        service = as_subject("service", id="service:governance", audience="ingest")
        asked = {"ids": ["roster", "nothing"]}
        told = await client.post("/internal/sources/contacts", json=asked, headers=service)
        own = await client.get("/internal/sources", params={"contact": "person:wu-contact"}, headers=service)
        assert told.json() == {"contacts": {"roster": "person:wu-contact"}}
        assert own.json() == {"ids": ["roster"]}
        refused = await client.post("/internal/sources/contacts", json=asked, headers=steward)
        assert refused.status_code == 403


class TestCare:
    """An owner sees the sources and batches of datasets in their care, and no others (A2)."""

    @pytest.mark.parametrize(
        ("organisation", "roles", "expected"),
        [
            ("市教育委员会信息中心", ["owner"], [200, 200, 1, 1]),
            ("乙区教育局", ["owner"], [404, 404, 0, 0]),
            ("市教育委员会信息中心", ["approver"], [403, 403, 403, 403]),
            ("市教育委员会信息中心", ["system_admin"], [403, 403, 403, 403]),
            ("市教育委员会信息中心", ["security_admin"], [403, 403, 403, 403]),
            (None, ["audit_admin"], [200, 200, 1, 1]),
        ],
    )
    async def test_decides_what_an_office_sees(
        self,
        client: httpx.AsyncClient,
        as_subject: Any,
        deliver: Any,
        organisation: str | None,
        roles: list[str],
        expected: list[int],
    ) -> None:
        batch = (await deliver()).json()["batch_id"]
        headers = as_subject(*roles, id="person:x", organisation=organisation, audience="ingest")
        paths = (f"{SOURCES}/roster", f"/api/ingest/batches/{batch}", SOURCES, "/api/ingest/batches")
        answers = [await client.get(path, headers=headers) for path in paths]
        seen = [len(one.json()["items"]) if "items" in one.json() else one.status_code for one in answers]
        assert seen == expected


class TestReading:
    async def test_a_contact_sees_its_own_sources_only(
        self, client: httpx.AsyncClient, steward: dict[str, str], contact: dict[str, str], roster: Any
    ) -> None:
        await client.post(SOURCES, json=SOURCE, headers=steward)

        everything = (await client.get(SOURCES, headers=steward)).json()["items"]
        own = (await client.get(SOURCES, headers=contact)).json()["items"]
        assert ([s["id"] for s in everything], [s["id"] for s in own]) == (["other", "roster"], ["roster"])
        assert (await client.get(f"{SOURCES}/other", headers=contact)).status_code == 404
        assert (await client.get(f"{SOURCES}/roster", headers=contact)).status_code == 200

    @pytest.mark.parametrize(
        ("id_", "roles", "status"),
        [
            ("person:wu-contact", ["source_contact"], 200),
            ("client:wu-contact", ["source_contact"], 404),
            ("person:wu-contact", ["applicant"], 403),
        ],
        ids=["the contact", "a program of that name", "the contact without the role"],
    )
    async def test_a_contact_is_known_by_its_whole_id_and_needs_its_role(
        self, client: httpx.AsyncClient, as_subject: Any, roster: Any, id_: str, roles: list[str], status: int
    ) -> None:
        headers = as_subject(*roles, id=id_, name="吴", audience="ingest")
        assert (await client.get(f"{SOURCES}/roster", headers=headers)).status_code == status

    async def test_a_namesake_of_a_contact_is_a_stranger(
        self, client: httpx.AsyncClient, as_subject: Any, deliver: Any
    ) -> None:
        namesake = as_subject("source_contact", id="person:7", name="wu-contact", audience="ingest")
        batch = (await deliver()).json()["batch_id"]

        assert (await client.get(f"{SOURCES}/roster", headers=namesake)).status_code == 404
        assert (await client.get(SOURCES, headers=namesake)).json()["items"] == []
        assert (await deliver("学校代码\n0033\n", headers=namesake)).status_code == 404
        withdrawal = await client.post(f"/api/ingest/batches/{batch}/withdraw", headers=namesake)
        assert withdrawal.status_code == 404

    async def test_goes_by_pages(self, client: httpx.AsyncClient, steward: dict[str, str]) -> None:
        for number in range(5):
            await client.post(SOURCES, json={**SOURCE, "id": f"s{number}"}, headers=steward)
        seen: list[str] = []
        cursor = None
        while True:
            query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = (await client.get(SOURCES, params=query, headers=steward)).json()
            seen += [source["id"] for source in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
        assert seen == [f"s{number}" for number in range(5)]

    async def test_refuses_a_made_up_cursor(self, client: httpx.AsyncClient, steward: dict[str, str]) -> None:
        answer = await client.get(SOURCES, params={"cursor": "abc"}, headers=steward)
        assert answer.status_code == 400
