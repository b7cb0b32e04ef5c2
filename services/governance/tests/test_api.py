"""The HTTP side of governance: what each caller sees, and what a steward can do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from edulake.common.bus import announce
from edulake.common.events import RawBatchLanded, RawBatchWithdrawn
from edulake.governance.app import create_app
from fastapi import FastAPI
from sqlalchemy import text

GOOD = [("chess", "13800000001"), ("go", None), ("bad", "13912345678")]


@pytest.fixture
async def app(house: Any) -> FastAPI:
    return create_app(house.settings)


@pytest.fixture
async def client(
    app: FastAPI, house: Any, client_for: Callable[..., Any], neighbourhood: Any
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(app) as opened:
        neighbourhood.join(app)
        neighbourhood.contacts["source-a"] = "person:wu-contact"
        app.state.resources.standards = house.resources.standards
        yield opened


@pytest.fixture
def headers(as_subject: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    return lambda *roles, **who: as_subject(*roles, audience="governance", **who)


@pytest.fixture
def steward(headers: Any) -> dict[str, str]:
    made: dict[str, str] = headers("steward", id="person:li-steward")
    return made


@pytest.fixture
def contact(headers: Any) -> dict[str, str]:
    made: dict[str, str] = headers("source_contact", id="person:wu-contact")
    return made


@pytest.fixture
def stranger(headers: Any) -> dict[str, str]:
    """Somebody with the same display name as the contact, which must not help."""
    made: dict[str, str] = headers("source_contact", id="person:other", name="person:wu-contact")
    return made


class TestRuns:
    async def test_are_listed_newest_first_in_pages(self, house: Any, client: Any, steward: Any) -> None:
        for number in range(5):
            await house.land(f"b{number}", GOOD, period=str(number))
        seen, path = [], "/api/governance/runs?limit=2"
        while path:
            page = (await client.get(path, headers=steward)).json()
            seen += [run["batch_id"] for run in page["items"]]
            path = page["next"] and f"/api/governance/runs?limit=2&cursor={page['next']}"
        assert seen == ["b4", "b3", "b2", "b1", "b0"]

    async def test_show_counts_reasons_and_progress(self, house: Any, client: Any, steward: Any) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        run = (await client.get("/api/governance/runs/b1", headers=steward)).json()
        assert (run["state"], run["outcome"], run["version"]) == ("finished", "governed", 1)
        assert run["quarantined_by_rule"] == {"name.good": 1}
        assert run["progress"]["total"] == 8

    @pytest.mark.parametrize(
        "path", ["runs/b1", "batches/b1/findings", "batches/b1/quarantine", "batches/b1/quality"]
    )
    async def test_belong_to_overseers_and_their_own_contact(
        self, path: str, house: Any, client: Any, steward: Any, contact: Any, stranger: Any, headers: Any
    ) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        answers = [
            (await client.get(f"/api/governance/{path}", headers=who)).status_code
            for who in (steward, contact, stranger, headers("applicant"), {})
        ]
        assert answers == [200, 200, 404, 403, 401]
        assert (await client.get("/api/governance/runs", headers=stranger)).json()["items"] == []
        assert len((await client.get("/api/governance/runs", headers=contact)).json()["items"]) == 1


class TestFindingsAndQuarantine:
    async def test_tell_the_source_which_rows_failed_and_why(
        self, house: Any, client: Any, contact: Any
    ) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        (finding,) = (await client.get("/api/governance/batches/b1/findings", headers=contact)).json()[
            "items"
        ]
        assert (finding["row_no"], finding["rule_id"], finding["value_masked"]) == (3, "name.good", "b**")
        (row,) = (await client.get("/api/governance/batches/b1/quarantine", headers=contact)).json()["items"]
        assert row["row_no"] == 3
        assert row["reasons"][0]["reason_zh"] == "名称不合格"

    async def test_never_show_a_value(self, house: Any, client: Any, steward: Any) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        for path in ("findings", "quarantine", "quality"):
            answer = await client.get(f"/api/governance/batches/b1/{path}", headers=steward)
            assert answer.status_code == 200
            assert "13912345678" not in answer.text

    async def test_come_in_pages_that_neither_skip_nor_repeat(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("b1", [("bad", str(n)) for n in range(5)])
        await house.govern("b1")
        for path, name in (("findings", "row_no"), ("quarantine", "row_no")):
            rows, cursor = [], ""
            while cursor is not None:
                url = f"/api/governance/batches/b1/{path}?limit=2{cursor}"
                page = (await client.get(url, headers=steward)).json()
                rows += [item[name] for item in page["items"]]
                cursor = page["next"] and f"&cursor={page['next']}"
            assert rows == [1, 2, 3, 4, 5]


class TestValues:
    """Whoever must mend a batch sees the offending cells, and the log says who looked at what."""

    PATH = "/api/governance/batches/b1/values"

    @pytest.fixture
    async def finding(self, house: Any, client: Any, steward: Any) -> int:
        await house.land("b1", GOOD)
        await house.govern("b1")
        found = (await client.get("/api/governance/batches/b1/findings", headers=steward)).json()["items"]
        return int(found[0]["finding_id"])

    @pytest.mark.parametrize("who", ["steward", "contact"])
    @pytest.mark.parametrize("by", ["findings", "rows"])
    async def test_are_told_to_who_mends_and_announced(
        self, who: str, by: str, house: Any, client: Any, finding: int, request: pytest.FixtureRequest
    ) -> None:
        wanted = {by: [finding] if by == "findings" else [3]}
        answer = await client.post(self.PATH, json=wanted, headers=request.getfixturevalue(who))
        assert answer.status_code == 200, answer.text
        (one,) = answer.json()["items"]
        assert (one["row_no"], one["field"], one["value"], one["is_beside"]) == (3, "name", "bad", False)
        (said,) = await house.events("access.values.opened.v1")
        by_whom = {"steward": "person:li-steward", "contact": "person:wu-contact"}[who]
        assert (said["by"], said["batch_id"], said["rows"], said["fields"]) == (by_whom, "b1", [3], ["name"])
        assert "bad" not in str(said)

    async def test_are_nobody_elses(
        self, house: Any, client: Any, finding: int, stranger: Any, headers: Any
    ) -> None:
        overseers = ("owner", "system_admin", "security_admin", "audit_admin", "service", "applicant")
        asked = [stranger, *(headers(role) for role in overseers), headers("owner", "source_contact")]
        answers = [await client.post(self.PATH, json={"findings": [finding]}, headers=who) for who in asked]
        assert {answer.status_code for answer in answers} <= {403, 404}
        assert await house.events("access.values.opened.v1") == []

    async def test_are_of_this_batch_and_of_rows_that_failed_only(
        self, house: Any, client: Any, finding: int, steward: Any
    ) -> None:
        await house.land("b2", [("bad", "1")], period="2025")
        await house.govern("b2")
        other = await client.post(
            "/api/governance/batches/b2/values", json={"findings": [finding]}, headers=steward
        )
        sound = await client.post(self.PATH, json={"rows": [1]}, headers=steward)
        assert (other.json()["items"], sound.json()["items"]) == ([], [])
        assert await house.events("access.values.opened.v1") == []

    async def test_are_not_told_when_the_look_cannot_be_announced(
        self, client: Any, finding: int, steward: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(*_: object) -> None:
            raise ConnectionError

        monkeypatch.setattr("edulake.governance.batch.values.announce", refuse)
        answer = await client.post(self.PATH, json={"findings": [finding]}, headers=steward)
        assert answer.status_code == 503
        assert "bad" not in answer.text


class TestReprocess:
    async def test_queues_a_closed_batch_once_more(self, house: Any, client: Any, steward: Any) -> None:
        await house.land("b1", GOOD)
        (first,) = await house.govern("b1")
        answer = await client.post("/api/governance/batches/b1/reprocess", headers=steward)
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
        again = await client.post("/api/governance/batches/b1/reprocess", headers=steward)
        assert (again.status_code, again.json()["type"]) == (409, "urn:edulake:problem:run-busy")
        (second,) = await house.govern("b1")
        assert second.content_digest == first.content_digest

    async def test_is_a_stewards(self, house: Any, client: Any, contact: Any) -> None:
        await house.land("b1", GOOD)
        assert (await client.post("/api/governance/batches/b1/reprocess", headers=contact)).status_code == 403


class TestDatasets:
    async def test_are_listed_with_their_newest_version(self, house: Any, client: Any, contact: Any) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        club, member, other = (await client.get("/api/governance/datasets", headers=contact)).json()
        assert (club["name"], club["version"], club["row_count"], club["level"]) == ("club", 1, 2, 4)
        assert (member["name"], member["version"]) == ("member", None)
        assert other["name"] == "other"

    async def test_are_stale_when_the_newest_delivery_in_them_is_too_old(
        self, house: Any, client: Any, contact: Any
    ) -> None:
        """400 days in the contract of the tests; governing an old delivery again makes nothing fresh."""
        await house.land("b1", GOOD)
        await house.govern("b1")
        path = "/api/governance/datasets"
        assert [each["is_stale"] for each in (await client.get(path, headers=contact)).json()] == [False] * 3
        async with house.database.transaction() as session:
            await session.execute(text("UPDATE governance.run SET received_at = now() - interval '401 days'"))
        await house.reopen("b1")
        await house.govern("b1")
        stale = {each["name"]: each["is_stale"] for each in (await client.get(path, headers=contact)).json()}
        assert stale == {"club": True, "member": False, "other": False}
        assert (await client.get(f"{path}/club", headers=contact)).json()["newest"]["is_stale"]

    async def test_show_their_contract_and_404_for_none(self, client: Any, contact: Any) -> None:
        answer = (await client.get("/api/governance/datasets/member", headers=contact)).json()
        assert answer["contract"]["references"] == [{"dataset": "club", "as": "clubs"}]
        missing = await client.get("/api/governance/datasets/none", headers=contact)
        assert (missing.status_code, missing.json()["type"]) == (404, "urn:edulake:problem:dataset-not-found")

    async def test_give_a_template_that_a_spreadsheet_reads(self, client: Any, contact: Any) -> None:
        answer = await client.get("/api/governance/datasets/club/template.csv", headers=contact)
        assert answer.content == "\ufeff名称,电话\r\n".encode()
        assert "club.csv" in answer.headers["content-disposition"]

    async def test_show_their_quality_over_time_to_overseers(
        self, house: Any, client: Any, steward: Any, contact: Any
    ) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        await house.reopen("b1")
        await house.govern("b1")
        (report,) = (await client.get("/api/governance/datasets/club/quality", headers=steward)).json()[
            "items"
        ]
        assert (report["revision"], report["score"]) == (2, 66.67)
        assert "profile" not in report
        assert (await client.get("/api/governance/datasets/club/quality", headers=contact)).status_code == 403

    async def test_show_the_newest_report_of_each_with_the_one_before_of_its_source(
        self, house: Any, client: Any, steward: Any, contact: Any, stranger: Any
    ) -> None:
        await house.land("b1", GOOD)
        await house.land("b2", GOOD, source_id="source-b")
        await house.land("b3", [("drama", None)])
        await house.govern("b1", "b2", "b3")
        (found,) = (await client.get("/api/governance/quality", headers=steward)).json()
        assert (found["report"]["batch_id"], found["before"]["batch_id"]) == ("b3", "b1")
        assert "profile" not in found["report"]
        (own,) = (await client.get("/api/governance/quality", headers=contact)).json()
        assert own["report"]["batch_id"] == "b3"
        assert (await client.get("/api/governance/quality", headers=stranger)).json() == []

    async def test_keep_confirmed_names_for_the_batches_that_refer_to_them(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        wanted = {"alias": "国际象棋社", "key": "chess"}
        path = "/api/governance/datasets/club/aliases"
        assert (await client.put(path, json=wanted, headers=steward)).status_code == 204
        assert (await client.get(path, headers=steward)).json()[0]["key"] == "chess"
        await house.land("c1", GOOD)
        await house.land("m1", GOOD, dataset="member")
        await house.govern("c1", "m1")
        assert house.pipeline.seen[-1].aliases.rows() == [("国际象棋社", "chess")]


class TestRestore:
    async def test_brings_back_a_version_and_tells_the_others(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("b1", GOOD)
        await house.land("b2", [("drama", None)])
        first, _ = await house.govern("b1", "b2")
        answer = await client.post(
            "/api/governance/datasets/club/restore", json={"version": 1}, headers=steward
        )
        assert answer.status_code == 200
        version = answer.json()
        assert (version["version"], version["restored_from"]) == (3, 1)
        assert version["content_digest"] == first.content_digest
        assert version["made_by"] == "person:li-steward"
        assert (await house.governed())["name"].to_list() == ["chess", "go"]
        assert (await house.events("governed.dataset.ready.v1"))[-1]["version"] == 3
        listed = (await client.get("/api/governance/datasets/club/versions", headers=steward)).json()["items"]
        assert [item["version"] for item in listed] == [3, 2, 1]

    async def test_shows_which_versions_lie_outside_the_window_and_refuses_them(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("b1", GOOD)
        await house.land("b2", [("drama", None)])
        await house.govern("b1", "b2")
        async with house.database.transaction() as session:
            await house.lake.retire(session, "governed", "club", keep_versions=1, keep_days=0)

        listed = (await client.get("/api/governance/datasets/club/versions", headers=steward)).json()["items"]
        assert [(item["version"], item["is_restorable"]) for item in listed] == [(2, True), (1, False)]
        answer = await client.post(
            "/api/governance/datasets/club/restore", json={"version": 1}, headers=steward
        )
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("lake-version-gone")

    async def test_what_was_undone_does_not_come_back_with_the_next_batch(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("b1", GOOD)
        await house.land("b2", [("drama", None)], source_id="source-b")
        await house.govern("b1", "b2")
        await client.post("/api/governance/datasets/club/restore", json={"version": 1}, headers=steward)
        await house.land("b3", [("choir", None)], source_id="source-c")
        await house.govern("b3")
        assert (await house.governed())["name"].to_list() == ["chess", "choir", "go"]

    async def test_tells_the_batches_whose_rows_left_or_came_back(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("a1", GOOD)
        await house.land("a2", [("chess", None)])  # replaces a1
        await house.land("b1", [("drama", None)], source_id="source-b")
        await house.govern("a1", "a2", "b1")

        await self.restored(client, steward, 1)
        told = {event["batch_id"]: event for event in (await house.events("governed.batch.finished.v1"))[3:]}
        assert {name: event["outcome"] for name, event in told.items()} == {
            "a1": "governed", "a2": "superseded", "b1": "superseded",
        }  # fmt: skip
        assert (told["a1"]["version"], told["a1"]["rows_governed"]) == (4, 2)
        assert (told["b1"]["version"], told["b1"]["rows_governed"]) == (None, 0)
        assert "版本 1" in told["b1"]["reason_zh"]
        assert ((await house.run("b1")).outcome, (await house.run("a1")).version) == ("superseded", 4)

        await self.restored(client, steward, 3)
        told = {event["batch_id"]: event for event in (await house.events("governed.batch.finished.v1"))[6:]}
        assert {name: event["outcome"] for name, event in told.items()} == {
            "a1": "superseded", "a2": "governed", "b1": "governed",
        }  # fmt: skip

    async def test_says_nothing_of_batches_it_changes_nothing_for(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("a1", GOOD)
        await house.land("b1", [("drama", None)], source_id="source-b")
        await house.govern("a1", "b1")
        await self.restored(client, steward, 1)
        finished = (await house.events("governed.batch.finished.v1"))[2:]
        assert [event["batch_id"] for event in finished] == ["b1"]

    async def test_a_batch_that_left_can_be_governed_again(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("a1", GOOD)
        await house.land("b1", [("drama", None)], source_id="source-b")
        await house.govern("a1", "b1")
        await self.restored(client, steward, 1)
        await house.reopen("b1")
        (run,) = await house.govern("b1")
        assert (run.outcome, run.reason_zh) == ("governed", "")
        assert (await house.governed())["name"].to_list() == ["chess", "drama", "go"]

    async def test_leaves_open_runs_to_their_own_end_which_knows_what_is_in_effect(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("a1", GOOD)
        await house.land("b1", [("drama", None), ("bad", None)], source_id="source-b")
        await house.govern("a1", "b1")
        house.tighten("club", threshold=0.9)
        for version, kept in ((1, False), (2, True)):
            await house.reopen("b1")
            told = len(await house.events("governed.batch.finished.v1"))
            await self.restored(client, steward, version)
            assert len(await house.events("governed.batch.finished.v1")) == told
            (run,) = await house.govern("b1")
            assert (run.outcome, run.version is not None) == ("below_threshold", kept)
            assert ("保持不变" in run.reason_zh.partition("；")[2]) is kept

    async def test_of_a_version_with_a_blocked_batch_takes_its_rows_out_again(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("a1", GOOD)
        await house.land("b1", [("drama", None)], source_id="source-b")
        await house.govern("a1", "b1")
        house.pipeline.blocked_names = {"drama"}
        await house.reopen("b1")
        await house.govern("b1")
        await self.restored(client, steward, 2)
        async with house.working():
            run = await house.when("b1", lambda run: run.revision == 3 and run.state == "finished")
        assert run.outcome == "refused"
        assert (await house.governed())["name"].to_list() == ["chess", "go"]

    async def test_mends_a_damaged_version_and_still_tells_what_left(
        self, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("a1", GOOD)
        await house.land("b1", [("drama", None)], source_id="source-b")
        await house.govern("a1", "b1")
        parts = house.settings.home / "lake" / "governed" / "club__parts"
        lost = [path for path in parts.rglob("*.parquet") if "_source=source-b" in str(path)]
        for path in lost:
            path.unlink()
        assert lost
        await self.restored(client, steward, 1)
        last = (await house.events("governed.batch.finished.v1"))[-1]
        assert (last["batch_id"], last["outcome"]) == ("b1", "superseded")

    async def restored(self, client: Any, steward: Any, version: int) -> None:
        path = "/api/governance/datasets/club/restore"
        answer = await client.post(path, json={"version": version}, headers=steward)
        assert answer.status_code == 200, answer.text

    async def test_between_a_merge_and_its_commit_makes_the_merge_anew(
        self, house: Any, client: Any, steward: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await house.land("b1", GOOD)
        await house.land("b2", [("drama", None)], source_id="source-b")
        await house.govern("b1", "b2")
        merged, restored = asyncio.Event(), asyncio.Event()

        async def point(name: str) -> None:
            if name == "governance.before_lake" and not restored.is_set():
                merged.set()
                await restored.wait()

        monkeypatch.setattr("edulake.governance.run.commit.faults.point", point)
        await house.land("b3", [("choir", None)], source_id="source-c")
        async with house.working():
            await asyncio.wait_for(merged.wait(), 60)
            answer = await client.post(
                "/api/governance/datasets/club/restore", json={"version": 1}, headers=steward
            )
            assert answer.status_code == 200
            restored.set()
            await house.closed("b3")
        assert (await house.governed())["name"].to_list() == ["chess", "choir", "go"]

    @pytest.mark.parametrize(("version", "status"), [(1, 409), (7, 404), (0, 422)])
    async def test_refuses_what_is_current_or_unknown(
        self, version: int, status: int, house: Any, client: Any, steward: Any
    ) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        answer = await client.post(
            "/api/governance/datasets/club/restore", json={"version": version}, headers=steward
        )
        assert answer.status_code == status

    async def test_is_a_stewards(self, client: Any, contact: Any) -> None:
        path = "/api/governance/datasets/club/restore"
        assert (await client.post(path, json={"version": 1}, headers=contact)).status_code == 403


class TestSummary:
    async def test_counts_open_and_closed_runs(self, house: Any, client: Any, contact: Any) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        await house.land("b2", GOOD)
        summary = (await client.get("/api/governance/summary", headers=contact)).json()
        assert summary["runs_by_state"] == {"finished": 1, "queued": 1}
        assert (summary["datasets_governed"], summary["rows_governed"]) == (1, 2)


class TestEvents:
    """The API process is the consumer: what it hears becomes runs."""

    async def announce(self, house: Any, *facts: Any) -> None:
        async with house.database.transaction() as session:
            for each in facts:
                await announce(session, each)

    async def test_a_landed_batch_is_queued_once_however_often_it_is_told(
        self, house: Any, client: Any, landed: Callable[..., RawBatchLanded]
    ) -> None:
        await self.announce(house, landed("b1"), landed("b1"), landed("b2"))
        async with asyncio.timeout(60):
            while await house.count("governance.run") < 2:
                await asyncio.sleep(0.02)
        first, second = await house.run("b1"), await house.run("b2")
        assert first.landed_no < second.landed_no

    async def test_a_decided_batch_that_is_told_again_is_answered_again(
        self, house: Any, client: Any, landed: Callable[..., RawBatchLanded]
    ) -> None:
        await house.land("b1", GOOD)
        await house.govern("b1")
        await self.announce(house, landed("b1"))
        async with asyncio.timeout(60):
            while len(await house.events("governed.batch.finished.v1")) < 2:
                await asyncio.sleep(0.02)
        first, second = await house.events("governed.batch.finished.v1")
        assert first == second

    async def test_a_withdrawn_batch_is_cancelled(
        self, house: Any, client: Any, landed: Callable[..., RawBatchLanded]
    ) -> None:
        withdrawn = RawBatchWithdrawn(dataset="club", batch_id="b1", source_id="source-a", by="person:x")
        await self.announce(house, landed("b1"), withdrawn)
        async with asyncio.timeout(60):
            while not await house.count("governance.run"):
                await asyncio.sleep(0.02)
        run = await house.when("b1", lambda run: run.state == "cancelled")
        assert run.is_withdrawn

    async def test_a_ready_reference_wakes_those_that_wait_for_it(self, house: Any, client: Any) -> None:
        house.settings = house.settings.model_copy(update={"reference_recheck_s": 60.0})
        await house.land("m1", GOOD, dataset="member")
        async with house.working():
            await house.when("m1", lambda run: run.state == "waiting_reference")
            await house.land("c1", GOOD)
            run = await house.closed("m1")
        assert run.outcome == "governed"
