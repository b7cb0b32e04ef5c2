"""`/api/gateway`: APIs, publications, rollback, OpenAPI."""

from typing import Any

import jsonschema
import pytest
from edulake.common.standards.contract import Protect
from edulake.share_gateway.publication.decisions import VersionNotProtected, rollback

RETRY = "/api/gateway/publications/school_base/retry"
ROLLBACK = "/api/gateway/publications/school_base/rollback"


@pytest.fixture
async def three_versions(govern: Any, queue: Any, loop: Any, make_school: Any) -> None:
    for number in (1, 2, 3):
        await queue(await govern(f"b{number}", [make_school(n) for n in range(1, number + 1)]))
        assert await loop.run_once()


class TestApis:
    async def test_every_api_is_described(self, client: Any, steward: Any, standards: Any) -> None:
        answer = await client.get("/api/gateway/apis", headers=steward)
        assert answer.status_code == 200
        found = {api["name"]: api for api in answer.json()}
        assert found.keys() == standards.apis.keys()
        assert found["schools"]["path"] == "/share/v1/schools"
        assert found["schools"]["data_version"] is None
        assert {c["name"] for c in found["schools"]["columns"]} == set(standards.apis["schools"].columns)

    async def test_one_api_shows_its_data_version(
        self, three_versions: None, client: Any, steward: Any
    ) -> None:
        found = (await client.get("/api/gateway/apis/schools", headers=steward)).json()
        assert (found["data_version"], found["row_count"]) == (3, 3)
        assert (await client.get("/api/gateway/apis/nothing", headers=steward)).status_code == 404

    @pytest.mark.parametrize("name", ["schools", "senior-quota", "student"])
    async def test_the_openapi_document_describes_the_sample(
        self, name: str, client: Any, steward: Any, standards: Any
    ) -> None:
        document = (await client.get(f"/api/gateway/openapi/{name}.json", headers=steward)).json()
        assert document["openapi"] == "3.1.0"
        [operation] = [path["get"] for path in document["paths"].values()]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        schema = {**schema, "components": document["components"]}
        jsonschema.Draft202012Validator.check_schema(schema)
        sample = dict(standards.apis[name].sample_response)
        validator = jsonschema.Draft202012Validator(schema)
        assert list(validator.iter_errors(sample)) == []
        assert list(validator.iter_errors({**sample, "version": "x"})) != []


class TestPublications:
    async def test_versions_and_the_newest_job_are_shown(
        self, three_versions: None, client: Any, steward: Any
    ) -> None:
        [shown] = (await client.get("/api/gateway/publications", headers=steward)).json()
        assert shown["current"] == 3
        assert [version["version"] for version in shown["versions"]] == [3, 2, 1]
        assert shown["job"]["status"] == "published"

    async def test_a_blocked_dataset_says_why(
        self, govern: Any, queue: Any, loop: Any, make_school: Any, client: Any, steward: Any
    ) -> None:
        await queue(await govern("b1", [make_school(1)], level=5))
        await loop.run_once()
        [shown] = (await client.get("/api/gateway/publications", headers=steward)).json()
        assert shown["current"] is None
        assert shown["job"]["status"] == "blocked"
        assert "5 级" in shown["job"]["reason_zh"]


class TestRollback:
    async def test_an_earlier_version_is_served_again_and_announced(
        self, three_versions: None, client: Any, steward: Any, reader: Any, admin: Any
    ) -> None:
        answer = await client.post(ROLLBACK, json={"version": 1, "agreed_rows": 1}, headers=steward)
        assert answer.status_code == 200
        assert answer.json()["current_by"] == "person:li-steward"
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 1
        assert await reader.fetchval('SELECT version FROM published."_current"') == 1
        last = await admin.fetchrow(
            "SELECT payload FROM bus.log WHERE topic = 'published' ORDER BY pos DESC LIMIT 1"
        )
        assert '"rolled_back": true' in last["payload"]
        assert '"version": 1' in last["payload"]

    async def test_the_next_publication_gets_a_number_of_its_own(
        self,
        three_versions: None,
        client: Any,
        steward: Any,
        govern: Any,
        queue: Any,
        loop: Any,
        reader: Any,
        make_school: Any,
    ) -> None:
        await client.post(ROLLBACK, json={"version": 1, "agreed_rows": 1}, headers=steward)
        await queue(await govern("b4", [make_school(n) for n in range(1, 8)]))
        assert await loop.run_once()
        assert await reader.fetchval('SELECT version FROM published."_current"') == 4
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 7

    @pytest.mark.parametrize(
        ("version", "status"), [(3, 409), (4, 404), (0, 422), (-1, 422), ("1; DROP", 422), (2**70, 422)]
    )
    async def test_what_cannot_be_served_again_is_refused(
        self, version: Any, status: int, three_versions: None, client: Any, steward: Any, reader: Any
    ) -> None:
        answer = await client.post(ROLLBACK, json={"version": version}, headers=steward)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert await reader.fetchval('SELECT version FROM published."_current"') == 3

    async def test_a_version_whose_table_is_gone_is_refused(
        self, govern: Any, queue: Any, loop: Any, make_school: Any, client: Any, steward: Any
    ) -> None:
        for number in range(1, 8):
            await queue(await govern(f"b{number}", [make_school(number)]))
            await loop.run_once()
        answer = await client.post(ROLLBACK, json={"version": 1}, headers=steward)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("version-not-kept")

    @pytest.mark.parametrize(
        "over", [{"protect": Protect(share="mask_name")}, {"protect": Protect(share="drop")}, {"level": 4}]
    )
    async def test_a_version_less_protected_than_the_contract_now_declares_is_refused(
        self,
        three_versions: None,
        database: Any,
        lake: Any,
        reader: Any,
        standards: Any,
        over: dict[str, Any],
    ) -> None:
        """P8: going back must not bring back values that are to be masked since."""
        contract = standards.datasets["school_base"]
        fields = [f.model_copy(update=over) if f.name == "school_name" else f for f in contract.fields]
        stricter = contract.model_copy(update={"fields": tuple(fields)})
        with pytest.raises(VersionNotProtected, match="school_name"):
            async with database.transaction() as session:
                await rollback(session, stricter, 1, "person:li")
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 3
        async with database.transaction() as session:
            assert (await rollback(session, contract, 1, "person:li", 1)).version == 1

    async def test_an_unknown_dataset_is_refused(self, client: Any, steward: Any) -> None:
        path = "/api/gateway/publications/school_base%22;/rollback"
        assert (await client.post(path, json={"version": 1}, headers=steward)).status_code == 404


