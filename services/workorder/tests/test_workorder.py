"""A quality problem from its first failure to its proof, and back when it recurs."""

from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import httpx
import pytest
from edulake.common.events import (
    GovernedBatchFinished,
    QualityBatchAssessed,
    QualityRuleFailed,
    RawBatchWithdrawn,
)
from edulake.common.service import Resources
from edulake.workorder.app import create_app
from edulake.workorder.handlers import on_assessment, on_failure, on_finished, on_withdrawn
from edulake.workorder.order.states import BY_EVENT, TRANSITIONS, next_state
from edulake.workorder.settings import WorkorderSettings
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

Headers = Callable[..., dict[str, str]]
RULE = "district_code.known"


@pytest.fixture
async def world(make_settings: Any, client_for: Any, neighbourhood: Any) -> AsyncIterator["World"]:
    app = create_app(make_settings(WorkorderSettings))
    async with client_for(app) as client:
        neighbourhood.join(app)
        neighbourhood.contacts |= {"roster-b": "person:wu", "roster-a": "person:wu"}
        neighbourhood.know("person:wu", "source_contact")
        yield World(client, app.state.resources)


class World:
    """The service, and batches that fail or pass."""

    def __init__(self, client: httpx.AsyncClient, resources: Resources) -> None:
        self.client = client
        self.resources = resources

    async def fail(
        self,
        batch: str,
        rule: str = RULE,
        source: str = "roster-b",
        rows: int = 3,
        checked: int = 100,
        **place: Any,
    ) -> None:
        """A batch broke a rule. `place`: landed_no, revision, is_whole, period, where the event tells them."""
        facts = QualityRuleFailed(
            dataset="school_base",
            batch_id=batch,
            source_id=source,
            contact="person:wu",
            organisation="第三方",
            rule_id=rule,
            rule_title="所属区不在代码表中",
            field="district_code",
            severity="error",
            dimension="规范性",
            failed_rows=rows,
            checked_rows=checked,
            examples=["东*区"],
            **place,
        )
        async with self.resources.database.transaction() as session:
            await on_failure(session, facts, None, self.resources)  # type: ignore[arg-type]

    async def assess(
        self,
        batch: str,
        failed: int = 0,
        checked: int = 100,
        source: str = "roster-b",
        rule_id: str = RULE,
        **facts_: Any,
    ) -> None:
        """A batch was checked. `facts_`: landed_no, revision, is_whole, outcome, rules, period, agreed_by."""
        rule = {"rule_id": rule_id, "field": "district_code", "failed_rows": failed, "checked_rows": checked}
        facts = QualityBatchAssessed.model_validate(
            {
                "dataset": "school_base",
                "batch_id": batch,
                "source_id": source,
                "contact": "person:wu",
                "organisation": "第三方",
                "outcome": "governed",
                "rules": [rule],
                **facts_,
            }
        )
        async with self.resources.database.transaction() as session:
            await on_assessment(session, facts, None, self.resources)  # type: ignore[arg-type]

    async def leave(self, batch: str, taken_out_by: str | None, outcome: str = "superseded") -> None:
        """The rows of a batch are governed no more."""
        facts = GovernedBatchFinished.model_validate(
            {
                "dataset": "school_base",
                "batch_id": batch,
                "source_id": "roster-b",
                "outcome": outcome,
                "rows_in": 100,
                "rows_governed": 0,
                "rows_quarantined": 0,
                "taken_out_by": taken_out_by,
            }
        )
        async with self.resources.database.transaction() as session:
            await on_finished(session, facts, None, self.resources)  # type: ignore[arg-type]

    async def history(self, headers: dict[str, str]) -> list[tuple[str, str]]:
        """Action and note of each entry of the only order."""
        (order,) = await self.orders(headers)
        detail = await self.client.get(f"/api/workorder/orders/{order['id']}", headers=headers)
        return [(entry["action"], entry["note"]) for entry in detail.json()["history"]]

    async def orders(self, headers: dict[str, str], query: str = "") -> list[dict[str, Any]]:
        answer = await self.client.get(f"/api/workorder/orders{query}", headers=headers)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    async def act(self, order: str, action: str, headers: dict[str, str], **body: str) -> httpx.Response:
        return await self.client.post(f"/api/workorder/orders/{order}/{action}", json=body, headers=headers)


@pytest.fixture
def steward(as_subject: Headers) -> dict[str, str]:
    return as_subject("steward", id="person:li", audience="workorder")


