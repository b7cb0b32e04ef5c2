"""What lacks too much of what is served waits for a person; what was taken back is not served again."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from edulake.common.events import BY_BLOCK, GovernedBatchFinished, RawBatchWithdrawn
from edulake.common.standards import Standards
from edulake.share_gateway.publication.guard import Counts, losses
from edulake.share_gateway.publication.jobs import HANDLERS
from hypothesis import given
from hypothesis import strategies as st

PATH = "/api/gateway/publications/school_base"
SERVED = "SELECT count(*) FROM published.school_base"
STATES = "SELECT governed_version, status FROM gateway.publication_job ORDER BY governed_version"


@pytest.fixture
def publish(govern: Any, queue: Any, loop: Any) -> Any:
    """`await publish("b1", rows)` → the governed version, after a try to publish it."""

    async def one(batch: str, rows: Any, **more: Any) -> int:
        ready = await govern(batch, rows, **more)
        await queue(ready)
        assert await loop.run_once()
        version: int = ready.version
        return version

    return one


@pytest.fixture
def hear(resources: Any) -> Any:
    """`await hear(event)` handles an event the way the bus does."""

    async def handle(facts: Any) -> None:
        async with resources.database.transaction() as session:
            await HANDLERS[type(facts)](session, facts, None, resources)

    return handle


@pytest.fixture
def schools(make_school: Any) -> Any:
    """`schools(30)` → as many rows, a third of them in one of two districts."""
    return lambda count, **over: [make_school(n, **over) for n in range(1, count + 1)]


async def states(admin: Any) -> dict[int, str]:
    return dict(await admin.fetch(STATES))


class TestAVersionThatLacksTooMuch:
    async def test_waits_and_what_is_served_stays(
        self, publish: Any, schools: Any, admin: Any, reader: Any, client: Any, steward: Any
    ) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(6))
        assert await reader.fetchval(SERVED) == 30
        [shown] = (await client.get("/api/gateway/publications", headers=steward)).json()
        assert (shown["current"], shown["job"]["status"], shown["job"]["row_count"]) == (1, "held", 6)
        assert "30→6 行" in shown["job"]["reason_zh"]
        [payload] = await admin.fetch(
            "SELECT payload FROM bus.log WHERE name = 'published.dataset.refused.v1'"
        )
        facts = orjson.loads(payload[0])
        assert (facts["outcome"], facts["batch_id"]) == ("held", "b2")

    async def test_also_when_it_lacks_them_in_one_district(
        self, publish: Any, schools: Any, reader: Any, client: Any, steward: Any
    ) -> None:
        rows = schools(30)
        await publish("b1", rows)
        moved = [row for row in rows if row["_region"] == "310115"][:5]
        for row in moved:
            row["_region"] = "310101"
        await publish("b2", rows)
        [shown] = (await client.get("/api/gateway/publications", headers=steward)).json()
        assert shown["job"]["status"] == "held"
        assert shown["job"]["reason_zh"] == "与现行发布相比：区划 310115 10→5 行"

    async def test_also_when_a_column_became_empty(
        self, publish: Any, schools: Any, client: Any, steward: Any
    ) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(30, estimated_pupils=None))
        [shown] = (await client.get("/api/gateway/publications", headers=steward)).json()
        assert (shown["job"]["status"], "estimated_pupils 30→0" in shown["job"]["reason_zh"]) == (
            "held",
            True,
        )

    async def test_goes_on_within_the_bound(self, publish: Any, schools: Any, reader: Any) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(27))
        assert await reader.fetchval(SERVED) == 27

    async def test_goes_on_when_it_was_agreed_to_in_governance(
        self, publish: Any, schools: Any, reader: Any
    ) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(6), agreed_by="person:zhou")
        assert await reader.fetchval(SERVED) == 6

    async def test_goes_on_when_what_it_lacks_must_not_be_served(
        self, publish: Any, schools: Any, reader: Any
    ) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(6), agreed_by=BY_BLOCK)
        assert await reader.fetchval(SERVED) == 6

    async def test_an_agreement_to_less_is_none_to_what_is_held_beneath_it(
        self, publish: Any, schools: Any, admin: Any, reader: Any
    ) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(6))
        await publish("b3", schools(5), agreed_by="person:zhou")
        assert await states(admin) == {1: "published", 2: "held", 3: "held"}
        assert await reader.fetchval(SERVED) == 30

    async def test_is_done_with_once_a_newer_one_has_it_all(
        self, publish: Any, loop: Any, schools: Any, admin: Any, reader: Any
    ) -> None:
        """As after a withdrawal: what it had replaced is governed again a moment later."""
        await publish("b1", schools(30))
        await publish("b2", schools(6))
        await publish("b3", schools(31))
        assert await loop.run_once()
        assert await states(admin) == {1: "published", 2: "published", 3: "published"}
        assert await reader.fetchval(SERVED) == 31


class TestAVersionThatARestoreHasUndone:
    async def test_is_not_served_for_the_moment_before_what_was_restored(
        self, publish: Any, govern: Any, restore: Any, queue: Any, loop: Any, schools: Any, reader: Any
    ) -> None:
        await publish("b1", schools(30))
        undone = await govern("b2", schools(31))
        restored = await restore(1)
        await queue(undone)
        await queue(restored)
        assert await loop.run_once()
        assert await reader.fetchval(SERVED) == 30
        while await loop.run_once():
            pass
        assert await reader.fetchval('SELECT version FROM published."_current"') == 2


class TestRelease:
    async def test_publishes_what_is_held(
        self, publish: Any, loop: Any, schools: Any, admin: Any, reader: Any, client: Any, steward: Any
    ) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(6))
        version = await publish("b3", schools(5))
        body = {"governed_version": version, "row_count": 5}
        answer = await client.post(f"{PATH}/release", json=body, headers=steward)
        assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
        while await loop.run_once():
            pass
        assert await reader.fetchval(SERVED) == 5
        assert set((await states(admin)).values()) == {"published"}

    @pytest.mark.parametrize(
        ("roles", "organisation", "body", "status"),
        [
            (("owner",), "市教育委员会信息中心", {"governed_version": 2, "row_count": 6}, 202),
            (("owner",), "elsewhere", {"governed_version": 2, "row_count": 6}, 403),
            (("source_contact",), "市教育委员会信息中心", {"governed_version": 2, "row_count": 6}, 403),
            (("owner",), "市教育委员会信息中心", {"governed_version": 2, "row_count": 7}, 409),
        ],
        ids=["the owner's house", "another house", "a contact", "other figures"],
    )
    async def test_is_for_who_answers_for_the_dataset_and_about_what_was_shown(
        self, publish: Any, schools: Any, client: Any, as_subject: Any, roles: Any, organisation: str,
        body: Any, status: int,
    ) -> None:  # fmt: skip
        await publish("b1", schools(30))
        await publish("b2", schools(6))
        who = as_subject(*roles, id="person:x", organisation=organisation, audience="gateway")
        assert (await client.post(f"{PATH}/release", json=body, headers=who)).status_code == status


class TestGoingBack:
    async def test_to_far_fewer_rows_asks_with_figures(
        self, publish: Any, schools: Any, reader: Any, client: Any, steward: Any
    ) -> None:
        await publish("b1", schools(6))
        await publish("b2", schools(30))
        asked = await client.post(f"{PATH}/rollback", json={"version": 1}, headers=steward)
        assert (asked.status_code, asked.json()["type"]) == (409, "urn:edulake:problem:loses-rows")
        assert (asked.json()["rows_now"], asked.json()["rows_then"]) == (30, 6)
        assert await reader.fetchval(SERVED) == 30
        body = {"version": 1, "agreed_rows": 6}
        assert (await client.post(f"{PATH}/rollback", json=body, headers=steward)).status_code == 200
        assert await reader.fetchval(SERVED) == 6
        [shown] = (await client.get("/api/gateway/publications", headers=steward)).json()
        assert [(one["version"], one["row_count_before"]) for one in shown["versions"]] == [(2, 6), (1, None)]

    async def test_is_not_for_an_owner_of_another_house(
        self, publish: Any, schools: Any, client: Any, as_subject: Any
    ) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(30))
        who = as_subject("owner", id="person:x", organisation="elsewhere", audience="gateway")
        assert (await client.post(f"{PATH}/rollback", json={"version": 1}, headers=who)).status_code == 403

    @pytest.mark.parametrize("how", ["withdrawn", "withdrawal", "block"])
    async def test_is_refused_where_rows_were_taken_back_since(
        self,
        publish: Any,
        schools: Any,
        hear: Any,
        reader: Any,
        client: Any,
        steward: Any,
        home: Path,
        how: str,
    ) -> None:
        await publish("b1", schools(29), contributors=("b1",))
        await publish("b2", schools(30), contributors=("b1", "b2"))
        await publish("b3", schools(29), contributors=("b1",))
        await hear(taken_out("b2", how))
        shutil.rmtree(home / "lake")  # the gateways of a cluster have none
        refused = await client.post(f"{PATH}/rollback", json={"version": 2}, headers=steward)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:edulake:problem:holds-taken-back")
        assert "批次 b2 已被撤回或拦截" in refused.json()["detail"]
        assert await reader.fetchval(SERVED) == 29
        without = await client.post(f"{PATH}/rollback", json={"version": 1}, headers=steward)
        assert without.status_code == 200

    async def test_is_possible_again_once_the_batch_is_governed_after_all(
        self, publish: Any, schools: Any, hear: Any, client: Any, steward: Any
    ) -> None:
        await publish("b1", schools(30), contributors=("b1",))
        await publish("b2", schools(30), contributors=("b2",))
        await hear(taken_out("b1", "block"))
        await hear(taken_out("b1", None))
        answer = await client.post(f"{PATH}/rollback", json={"version": 1}, headers=steward)
        assert answer.status_code == 200

    async def test_to_a_version_whose_batches_are_not_known_is_refused_while_any_is_taken_back(
        self, publish: Any, schools: Any, hear: Any, client: Any, steward: Any
    ) -> None:
        await publish("b1", schools(30))
        await publish("b2", schools(30))
        await hear(taken_out("b9", "block"))
        answer = await client.post(f"{PATH}/rollback", json={"version": 1}, headers=steward)
        assert answer.json()["type"] == "urn:edulake:problem:holds-taken-back"


def taken_out(batch: str, how: str | None) -> Any:
    """The event that tells how a batch's rows left; None: they are governed."""
    whose = {"dataset": "school_base", "batch_id": batch, "source_id": "a"}
    if how == "withdrawn":
        return RawBatchWithdrawn(**whose, by="person:wu")
    counts = {"rows_in": 1, "rows_governed": 0, "rows_quarantined": 0}
    outcome = "superseded" if how else "governed"
    return GovernedBatchFinished.model_validate({**whose, **counts, "outcome": outcome, "taken_out_by": how})


COUNTS = st.builds(
    lambda districts, empty: Counts(
        sum(districts.values()), districts, {"name": max(sum(districts.values()) - empty, 0)}
    ),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 50)),
    st.integers(0, 20),
)


class TestAnyCounts:
    @given(counts=COUNTS)
    def test_the_same_again_lacks_nothing(self, counts: Counts, standards: Standards) -> None:
        assert not losses(counts, counts, standards.datasets["school_base"])

    @given(served=COUNTS, wanted=COUNTS)
    def test_fewer_rows_than_the_bound_lets_go_are_told_whatever_else(
        self, served: Counts, wanted: Counts, standards: Standards
    ) -> None:
        contract = standards.datasets["school_base"]
        lost_too_many = served.rows - wanted.rows > contract.completeness.rows_lost_max * served.rows
        assert (f"{served.rows}→{wanted.rows} 行" in losses(served, wanted, contract).zh) or not lost_too_many