class TestRetry:
    async def test_publishes_once_the_cause_is_mended(
        self, govern: Any, queue: Any, loop: Any, make_school: Any, client: Any, steward: Any, admin: Any
    ) -> None:
        ready = await govern("b1", [make_school(1)])
        digest = await admin.fetchval("SELECT content_digest FROM lake.manifest")
        await admin.execute("UPDATE lake.manifest SET content_digest = repeat('0', 64)")
        await queue(ready)
        assert await loop.run_once()
        await admin.execute("UPDATE lake.manifest SET content_digest = $1", digest)

        answer = await client.post(RETRY, headers=steward)
        assert answer.status_code == 202
        [job] = answer.json()
        assert (job["status"], job["tries"], job["governed_version"]) == ("waiting", 0, 1)
        assert await loop.run_once()
        [shown] = (await client.get("/api/gateway/publications", headers=steward)).json()
        assert (shown["current"], shown["job"]["status"], shown["job"]["reason_zh"]) == (1, "published", "")

    async def test_of_what_is_not_mended_is_refused_and_told_again(
        self, govern: Any, queue: Any, loop: Any, make_school: Any, client: Any, as_subject: Any, admin: Any
    ) -> None:
        await queue(await govern("b1", [make_school(1)], level=5))
        assert await loop.run_once()
        system = as_subject("system_admin", audience="gateway")
        assert (await client.post(RETRY, headers=system)).status_code == 202
        assert await loop.run_once()
        told = "SELECT count(*) FROM bus.log WHERE name = 'published.dataset.refused.v1'"
        assert await admin.fetchval(told) == 2

    async def test_takes_the_oldest_first(
        self, govern: Any, queue: Any, loop: Any, make_school: Any, client: Any, steward: Any
    ) -> None:
        for batch in ("b1", "b2"):
            await queue(await govern(batch, [make_school(1, school_name=batch)], level=5))
            assert await loop.run_once()
        jobs = (await client.post(RETRY, headers=steward)).json()
        assert [job["batch_id"] for job in jobs] == ["b1", "b2"]

    async def test_without_anything_to_try_is_a_conflict(
        self, three_versions: None, client: Any, steward: Any
    ) -> None:
        answer = await client.post(RETRY, headers=steward)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("nothing-to-retry")

    async def test_of_an_unknown_dataset_is_not_found(self, client: Any, steward: Any) -> None:
        assert (await client.post(RETRY, headers=steward)).status_code == 404

    @pytest.mark.parametrize("role", ["owner", "source_contact", "security_admin", "audit_admin"])
    async def test_is_for_stewards_and_system_administrators(
        self, role: str, client: Any, as_subject: Any
    ) -> None:
        assert (await client.post(RETRY, headers=as_subject(role, audience="gateway"))).status_code == 403


class TestPolicies:
    @pytest.mark.parametrize(
        "role", ["applicant", "source_contact", "approver", "system_admin", "security_admin", "audit_admin"]
    )
    async def test_only_steward_and_owner_roll_back(
        self, role: str, three_versions: None, client: Any, as_subject: Any, reader: Any
    ) -> None:
        headers = as_subject(role, audience="gateway")
        assert (await client.post(ROLLBACK, json={"version": 1}, headers=headers)).status_code == 403
        assert await reader.fetchval('SELECT version FROM published."_current"') == 3

    @pytest.mark.parametrize(
        ("who", "status"),
        [
            ({"organisation": "乙区教育局"}, 403),
            ({"organisation": "市教育委员会信息中心"}, 200),
            ({"id": "client:p", "accountable": "person:zhou-owner"}, 200),
        ],
        ids=["another house", "the house of the contract", "a program of its contact"],
    )
    async def test_an_owner_rolls_back_what_is_in_their_care(
        self, who: Any, status: int, three_versions: None, client: Any, as_subject: Any
    ) -> None:
        headers = as_subject("owner", audience="gateway", **who)
        assert (
            await client.post(ROLLBACK, json={"version": 1, "agreed_rows": 1}, headers=headers)
        ).status_code == status

    @pytest.mark.parametrize("path", ["apis", "apis/schools", "publications", "openapi/schools.json"])
    async def test_nobody_unknown_reads_anything(self, path: str, client: Any, as_subject: Any) -> None:
        assert (await client.get(f"/api/gateway/{path}")).status_code == 401
        foreign = as_subject("steward", audience="catalog")
        assert (await client.get(f"/api/gateway/{path}", headers=foreign)).status_code == 401
        anyone = as_subject("applicant", audience="gateway")
        assert (await client.get(f"/api/gateway/{path}", headers=anyone)).status_code == 200