@pytest.fixture
def contact(as_subject: Headers) -> dict[str, str]:
    return as_subject("source_contact", id="person:wu", audience="workorder")


class TestOpening:
    async def test_one_order_per_source_and_rule_not_per_row_or_batch(
        self, world: World, steward: Any
    ) -> None:
        await world.fail("b1")
        await world.fail("b2", rows=5)
        await world.fail("b2", source="roster-a")
        orders = await world.orders(steward)
        assert len(orders) == 2
        mine = next(order for order in orders if order["source_id"] == "roster-b")
        assert (mine["failed_rows"], mine["recurrences"], mine["batch_id"]) == (5, 1, "b2")

    async def test_the_same_batch_told_twice_changes_nothing(self, world: World, steward: Any) -> None:
        await world.fail("b1")
        await world.fail("b1")
        (order,) = await world.orders(steward)
        assert order["recurrences"] == 0


class TestClosing:
    async def test_the_whole_way_assign_resolve_prove_recur(
        self, world: World, steward: Any, contact: Any
    ) -> None:
        await world.fail("b1")
        ((order),) = await world.orders(steward)
        assert (await world.act(order["id"], "assign", steward, assignee="person:wu")).status_code == 200
        resolved = await world.act(order["id"], "resolve", contact, note="已补正区名")
        assert resolved.json()["status"] == "resolved"
        await world.assess("b2")
        (closed,) = await world.orders(steward)
        assert (closed["status"], closed["closed_by_batch"]) == ("closed", "b2")
        await world.fail("b3")
        (again,) = await world.orders(steward)
        assert (again["status"], again["closed_by_batch"], again["recurrences"]) == ("open", None, 1)
        detail = await world.client.get(f"/api/workorder/orders/{order['id']}", headers=steward)
        actions = [entry["action"] for entry in detail.json()["history"]]
        assert actions == ["open", "assign", "resolve", "prove", "recur"]

    @pytest.mark.parametrize(
        ("batch", "failed", "checked", "source"),
        [
            ("b1", 0, 100, "roster-b"),
            ("b2", 1, 100, "roster-b"),
            ("b2", 0, 0, "roster-b"),
            ("b2", 0, 9, "other"),
        ],
        ids=["the batch that opened it", "still failing", "rule not checked", "another source"],
    )
    async def test_nothing_else_proves_it(
        self, world: World, steward: Any, batch: str, failed: int, checked: int, source: str
    ) -> None:
        await world.fail("b1")
        await world.assess(batch, failed, checked, source)
        (order,) = await world.orders(steward)
        assert order["status"] == "open"

    async def test_a_person_cannot_close_one(self, world: World, steward: Any) -> None:
        await world.fail("b1")
        (order,) = await world.orders(steward)
        assert (await world.act(order["id"], "resolve", steward, note="已好")).status_code == 409
        assert (await world.act(order["id"], "prove", steward, note="已好")).status_code == 404


