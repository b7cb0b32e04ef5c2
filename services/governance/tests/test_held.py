"""A delivery that lacks too much of what it replaces waits for a person, and nothing changes meanwhile."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from edulake.common.clock import now
from edulake.common.events import PublishedDatasetUpdated, RawBatchWithdrawn
from edulake.governance.app import create_app
from edulake.governance.dataset import service as datasets
from edulake.governance.handlers import HANDLERS
from fastapi import FastAPI

from .conftest import a_contract

STRICT = {
    "completeness": {"rows_lost_max": 0.2, "values_lost_max": 0.2},
    "owner": {"organisation": "市教委", "contact": "person:named"},
}
WHOLE: list[tuple[str, str | None]] = [(f"club {n:02d}", f"1380000{n:04d}") for n in range(20)]
CUT = WHOLE[:2]
SHOWN = {"rows_before": 20, "rows_after": 2, "keys_lost": 18}


@pytest.fixture(autouse=True)
def strict(house: Any) -> None:
    for name in ("club", "other"):
        house.tighten(name, **STRICT)


@pytest.fixture
async def held(house: Any) -> Any:
    """The whole list is governed, the cut one waits."""
    await house.land("b1", WHOLE)
    await house.land("b2", CUT, delivered_by="client:demo", accountable="person:wu")
    async with house.working():
        await house.closed("b1")
        return await house.when("b2", lambda run: run.state == "held")


@pytest.fixture
async def client(house: Any, client_for: Callable[..., Any]) -> AsyncIterator[httpx.AsyncClient]:
    app: FastAPI = create_app(house.settings)
    async with client_for(app) as opened:
        app.state.resources.standards = house.resources.standards
        yield opened


@pytest.fixture
def who(as_subject: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    return lambda *roles, **facts: as_subject(*roles, audience="governance", **facts)


async def decide(client: Any, headers: dict[str, str], what: str = "agree", **body: Any) -> httpx.Response:
    answer: httpx.Response = await client.post(
        f"/api/governance/batches/b2/{what}", json={**SHOWN, **body}, headers=headers
    )
    return answer


class TestACutFile:
    async def test_is_held_with_figures_and_changes_nothing(self, house: Any, held: Any) -> None:
        assert (held.outcome, held.version, held.rows_in) == ("held", None, 2)
        assert "2 行将替代同期 20 行，缺少其中 18 个主键（90%）" in held.reason_zh
        assert "18 of their keys are missing" in held.reason_en
        assert (await house.governed())["name"].len() == 20
        assert len(await house.events("governed.dataset.ready.v1")) == 1
        finished = (await house.events("governed.batch.finished.v1"))[-1]
        assert (finished["outcome"], finished["completeness"]["keys_lost"]) == ("held", 18)

    async def test_scores_worse_and_tells_its_source(
        self, house: Any, held: Any, client: Any, who: Any
    ) -> None:
        headers = who("steward", id="person:li")
        report = (await client.get("/api/governance/batches/b2/quality", headers=headers)).json()
        before = (await client.get("/api/governance/batches/b1/quality", headers=headers)).json()
        assert (before["score"], report["scores"]["完整性"], report["is_comparable"]) == (100.0, 10.0, False)
        assert report["score"] < before["score"]
        (newest,) = (await client.get("/api/governance/quality", headers=headers)).json()
        assert newest["is_comparable"] is False
        (failed,) = await house.events("quality.rule.failed.v1")
        assert (failed["rule_id"], failed["failed_rows"], failed["checked_rows"]) == (
            "batch.completeness",
            18,
            20,
        )
        assert failed["severity"] == "error"
        (finding,) = (await client.get("/api/governance/batches/b2/findings", headers=headers)).json()[
            "items"
        ]
        assert (finding["row_no"], finding["rule_id"]) == (None, "batch.completeness")

    async def test_does_not_stop_others(self, house: Any, held: Any) -> None:
        await house.land("b3", [("new", None)], source_id="source-b")
        await house.land("m1", [("x", None)], dataset="member")
        third, member = await house.govern("b3", "m1")
        assert (third.outcome, member.outcome) == ("governed", "governed")
        assert (await house.run("b2")).state == "held"

    async def test_is_found_by_whoever_decides(self, held: Any, client: Any, who: Any) -> None:
        headers = who("owner", id="person:zhou", organisation="市教委")
        page = (await client.get("/api/governance/runs?state=held", headers=headers)).json()["items"]
        assert [(run["batch_id"], run["completeness"]["keys_lost"]) for run in page] == [("b2", 18)]
        summary = (await client.get("/api/governance/summary", headers=headers)).json()
        assert summary["runs_by_state"]["held"] == 1
        detail = (await client.get("/api/governance/runs/b2", headers=headers)).json()
        assert detail["may_decide"] is True


class TestAgreeing:
    @pytest.mark.parametrize(
        ("roles", "facts"),
        [
            (("steward",), {"id": "person:li"}),
            (("owner",), {"id": "person:zhou", "organisation": "市教委"}),
            (("owner",), {"id": "person:named", "organisation": "elsewhere"}),
        ],
        ids=["a steward", "an owner of the house", "the owner by name"],
    )
    async def test_lets_it_go_on(
        self, house: Any, held: Any, client: Any, who: Any, roles: Any, facts: Any
    ) -> None:
        answer = await decide(client, who(*roles, **facts))
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
        (run,) = await house.govern("b2")
        assert (run.outcome, run.version, run.agreed_by) == ("governed", 2, facts["id"])
        assert (await house.governed())["name"].len() == 2
        ready = (await house.events("governed.dataset.ready.v1"))[-1]
        assert (ready["agreed_by"], ready["row_count"]) == (facts["id"], 2)
        assessed = (await house.events("quality.batch.assessed.v1"))[-1]
        assert (assessed["outcome"], assessed["agreed_by"]) == ("governed", facts["id"])
        assert len(await house.events("quality.rule.failed.v1")) == 1, "told while it waited, not again"

    @pytest.mark.parametrize(
        ("roles", "facts", "code"),
        [
            (("steward",), {"id": "person:wu"}, "own-delivery"),
            (("steward",), {"id": "client:demo", "accountable": "person:x"}, "own-delivery"),
            (("steward",), {"id": "client:y", "accountable": None}, "own-delivery"),
            (("owner",), {"id": "person:far", "organisation": "elsewhere"}, "run-not-found"),
            (("source_contact",), {"id": "person:wu-contact"}, "forbidden"),
        ],
        ids=[
            "answers for who delivered",
            "delivered",
            "nobody knows who answers",
            "of another house",
            "contact",
        ],
    )
    async def test_is_not_for(
        self, house: Any, held: Any, client: Any, who: Any, roles: Any, facts: Any, code: str
    ) -> None:
        answer = await decide(client, who(*roles, **facts))
        status = 404 if code == "run-not-found" else 403
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:edulake:problem:{code}")
        assert (await house.run("b2")).state == "held"

    async def test_is_about_the_figures_that_were_shown(self, held: Any, client: Any, who: Any) -> None:
        answer = await decide(client, who("steward", id="person:li"), keys_lost=17)
        assert answer.status_code == 409
        assert answer.json()["figures"] == SHOWN

    async def test_is_asked_again_when_it_would_lose_more(self, house: Any, client: Any, who: Any) -> None:
        """What it replaces has grown since the figures were agreed to: standards that know more."""
        house.pipeline.unknown_names = {name for name, _ in WHOLE[15:]}
        await house.land("b1", WHOLE)
        await house.land("b2", CUT, delivered_by="person:wu")
        async with house.working():
            await house.when("b2", lambda run: run.state == "held")
        house.pipeline.unknown_names = set()
        await house.reopen("b1")
        await house.govern("b1")
        shown = {"rows_before": 15, "keys_lost": 13}
        assert (await decide(client, who("steward", id="person:li"), **shown)).status_code == 202
        async with house.working():
            run = await house.when("b2", lambda found: found.revision == 2 and found.state == "held")
        assert (run.completeness["keys_lost"], run.agreed, run.agreed_by) == (18, None, None)
        assert (await house.governed())["name"].len() == 20

    async def test_is_used_up_by_one_processing(self, house: Any, held: Any, client: Any, who: Any) -> None:
        await decide(client, who("steward", id="person:li"))
        await house.govern("b2")
        await house.reopen("b2")
        (again,) = await house.govern("b2")
        assert (again.outcome, again.agreed_by, again.agreed) == ("governed", None, None)
        assert (await house.events("governed.dataset.ready.v1"))[-1]["agreed_by"] is None


class TestRefusing:
    async def test_ends_it_in_words_and_keeps_what_there_was(
        self, house: Any, held: Any, client: Any, who: Any
    ) -> None:
        answer = await decide(client, who("steward", id="person:li"), "refuse", reason="文件不完整")
        assert (answer.status_code, answer.json()["outcome"]) == (200, "refused")
        assert "文件不完整" in answer.json()["reason_zh"]
        finished = (await house.events("governed.batch.finished.v1"))[-1]
        assert (finished["outcome"], finished["reason_zh"]) == ("refused", "未获同意：文件不完整")
        assert (await house.governed())["name"].len() == 20
        assert (await decide(client, who("steward", id="person:li"))).status_code == 409


class TestWhatComesAfter:
    async def test_a_newer_delivery_supersedes_it_in_words(self, house: Any, held: Any) -> None:
        await house.land("b3", WHOLE)
        await house.govern("b3")
        run = await house.closed("b2")
        assert (run.outcome, run.version) == ("superseded", None)
        assert "已有更新的批次" in run.reason_zh
        ends = [(e["batch_id"], e["outcome"]) for e in await house.events("governed.batch.finished.v1")]
        assert ends[-2:] == [("b2", "superseded"), ("b3", "governed")]

    async def test_what_never_counted_does_not_come_back_when_the_newer_one_leaves(
        self, house: Any, held: Any
    ) -> None:
        await house.land("b3", WHOLE[:18])
        await house.govern("b3")
        await self.withdraw(house, "b3")
        async with house.working():
            await house.when("b1", lambda run: run.revision == 2 and run.state == "finished")
        assert (await house.governed())["name"].len() == 20
        assert (await house.run("b2")).outcome == "superseded"

    async def test_its_source_may_take_it_back(self, house: Any, held: Any) -> None:
        await self.withdraw(house, "b2")
        async with house.working():
            run = await house.when("b2", lambda found: found.state == "cancelled")
        assert run.reason_zh == "来源已撤回该批次"
        assert (await house.governed())["name"].len() == 20

    async def withdraw(self, house: Any, batch_id: str) -> None:
        facts = RawBatchWithdrawn(dataset="club", batch_id=batch_id, source_id="source-a", by="person:wu")
        async with house.database.transaction() as session:
            await HANDLERS[RawBatchWithdrawn](session, facts, None, house.resources)  # type: ignore[arg-type]


class TestBrothers:
    """Other ways to the same loss."""

    async def test_a_column_that_became_empty(self, house: Any) -> None:
        await house.land("b1", WHOLE)
        await house.land("b2", [(name, None) for name, _ in WHOLE])
        async with house.working():
            run = await house.when("b2", lambda found: found.state == "held")
        assert "“电话”原有 20 个值，其中 20 个变为空" in run.reason_zh
        assert (await house.governed())["phone"].null_count() == 0

    async def test_the_file_of_another_source(self, house: Any) -> None:
        mine = [(f"mine {n}", None) for n in range(10)]
        await house.land("b0", mine, source_id="source-b")
        await house.land("b1", WHOLE)
        await house.land("b2", WHOLE, source_id="source-b")
        async with house.working():
            run = await house.when("b2", lambda found: found.state == "held")
        assert "20 个主键属于来源 source-a，疑似来源选错" in run.reason_zh

    async def test_standards_that_know_less_when_it_is_governed_again(self, house: Any) -> None:
        """A code table lost values: rows that passed are held back now."""
        await house.land("b1", WHOLE)
        await house.govern("b1")
        house.pipeline.unknown_names = {name for name, _ in WHOLE[12:]}
        await house.reopen("b1")
        async with house.working():
            run = await house.when("b1", lambda found: found.state == "held")
        assert (run.version, run.rows_quarantined, run.completeness["keys_lost"]) == (1, 8, 8)
        assert (await house.governed())["name"].len() == 20, "what was governed before stays"

    async def test_a_restore_that_undid_it_needs_a_new_agreement(
        self, house: Any, held: Any, client: Any, who: Any
    ) -> None:
        await decide(client, who("steward", id="person:li"))
        await house.govern("b2")
        async with house.database.transaction() as session:
            await datasets.restore(session, house.lake, a_contract(), 1, "person:li")
        await house.reopen("b2")
        async with house.working():
            run = await house.when("b2", lambda found: found.state == "held")
        assert run.completeness["keys_lost"] == 18


class TestUndoing:
    """A version without many rows is restored by whoever says how many it has; published and governed go together."""

    @pytest.fixture
    async def grown(self, house: Any) -> None:
        """v1 of two rows, v2 of twenty."""
        await house.land("b1", CUT)
        await house.land("b2", WHOLE)
        await house.govern("b1", "b2")

    async def restore(self, client: Any, headers: Any, **body: Any) -> httpx.Response:
        path = "/api/governance/datasets/club/restore"
        answer: httpx.Response = await client.post(path, json={"version": 1, **body}, headers=headers)
        return answer

    async def test_asks_with_figures_and_carries_the_answer(
        self, house: Any, grown: None, client: Any, who: Any
    ) -> None:
        headers = who("steward", id="person:li")
        asked = await self.restore(client, headers)
        assert (asked.status_code, asked.json()["rows_now"], asked.json()["rows_then"]) == (409, 20, 2)
        assert "减少 90%" in asked.json()["detail"]
        assert (await self.restore(client, headers, agreed_rows=3)).status_code == 409
        done = await self.restore(client, headers, agreed_rows=2)
        assert (done.status_code, done.json()["agreed_by"]) == (200, "person:li")
        assert (await house.events("governed.dataset.ready.v1"))[-1]["agreed_by"] == "person:li"
        page = (await client.get("/api/governance/datasets/club/versions", headers=headers)).json()["items"]
        assert [(v["row_count"], v["row_count_before"]) for v in page] == [(2, 20), (20, 2), (2, None)]
        left = [e for e in await house.events("governed.batch.finished.v1") if e["taken_out_by"]]
        assert [(e["batch_id"], e["taken_out_by"]) for e in left] == [("b2", "restore")]

    async def test_is_for_who_answers_for_the_dataset(self, grown: None, client: Any, who: Any) -> None:
        far = who("owner", id="person:far", organisation="elsewhere")
        near = who("owner", id="person:zhou", organisation="市教委")
        assert (await self.restore(client, far, agreed_rows=2)).status_code == 403
        assert (await self.restore(client, near, agreed_rows=2)).status_code == 200

    async def test_of_what_holds_withdrawn_rows_is_told_once_they_are_out(
        self, house: Any, client: Any, who: Any
    ) -> None:
        """Between the two, nobody is told of a version that holds them: so it is not published."""
        await house.land("b1", WHOLE)
        await house.land("b2", [("more", None)], source_id="source-b")
        await house.govern("b1", "b2")
        headers = who("steward", id="person:li")
        facts = RawBatchWithdrawn(dataset="club", batch_id="b2", source_id="source-b", by="person:wu")
        async with house.database.transaction() as session:
            await HANDLERS[RawBatchWithdrawn](session, facts, None, house.resources)  # type: ignore[arg-type]
        async with house.working():
            await house.when("b2", lambda run: run.state == "cancelled")
        assert (await self.restore(client, headers, version=2)).status_code == 200
        told = [e["version"] for e in await house.events("governed.dataset.ready.v1")]
        async with house.working():
            await house.when("b2", lambda run: run.state == "cancelled")
        after = [e["version"] for e in await house.events("governed.dataset.ready.v1")]
        assert (told, after) == ([1, 2, 3], [1, 2, 3, 5])
        assert (await house.governed())["name"].to_list() == [name for name, _ in WHOLE]

    async def test_what_was_restored_away_does_not_come_back_by_itself(
        self, house: Any, grown: None, client: Any, who: Any
    ) -> None:
        """b2 was undone; b3 replaces b1 and is withdrawn: b1 comes back, not b2."""
        await self.restore(client, who("steward", id="person:li"), agreed_rows=2)
        await house.land("b3", [*CUT, ("new", None)])
        await house.govern("b3")
        facts = RawBatchWithdrawn(dataset="club", batch_id="b3", source_id="source-a", by="person:wu")
        async with house.database.transaction() as session:
            await HANDLERS[RawBatchWithdrawn](session, facts, None, house.resources)  # type: ignore[arg-type]
        async with house.working():
            await house.when("b1", lambda run: run.revision > 1 and run.state == "finished")
        assert (await house.run("b2")).outcome == "superseded"
        assert (await house.governed())["name"].len() == 2

    async def test_follows_a_rollback_of_what_is_served(self, house: Any, grown: None) -> None:
        house.resources.extra["lake"] = house.lake
        for _ in range(2):  # told twice, done once
            await self.rolled_back(house, 1)
        assert (await house.governed())["name"].len() == 2
        ready = await house.events("governed.dataset.ready.v1")
        assert [(e["version"], e["agreed_by"]) for e in ready] == [(1, None), (2, None), (3, "person:zhou")]
        await house.land("b3", [("more", None)], source_id="source-b")
        await house.govern("b3")
        assert (await house.governed())["name"].len() == 3, (
            "the next batch does not bring back what was undone"
        )

    async def rolled_back(self, house: Any, governed_version: int) -> None:
        facts = PublishedDatasetUpdated.model_validate(
            {
                "dataset": "club",
                "title": "社团",
                "version": 1,
                "governed_version": governed_version,
                "batch_id": "b1",
                "row_count": 2,
                "content_digest": "0",
                "level": 4,
                "rolled_back": True,
                "published_at": now(),
                "by": "person:zhou",
            }
        )
        async with house.database.transaction() as session:
            await HANDLERS[PublishedDatasetUpdated](session, facts, None, house.resources)  # type: ignore[arg-type]