class TestWhatCountsAsProof:
    """Batches are governed again in any order; only what was delivered or governed later counts."""

    FAILED: ClassVar[dict[str, Any]] = {"landed_no": 5, "revision": 1, "is_whole": True}

    async def status(self, world: World, headers: dict[str, str]) -> tuple[str, str, str | None]:
        (order,) = await world.orders(headers)
        return order["status"], order["batch_id"], order["closed_by_batch"]

    @pytest.mark.parametrize(
        "facts",
        [
            {"landed_no": 4, "revision": 3, "is_whole": True},
            {"landed_no": 6, "revision": 1, "is_whole": False},
            {"landed_no": 6, "revision": 1, "is_whole": True, "outcome": "below_threshold"},
            {"landed_no": 6, "revision": 1, "is_whole": True, "outcome": "superseded"},
            {"landed_no": 6, "revision": 1, "is_whole": True, "outcome": "refused"},
        ],
        ids=["an older batch governed again", "pushed rows", "below threshold", "superseded", "refused"],
    )
    async def test_is_neither_older_nor_partial_nor_undecided(
        self, world: World, steward: Any, facts: dict[str, Any]
    ) -> None:
        await world.fail("b5", **self.FAILED)
        await world.assess("other", **facts)
        assert await self.status(world, steward) == ("open", "b5", None)

    async def test_is_the_same_batch_governed_once_more(self, world: World, steward: Any) -> None:
        await world.fail("b5", **self.FAILED)
        await world.assess("b5", landed_no=5, revision=1, is_whole=True)
        assert await self.status(world, steward) == ("open", "b5", None)
        await world.assess("b5", landed_no=5, revision=2, is_whole=True)
        assert await self.status(world, steward) == ("closed", "b5", "b5")

    async def test_is_not_undone_by_an_older_batch_that_fails_again(self, world: World, steward: Any) -> None:
        await world.fail("b5", **self.FAILED)
        await world.assess("b6", landed_no=6, revision=1, is_whole=True)
        await world.fail("b4", landed_no=4, revision=2, is_whole=True)
        await world.fail("b5", **{**self.FAILED, "revision": 2})
        assert await self.status(world, steward) == ("closed", "b5", "b6")
        await world.fail("b6", landed_no=6, revision=2, is_whole=True)
        assert await self.status(world, steward) == ("open", "b6", None)

    async def test_an_older_failure_leaves_an_open_order_as_it_is(self, world: World, steward: Any) -> None:
        await world.fail("b5", **self.FAILED)
        await world.fail("b4", landed_no=4, revision=2, is_whole=True, rows=9)
        (order,) = await world.orders(steward)
        assert (order["batch_id"], order["failed_rows"], order["recurrences"]) == ("b5", 3, 0)

    async def test_the_same_batch_that_still_fails_brings_its_numbers_up_to_date(
        self, world: World, steward: Any
    ) -> None:
        await world.fail("b5", **self.FAILED)
        await world.fail("b5", rows=1, **{**self.FAILED, "revision": 2})
        (order,) = await world.orders(steward)
        assert (order["failed_rows"], order["recurrences"]) == (1, 0)
        await world.assess("b5", landed_no=5, revision=2, is_whole=True)
        assert (await self.status(world, steward))[0] == "open"

    @pytest.mark.parametrize(("checked", "status"), [(2, "open"), (3, "closed")])
    async def test_pushed_rows_prove_what_as_many_pushed_rows_broke(
        self, world: World, steward: Any, checked: int, status: str
    ) -> None:
        await world.fail("p5", landed_no=5, revision=1, is_whole=False)
        await world.assess("p6", checked=checked, landed_no=6, revision=1, is_whole=False)
        assert (await self.status(world, steward))[0] == status


class TestWhatAProofCovers:
    """A file from which the bad rows, and most others, were simply left out mends nothing."""

    @pytest.mark.parametrize(("checked", "status"), [(199, "open"), (2182, "closed"), (2181, "open")])
    async def test_what_the_order_was_opened_on_but_for_what_the_contract_lets_go(
        self, world: World, steward: Any, checked: int, status: str
    ) -> None:
        await world.fail("b5", rows=420, checked=2728, landed_no=5, revision=1, is_whole=True)
        await world.assess("b6", checked=checked, landed_no=6, revision=1, is_whole=True)
        assert (await world.orders(steward))[0]["status"] == status
        if status == "open":
            (_, note) = (await world.history(steward))[-1]
            assert f"只检查了 2728 行中的 {checked} 行，覆盖不足" in note

    async def test_the_largest_delivery_since_the_order_was_opened(self, world: World, steward: Any) -> None:
        """A cut file that still broke the rule does not lower what the next one has to cover."""
        await world.fail("b5", checked=2728, landed_no=5, revision=1, is_whole=True)
        await world.fail("b6", checked=199, landed_no=6, revision=1, is_whole=True)
        await world.assess("b7", checked=199, landed_no=7, revision=1, is_whole=True)
        assert (await world.orders(steward))[0]["status"] == "open"

    async def test_an_agreed_loss_is_no_proof_but_what_the_next_delivery_has_to_cover(
        self, world: World, steward: Any
    ) -> None:
        """Rows that are gone prove nothing, whoever agreed; a list that really shrank can still be proven."""
        await world.fail("b5", checked=2728, landed_no=5, revision=1, is_whole=True)
        place = {"landed_no": 6, "revision": 2, "is_whole": True}
        await world.assess("b6", checked=199, agreed_by="person:zhou", **place)
        assert (await world.orders(steward))[0]["status"] == "open"
        assert "下一次完整报送按 199 行衡量" in (await world.history(steward))[-1][1]
        await world.assess("b7", checked=198, landed_no=7, revision=1, is_whole=True)
        assert (await world.orders(steward))[0]["closed_by_batch"] == "b7"

    async def test_a_held_batch_proves_nothing(self, world: World, steward: Any) -> None:
        await world.fail("b5", landed_no=5, revision=1, is_whole=True)
        await world.assess("b6", outcome="held", landed_no=6, revision=1, is_whole=True)
        assert (await world.orders(steward))[0]["status"] == "open"


class TestOrdersForWhatIsMissing:
    """An order of the rule `batch.completeness` is about the delivery of one period."""

    RULE = "batch.completeness"

    async def opened(self, world: World) -> None:
        facts = {"landed_no": 6, "revision": 1, "is_whole": True, "period": "2024"}
        await world.fail("b6", self.RULE, rows=1801, checked=2000, **facts)

    @pytest.mark.parametrize(
        ("facts", "status"),
        [
            ({"failed": 0, "checked": 2000, "period": "2024"}, "closed"),
            ({"failed": 7, "checked": 2000, "period": "2024"}, "closed"),
            ({"failed": 1801, "checked": 2000, "period": "2024", "agreed_by": "person:zhou"}, "closed"),
            ({"failed": 0, "checked": 2000, "period": "2023"}, "open"),
            ({"failed": 0, "checked": 0, "period": "2024"}, "open"),
            ({"failed": 1801, "checked": 2000, "period": "2024", "outcome": "held"}, "open"),
        ],
        ids=["whole again", "within the bound", "agreed to", "another period", "not compared", "still held"],
    )
    async def test_are_closed_by(self, world: World, steward: Any, facts: Any, status: str) -> None:
        await self.opened(world)
        place = {"landed_no": 7, "revision": 1, "is_whole": True}
        await world.assess("b7", rule_id=self.RULE, **place, **facts)
        assert (await world.orders(steward))[0]["status"] == status

    @pytest.mark.parametrize(("batch", "status"), [("b6", "closed"), ("b5", "open")])
    async def test_end_when_the_source_takes_that_batch_back(
        self, world: World, steward: Any, batch: str, status: str
    ) -> None:
        await self.opened(world)
        facts = RawBatchWithdrawn(dataset="school_base", batch_id=batch, source_id="roster-b", by="person:wu")
        async with world.resources.database.transaction() as session:
            await on_withdrawn(session, facts, None, world.resources)  # type: ignore[arg-type]
        assert (await world.orders(steward))[0]["status"] == status


class TestProofThatLeft:
    async def proven(self, world: World) -> None:
        await world.fail("b5", landed_no=5, revision=1, is_whole=True)
        await world.assess("b6", landed_no=6, revision=1, is_whole=True)

    @pytest.mark.parametrize("how", ["restore", "withdrawal", "block"])
    async def test_opens_the_order_again_in_words(self, world: World, steward: Any, how: str) -> None:
        await self.proven(world)
        await world.leave("b6", how)
        (order,) = await world.orders(steward)
        assert (order["status"], order["closed_by_batch"]) == ("open", None)
        action, note = (await world.history(steward))[-1]
        assert (action, "b6" in note, "须重新验证" in note) == ("reopen", True, True)

    async def test_is_no_loss_when_a_later_delivery_replaced_it(self, world: World, steward: Any) -> None:
        await self.proven(world)
        await world.leave("b6", None)
        assert (await world.orders(steward))[0]["status"] == "closed"

    async def test_is_told_twice_and_heard_once(self, world: World, steward: Any) -> None:
        await self.proven(world)
        await world.leave("b6", "restore")
        await world.leave("b6", "restore")
        assert [action for action, _ in await world.history(steward)] == ["open", "prove", "reopen"]

    async def test_lets_the_batch_that_came_back_speak_again(self, world: World, steward: Any) -> None:
        """What it had replaced is governed once more: it landed before the one that left."""
        await self.proven(world)
        await world.leave("b6", "withdrawal")
        await world.assess("b5", landed_no=5, revision=2, is_whole=True)
        assert (await world.orders(steward))[0]["closed_by_batch"] == "b5"


class TestRulesThatAreNoMore:
    async def test_end_their_orders_and_the_history_says_so(self, world: World, steward: Any) -> None:
        await world.fail("b5", landed_no=5, revision=1, is_whole=True)
        await world.assess("b6", rules=[], landed_no=6, revision=1, is_whole=True, outcome="refused")
        (order,) = await world.orders(steward)
        assert order["status"] == "open"  # stopped before its rules were checked
        await world.assess("b7", rules=[], landed_no=7, revision=1, is_whole=True)
        detail = await world.client.get(f"/api/workorder/orders/{order['id']}", headers=steward)
        assert (detail.json()["status"], detail.json()["closed_by_batch"]) == ("closed", "b7")
        last = detail.json()["history"][-1]
        assert (last["action"], "不在数据标准中" in last["note"]) == ("retire", True)


class TestTakingAndResolving:
    async def history(self, world: World, order: str, headers: dict[str, str]) -> list[tuple[str, str, str]]:
        detail = (await world.client.get(f"/api/workorder/orders/{order}", headers=headers)).json()
        return [(entry["action"], entry["by"], entry["note"]) for entry in detail["history"]]

    async def test_a_contact_takes_an_open_order_and_resolves_it(self, world: World, contact: Any) -> None:
        await world.fail("b1")
        (order,) = await world.orders(contact)
        taken = (await world.act(order["id"], "take", contact)).json()
        assert (taken["status"], taken["assignee"]) == ("assigned", "person:wu")
        assert taken["actions"] == ["comment", "resolve"]
        resolved = (await world.act(order["id"], "resolve", contact, note="已补正区名")).json()
        assert (resolved["status"], resolved["actions"]) == ("resolved", ["comment"])

    async def test_a_contact_who_reports_an_open_order_has_taken_it_in_the_same_step(
        self, world: World, contact: Any
    ) -> None:
        await world.fail("b1")
        (order,) = await world.orders(contact)
        resolved = (await world.act(order["id"], "resolve", contact, note="已补正区名")).json()
        assert (resolved["status"], resolved["assignee"]) == ("resolved", "person:wu")
        assert await self.history(world, order["id"], contact) == [
            ("open", "service:workorder", "3 行不符合规则"),
            ("take", "person:wu", "报告处理时认领"),
            ("resolve", "person:wu", "已补正区名"),
        ]

    async def test_a_refused_report_takes_nothing(self, world: World, contact: Any) -> None:
        await world.fail("b1")
        (order,) = await world.orders(contact)
        assert (await world.act(order["id"], "resolve", contact, note=" ")).status_code == 422
        (after,) = await world.orders(contact)
        assert (after["status"], after["assignee"]) == ("open", None)

    async def test_an_order_in_hand_is_not_taken_from_its_worker(
        self, world: World, steward: Any, contact: Any, neighbourhood: Any
    ) -> None:
        await world.fail("b1")
        (order,) = await world.orders(steward)
        neighbourhood.know("person:other", "steward")
        await world.act(order["id"], "assign", steward, assignee="person:other")
        refused = await world.act(order["id"], "take", contact)
        assert refused.status_code == 409
        assert "“处理中”的工单不能认领" in refused.json()["detail"]

    async def test_each_is_told_what_he_himself_can_do(
        self, world: World, steward: Any, contact: Any, as_subject: Headers
    ) -> None:
        await world.fail("b1")
        (order,) = await world.orders(steward)
        auditor = as_subject("audit_admin", id="person:sun", audience="workorder")
        told = [
            (await world.client.get(f"/api/workorder/orders/{order['id']}", headers=who)).json()["actions"]
            for who in (steward, contact, auditor)
        ]
        assert told == [["assign", "comment", "take"], ["comment", "resolve", "take"], []]


class TestSeeing:
    async def test_a_contact_sees_its_own_orders_only(
        self, world: World, as_subject: Headers, contact: Any
    ) -> None:
        await world.fail("b1")
        assert len(await world.orders(contact)) == 1
        stranger = as_subject("source_contact", id="person:other", audience="workorder")
        assert await world.orders(stranger) == []

    async def test_a_stranger_finds_nothing_and_changes_nothing(
        self, world: World, as_subject: Headers, steward: Any
    ) -> None:
        await world.fail("b1")
        (order,) = await world.orders(steward)
        stranger = as_subject("source_contact", id="person:other", audience="workorder")
        assert (await world.act(order["id"], "comment", stranger, text="看看")).status_code == 404

    async def test_a_contact_does_not_assign(self, world: World, contact: Any) -> None:
        await world.fail("b1")
        (order,) = await world.orders(contact)
        assert (await world.act(order["id"], "assign", contact, assignee="person:x")).status_code == 403

    async def test_pages_and_filters(self, world: World, steward: Any) -> None:
        for number in range(5):
            await world.fail("b1", rule=f"rule.n{number}")
        first = await world.client.get("/api/workorder/orders?limit=3&status=open", headers=steward)
        second = await world.client.get(
            f"/api/workorder/orders?limit=3&status=open&cursor={first.json()['next']}", headers=steward
        )
        seen = {item["id"] for item in first.json()["items"] + second.json()["items"]}
        assert len(seen) == 5
        assert await world.orders(steward, "?status=closed") == []
        assert len(await world.orders(steward, "?rule_id=rule.n2")) == 1

    async def test_only_late_orders_when_asked_for(self, world: World, steward: Any) -> None:
        await world.fail("b1", rule="rule.late")
        await world.fail("b1", rule="rule.in-time")
        async with world.resources.database.transaction() as session:
            late = "UPDATE workorder.\"order\" SET due_at = now() - interval '1 hour' WHERE rule_id = :rule"
            await session.execute(text(late), {"rule": "rule.late"})
        found = await world.orders(steward, "?overdue=true")
        assert [order["rule_id"] for order in found] == ["rule.late"]

    async def test_those_still_open_are_found_behind_those_closed_last(
        self, world: World, steward: Any
    ) -> None:
        await world.fail("b1", rule="rule.open", source="roster-a")
        await world.fail("b1")
        await world.assess("b2")  # closes the second, which so changed last
        found = await world.orders(steward, "?unclosed=true&limit=1")
        assert [order["rule_id"] for order in found] == ["rule.open"]
        assert len(await world.orders(steward)) == 2

    async def test_mine_are_those_i_am_named_in(self, world: World, steward: Any) -> None:
        await world.fail("b1")
        assert await world.orders(steward, "?mine=true") == []
        (order,) = await world.orders(steward)
        await world.act(order["id"], "take", steward)
        assert len(await world.orders(steward, "?mine=true")) == 1

    async def test_the_summary_counts(self, world: World, steward: Any) -> None:
        await world.fail("b1")
        summary = (await world.client.get("/api/workorder/summary", headers=steward)).json()
        assert summary == {
            "by_status": {"open": 1},
            "unclosed_by_dataset": {"school_base": 1},
            "overdue": 0,
        }


OWNER = {"id": "person:chen", "organisation": "市教育委员会信息中心"}
FOREIGN = {"id": "client:b-owner", "organisation": "乙区教育局"}


class TestWho:
    """Decided by whose the source and the dataset are now, not by what an event or an assignment said (A2, A3)."""

    async def order(self, world: World, steward: Any) -> str:
        await world.fail("b1")
        return str((await world.orders(steward))[0]["id"])

    async def reads(self, world: World, order: str, headers: dict[str, str]) -> tuple[int, int]:
        one = await world.client.get(f"/api/workorder/orders/{order}", headers=headers)
        return one.status_code, len(await world.orders(headers)) if one.status_code != 403 else 0

    async def test_a_former_contact_sees_and_does_nothing_and_the_new_one_all(
        self, world: World, steward: Any, contact: Any, as_subject: Headers, neighbourhood: Any
    ) -> None:
        order = await self.order(world, steward)
        neighbourhood.contacts["roster-b"] = "client:new"
        new = as_subject("source_contact", id="client:new", audience="workorder")
        assert await self.reads(world, order, contact) == (404, 0)
        assert (await world.act(order, "resolve", contact, note="已补正")).status_code == 404
        assert await self.reads(world, order, new) == (200, 1)
        shown = (await world.client.get(f"/api/workorder/orders/{order}", headers=new)).json()
        assert (shown["contact"], shown["actions"]) == ("client:new", ["comment", "resolve", "take"])
        assert (await world.act(order, "resolve", new, note="已补正")).status_code == 200

    async def test_a_contact_whose_role_was_taken_away_sees_nothing(
        self, world: World, steward: Any, as_subject: Headers
    ) -> None:
        order = await self.order(world, steward)
        for roles in ([], ["applicant"]):
            former = as_subject(*roles, id="person:wu", audience="workorder")
            assert await self.reads(world, order, former) == (403, 0)

    @pytest.mark.parametrize(
        ("roles", "who", "expected"),
        [
            (["owner"], OWNER, (200, 1)),
            (["owner"], FOREIGN, (404, 0)),
            (["owner"], {"id": "client:p", "accountable": "person:zhou-owner"}, (200, 1)),
            (["approver"], OWNER, (403, 0)),
            (["system_admin"], OWNER, (403, 0)),
            (["security_admin"], OWNER, (403, 0)),
            (["audit_admin"], {"id": "person:sun"}, (200, 1)),
        ],
        ids=["owner", "foreign owner", "program of the owner", "approver", "system", "security", "audit"],
    )
    async def test_offices_see_what_is_in_their_care(
        self, world: World, steward: Any, as_subject: Headers, roles: Any, who: Any, expected: Any
    ) -> None:
        order = await self.order(world, steward)
        headers = as_subject(*roles, audience="workorder", **who)
        assert await self.reads(world, order, headers) == expected

    async def test_a_foreign_owner_assigns_nothing(
        self, world: World, steward: Any, as_subject: Headers
    ) -> None:
        order = await self.order(world, steward)
        foreign = as_subject("owner", audience="workorder", **FOREIGN)
        assert (await world.act(order, "assign", foreign, assignee="person:wu")).status_code == 404

    @pytest.mark.parametrize(
        ("assignee", "status"),
        [
            ("person:wu", 200),
            ("person:li", 200),
            ("person:chen", 200),
            ("client:b-contact", 422),
            ("client:b-owner", 422),
            ("person:does-not-exist", 422),
            ("person:nothing", 422),
            ("wu", 422),
        ],
        ids=["contact", "steward", "owner", "foreign contact", "foreign owner", "nobody", "no role", "bare"],
    )
    async def test_an_order_is_given_to_those_who_may_work_on_it(
        self, world: World, steward: Any, neighbourhood: Any, assignee: str, status: int
    ) -> None:
        order = await self.order(world, steward)
        neighbourhood.know("person:li", "steward")
        neighbourhood.know("person:chen", "owner", organisation=OWNER["organisation"])
        neighbourhood.know("client:b-contact", "source_contact")
        neighbourhood.know("client:b-owner", "owner", organisation=FOREIGN["organisation"])
        neighbourhood.nobody.add("person:does-not-exist")
        answer = await world.act(order, "assign", steward, assignee=assignee)
        assert answer.status_code == status, answer.text
        if status == 422:
            assert answer.json()["where"] == "body.assignee"

    async def test_being_named_gives_no_right(
        self, world: World, steward: Any, as_subject: Headers, neighbourhood: Any
    ) -> None:
        order = await self.order(world, steward)
        neighbourhood.know("person:temp", "steward")
        assert (await world.act(order, "assign", steward, assignee="person:temp")).status_code == 200
        named = as_subject("source_contact", id="person:temp", audience="workorder")
        assert await self.reads(world, order, named) == (404, 0)
        mine = await world.client.get("/api/workorder/orders?mine=true", headers=named)
        assert mine.json()["items"] == []

    async def test_while_ingest_is_silent_a_contact_waits_and_a_steward_works(
        self, world: World, steward: Any, contact: Any, neighbourhood: Any
    ) -> None:
        order = await self.order(world, steward)
        neighbourhood.silent = True
        path = f"/api/workorder/orders/{order}"
        assert (await world.client.get(path, headers=contact)).status_code == 503
        assert (await world.client.get("/api/workorder/orders", headers=contact)).status_code == 503
        seen = await world.client.get(path, headers=steward)
        assert (seen.status_code, seen.json()["contact"]) == (200, None)
        assert len(await world.orders(steward)) == 1


class TestAnnouncing:
    async def test_each_change_is_one_event_in_order(self, world: World, steward: Any) -> None:
        await world.fail("b1")
        await world.assess("b2")
        async with world.resources.database.read() as session:
            query = text("SELECT payload->>'status' FROM bus.log WHERE name = :n ORDER BY pos")
            states = list(await session.scalars(query, {"n": "workorder.order.changed.v1"}))
        assert states == ["open", "closed"]


class TestStates:
    @given(st.lists(st.sampled_from(["assign", "take", "resolve", "recur", "comment"]), max_size=12))
    def test_no_way_without_proof_leads_to_closed(self, actions: list[str]) -> None:
        state = "open"
        for action in actions:
            state = next_state(state, action) or state
        assert state != "closed"

    def test_every_state_can_be_reached_and_left(self) -> None:
        reached = {target for actions in TRANSITIONS.values() for target in actions.values()}
        assert reached == set(TRANSITIONS)
        assert all(TRANSITIONS.values())
        assert {"prove", "recur", "reopen", "retire"} == BY_EVENT
