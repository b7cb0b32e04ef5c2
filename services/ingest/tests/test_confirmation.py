"""A delivery that would take much away waits for its source's word, and lands with it."""

import asyncio
import os
from typing import Any

import httpx
import pytest
from edulake.common import faults
from edulake.common.service import Resources
from edulake.ingest.batch.confirmation import expire
from edulake.ingest.batch.replacing import is_beyond
from edulake.ingest.batch.sweep import sweep
from sqlalchemy import text

BATCHES = "/api/ingest/batches"
SOURCES = "/api/ingest/sources"
ROWS = f"{SOURCES}/roster/datasets/school_base/rows"


def rows(count: int, first: int = 0, head: str = "学校代码,学校名称,所属区") -> str:
    """A file of so many schools."""
    lines = (f"{number:06},第{number}中学,宝山区" for number in range(first, first + count))
    cells = len(head.split(","))
    return "\n".join([head, *(",".join(line.split(",")[:cells]) for line in lines)]) + "\n"


WHOLE, CUT = rows(20), rows(3)


@pytest.fixture
def confirm(client: httpx.AsyncClient, contact: dict[str, str]) -> Any:
    """`await confirm(batch)` repeats the figures that the batch shows."""

    async def send(
        batch: dict[str, Any], headers: dict[str, str] | None = None, **other: Any
    ) -> httpx.Response:
        shown = {**batch["replaces"], **other}
        return await client.post(
            f"{BATCHES}/{batch['batch_id']}/confirm", json=shown, headers=headers or contact
        )

    return send


@pytest.fixture
async def cut(deliver: Any) -> dict[str, Any]:
    """A cut file that waits, after a whole one."""
    assert (await deliver(WHOLE)).status_code == 202
    answer = await deliver(CUT)
    assert answer.status_code == 202, answer.text
    batch: dict[str, Any] = answer.json()
    assert batch["status"] == "unconfirmed"
    return batch


class TestACutFile:
    async def test_is_kept_and_says_in_figures_what_it_would_replace(
        self, deliver: Any, cut: dict[str, Any], landed_events: Any
    ) -> None:
        (event,) = await landed_events()
        replaces = cut["replaces"]
        assert (replaces["batch_id"], replaces["rows_before"], replaces["rows_after"]) == (
            event["batch_id"],
            20,
            3,
        )
        assert (replaces["change_percent"], replaces["odd"]) == (-85, ["rows"])
        assert replaces["zh"] == "3 行将替代 20 行（−85 %）"
        assert replaces["en"] == "3 rows will replace 20 (−85 %)"
        assert "确认" in cut["reason_zh"]
        assert cut["expires_at"] > cut["created_at"]
        assert cut["progress"]["done"] == 0

    async def test_lies_sealed_and_neither_in_manifest_nor_summary(
        self, client: httpx.AsyncClient, cut: dict[str, Any], resources: Resources, steward: Any
    ) -> None:
        folder = resources.settings.home / "lake" / "raw" / "school_base" / cut["digest"]
        assert sorted(path.name for path in folder.iterdir()) == ["original", "rows"]
        lake = resources.extra["deliveries"].lake
        async with resources.database.transaction() as session:
            assert len(await lake.versions(session, "raw", "school_base")) == 1
        summary = (await client.get("/api/ingest/summary", headers=steward)).json()
        assert (summary["rows_landed"], summary["datasets"][0]["last_rows"]) == (20, 20)
        assert summary["batches"] == {"landed": 1, "unconfirmed": 1}

    async def test_lands_once_confirmed_behind_all_that_landed_before(
        self, confirm: Any, cut: dict[str, Any], landed_events: Any, rows_of: Any, resources: Resources
    ) -> None:
        done = await confirm(cut)
        assert (done.status_code, done.json()["status"]) == (200, "landed"), done.text
        assert done.json()["replaces"]["zh"] == "3 行替代 20 行（−85 %）"
        first, second = await landed_events()
        assert second["batch_id"] == cut["batch_id"]
        assert second["landed_no"] > first["landed_no"]
        assert (await rows_of(second["digest"])).height == 3
        lake = resources.extra["deliveries"].lake
        async with resources.database.transaction() as session:
            assert await lake.verify(session, deep=True) == []
            assert len(await lake.versions(session, "raw", "school_base")) == 2

    async def test_confirmed_twice_lands_once(
        self, confirm: Any, cut: dict[str, Any], landed_events: Any
    ) -> None:
        answers = await asyncio.gather(*(confirm(cut) for _ in range(4)))
        assert [answer.status_code for answer in answers] == [200] * 4
        assert len(await landed_events()) == 2

    async def test_takes_its_number_when_it_is_confirmed(
        self, deliver: Any, confirm: Any, cut: dict[str, Any], landed_events: Any, client: Any, contact: Any
    ) -> None:
        """Another file lands meanwhile: the figures shown are stale, and the number comes after it."""
        other = (await deliver(rows(19))).json()
        stale = await confirm(cut)
        assert (stale.status_code, stale.json()["type"]) == (409, "urn:edulake:problem:figures-changed")
        assert stale.json()["replaces"]["rows_before"] == 19
        assert len(await landed_events()) == 2
        fresh = (await client.get(f"{BATCHES}/{cut['batch_id']}", headers=contact)).json()
        assert fresh["replaces"]["batch_id"] == other["batch_id"]
        assert (await confirm(fresh)).status_code == 200
        numbers = [event["landed_no"] for event in await landed_events()]
        assert numbers == sorted(set(numbers))

    @pytest.mark.parametrize("wrong", [{"rows_after": 4}, {"rows_before": 21}, {"batch_id": None}])
    async def test_is_not_confirmed_with_other_figures(
        self, confirm: Any, cut: dict[str, Any], landed_events: Any, wrong: dict[str, Any]
    ) -> None:
        assert (await confirm(cut, **wrong)).status_code == 409
        assert len(await landed_events()) == 1

    async def test_sent_again_is_the_batch_that_waits(
        self, deliver: Any, cut: dict[str, Any], count: Any
    ) -> None:
        again = await deliver(CUT)
        assert (again.status_code, again.json()["batch_id"]) == (200, cut["batch_id"])
        assert again.json()["status"] == "unconfirmed"
        assert await count("ingest.batch") == 2

    async def test_does_not_part_what_is_in_effect_from_its_repetition(
        self, deliver: Any, cut: dict[str, Any], landed_events: Any
    ) -> None:
        again = await deliver(WHOLE)
        (event,) = await landed_events()
        assert (again.status_code, again.json()["batch_id"]) == (200, event["batch_id"])

    async def test_with_a_key_is_the_batch_that_waits(self, deliver: Any, contact: dict[str, str]) -> None:
        headers = {**contact, "Idempotency-Key": "k-1"}
        await deliver(WHOLE)
        first, again = await deliver(CUT, headers=headers), await deliver(CUT, headers=headers)
        assert (first.status_code, again.status_code) == (202, 200)
        assert first.json()["batch_id"] == again.json()["batch_id"]
        assert again.json()["status"] == "unconfirmed"

    async def test_at_the_same_moment_waits_once(
        self, deliver: Any, count: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await deliver(WHOLE)
        together = asyncio.Barrier(4)

        async def meet(name: str) -> None:
            if name == "ingest.before_land":
                await together.wait()

        monkeypatch.setattr(faults, "point", meet)
        answers = await asyncio.gather(*(deliver(CUT) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 202]
        assert await count("ingest.batch") == 2

    async def test_kept_before_a_crash_is_found_again(
        self, deliver: Any, monkeypatch: pytest.MonkeyPatch, count: Any
    ) -> None:
        await deliver(WHOLE)

        async def crash(name: str) -> None:
            if name == "ingest.after_commit":
                raise RuntimeError("the process ended")

        with monkeypatch.context() as broken:
            broken.setattr(faults, "point", crash)
            assert (await deliver(CUT)).status_code == 500
        again = await deliver(CUT)
        assert (again.status_code, again.json()["status"]) == (200, "unconfirmed")
        assert await count("ingest.batch") == 2

    async def test_confirmed_before_a_crash_is_told_so_again(
        self, confirm: Any, cut: dict[str, Any], landed_events: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def crash(name: str) -> None:
            if name == "ingest.after_confirm":
                raise RuntimeError("the process ended")

        with monkeypatch.context() as broken:
            broken.setattr(faults, "point", crash)
            assert (await confirm(cut)).status_code == 500
        again = await confirm(cut)
        assert (again.status_code, again.json()["status"]) == (200, "landed")
        assert len(await landed_events()) == 2


class TestWhoMay:
    async def test_strangers_learn_nothing_and_overseers_do_not_confirm(
        self, confirm: Any, cut: dict[str, Any], stranger: dict[str, str], as_subject: Any, steward: Any
    ) -> None:
        assert (await confirm(cut, stranger)).status_code == 404
        assert (await confirm(cut, as_subject("owner", audience="ingest"))).status_code == 403
        assert (await confirm(cut, steward)).status_code == 200

    async def test_a_contact_of_before_is_no_contact_any_more(
        self, client: Any, confirm: Any, cut: dict[str, Any], steward: Any, roster: Any
    ) -> None:
        body = {name: roster[name] for name in ("title", "organisation", "authority", "datasets")}
        moved = {**body, "contact": "person:somebody-else"}
        assert (await client.put(f"{SOURCES}/roster", json=moved, headers=steward)).status_code == 200
        assert (await confirm(cut)).status_code == 404

    async def test_a_suspended_source_confirms_nothing(
        self, client: Any, confirm: Any, cut: dict[str, Any], steward: Any, roster: Any, landed_events: Any
    ) -> None:
        names = ("title", "organisation", "authority", "datasets", "contact")
        body = {**{name: roster[name] for name in names}, "status": "suspended"}
        assert (await client.put(f"{SOURCES}/roster", json=body, headers=steward)).status_code == 200
        assert (await confirm(cut)).status_code == 403
        assert len(await landed_events()) == 1

    async def test_it_lands_under_the_registration_of_that_moment(
        self, client: Any, confirm: Any, cut: dict[str, Any], steward: Any, roster: Any, landed_events: Any
    ) -> None:
        names = ("title", "organisation", "datasets", "contact")
        body = {**{name: roster[name] for name in names}, "authority": 90}
        assert (await client.put(f"{SOURCES}/roster", json=body, headers=steward)).status_code == 200
        assert (await confirm(cut)).status_code == 200
        assert [event["authority"] for event in await landed_events()] == [60, 90]


class TestEnding:
    async def test_withdrawn_it_was_never_announced_and_its_bytes_go(
        self,
        client: Any,
        cut: dict[str, Any],
        contact: dict[str, str],
        resources: Resources,
        confirm: Any,
        deliver: Any,
    ) -> None:
        answer = await client.post(f"{BATCHES}/{cut['batch_id']}/withdraw", headers=contact)
        assert (answer.status_code, answer.json()["status"]) == (200, "withdrawn")
        async with resources.database.transaction() as session:
            told = text("SELECT count(*) FROM bus.log WHERE name = 'raw.batch.withdrawn.v1'")
            assert await session.scalar(told) == 0
        assert (await confirm(cut)).json()["type"] == "urn:edulake:problem:nothing-to-confirm"
        assert await self.swept(resources, cut) == [f"raw/school_base/{cut['digest']}"]
        assert (await deliver(CUT)).json()["batch_id"] != cut["batch_id"]

    async def swept(self, resources: Resources, batch: dict[str, Any]) -> list[str]:
        folder = resources.settings.home / "lake" / "raw" / "school_base" / batch["digest"]
        os.utime(folder, (0, 0))
        return await sweep(resources)

    async def test_waiting_it_is_not_swept(
        self, cut: dict[str, Any], resources: Resources, confirm: Any
    ) -> None:
        assert await self.swept(resources, cut) == []
        assert (await confirm(cut)).status_code == 200

    async def test_too_long_it_ends_in_words(
        self, client: Any, cut: dict[str, Any], contact: dict[str, str], resources: Resources, confirm: Any
    ) -> None:
        assert await expire(resources) == 0
        async with resources.database.transaction() as session:
            older = text("UPDATE ingest.batch SET created_at = created_at - interval '15 days'")
            await session.execute(older)
        assert await expire(resources) == 1
        batch = (await client.get(f"{BATCHES}/{cut['batch_id']}", headers=contact)).json()
        assert batch["status"] == "withdrawn"
        assert batch["reason_zh"].startswith("14 天内没有确认")
        assert (await confirm(cut)).status_code == 409
        assert await self.swept(resources, cut) == [f"raw/school_base/{cut['digest']}"]


class TestWhatIsOdd:
    @pytest.mark.parametrize(
        ("before", "after", "odd"),
        [(10, 8, False), (10, 7, True), (8, 10, False), (7, 10, True), (10, 10, False), (1, 1, False)],
    )
    def test_a_bound_holds_both_ways(self, before: int, after: int, odd: bool) -> None:
        assert is_beyond(before, after, 0.2) is odd

    def test_who_may_lose_all_is_never_asked(self) -> None:
        assert not is_beyond(10, 1, 1)
        assert not is_beyond(1, 10, 1)

    async def test_a_small_change_lands_and_says_what_it_replaced(self, deliver: Any) -> None:
        await deliver(WHOLE)
        batch = (await deliver(rows(19))).json()
        assert batch["status"] == "landed"
        assert batch["replaces"]["zh"] == "19 行替代 20 行（−5 %）"
        assert batch["expires_at"] is None

    async def test_a_first_delivery_replaces_nothing(self, deliver: Any) -> None:
        batch = (await deliver(WHOLE)).json()
        assert (batch["status"], batch["replaces"]) == ("landed", None)

    async def test_a_doubled_file_waits(self, deliver: Any) -> None:
        await deliver(WHOLE)
        batch = (await deliver(rows(40))).json()
        assert (batch["status"], batch["replaces"]["zh"]) == ("unconfirmed", "40 行将替代 20 行（+100 %）")

    async def test_a_column_that_is_missing_waits_by_its_title(self, deliver: Any) -> None:
        await deliver(WHOLE)
        batch = (await deliver(rows(20, head="学校代码,学校名称"))).json()
        assert (batch["status"], batch["replaces"]["odd"]) == ("unconfirmed", ["columns"])
        (lost,) = batch["replaces"]["columns_lost"]
        assert f"缺少原有的列：{lost}" in batch["replaces"]["zh"]

    async def test_the_same_file_under_another_period_waits(self, deliver: Any, confirm: Any) -> None:
        first = (await deliver(WHOLE)).json()
        batch = (await deliver(WHOLE, period="2025")).json()
        assert (batch["status"], batch["replaces"]["odd"]) == ("unconfirmed", ["period"])
        assert batch["replaces"]["same_as"] == {
            "batch_id": first["batch_id"], "source_id": "roster", "period": "2024"
        }  # fmt: skip
        assert "请核对期次" in batch["replaces"]["zh"]
        assert (await confirm(batch)).json()["status"] == "landed"

    async def test_the_same_file_of_another_source_waits_and_its_batch_stays_unnamed(
        self, client: Any, deliver: Any, steward: Any, roster: Any
    ) -> None:
        await deliver(WHOLE)
        names = ("title", "organisation", "authority", "datasets", "contact")
        other = {**{name: roster[name] for name in names}, "id": "second"}
        assert (await client.post(SOURCES, json=other, headers=steward)).status_code == 201
        url = f"{SOURCES}/second/datasets/school_base/deliveries"
        batch = (await deliver(WHOLE, url=url)).json()
        assert (batch["status"], batch["replaces"]["odd"]) == ("unconfirmed", ["source"])
        assert batch["replaces"]["same_as"]["batch_id"] is None
        assert "请核对来源" in batch["replaces"]["zh"]

    async def test_a_file_once_under_another_period_but_replaced_there_is_no_question(
        self, deliver: Any
    ) -> None:
        await deliver(WHOLE)
        await deliver(rows(20, first=5))
        assert (await deliver(WHOLE, period="2025")).json()["status"] == "landed"

    @pytest.mark.parametrize("status", ["quarantined", "refused", "superseded", "withdrawn"])
    async def test_what_came_to_nothing_is_not_what_it_is_compared_with(
        self, deliver: Any, come_to: Any, confirm: Any, cut: dict[str, Any], status: str
    ) -> None:
        assert (await confirm(cut)).status_code == 200
        await come_to(cut["batch_id"], status)
        batch = (await deliver(rows(4))).json()
        assert (batch["status"], batch["replaces"]["rows_before"]) == ("unconfirmed", 20)


class TestPushes:
    async def send(self, client: Any, contact: Any, *numbers: int) -> dict[str, Any]:
        body = {
            "period": "2024",
            "rows": [{"学校代码": f"{one:06}", "学校名称": f"第{one}中学"} for one in numbers],
        }
        answer = await client.post(ROWS, json=body, headers=contact)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def test_add_and_are_not_asked(self, client: Any, deliver: Any, contact: Any) -> None:
        await deliver(WHOLE)
        batch = await self.send(client, contact, 1)
        assert (batch["status"], batch["replaces"]) == ("landed", None)

    async def test_that_a_smaller_file_would_replace_are_asked_about(
        self, client: Any, deliver: Any, contact: Any, roster: Any
    ) -> None:
        await self.send(client, contact, *range(20))
        await self.send(client, contact, 1)
        batch = (await deliver(rows(3, head="学校代码,学校名称"))).json()
        assert (batch["status"], batch["replaces"]["rows_before"]) == ("unconfirmed", 20)

    async def test_that_a_larger_file_replaces_are_not(
        self, client: Any, deliver: Any, contact: Any, roster: Any
    ) -> None:
        await self.send(client, contact, 1)
        assert (await deliver(WHOLE)).json()["status"] == "landed"


class TestAProgramThatMeansIt:
    async def test_states_its_rows_and_is_not_asked_about_them(
        self, deliver: Any, landed_events: Any
    ) -> None:
        await deliver(WHOLE)
        batch = (await deliver(CUT, confirm_rows="3")).json()
        assert (batch["status"], batch["replaces"]["zh"]) == ("landed", "3 行替代 20 行（−85 %）")
        assert len(await landed_events()) == 2

    async def test_sends_the_file_that_waits_again_with_its_rows(
        self, deliver: Any, cut: dict[str, Any], landed_events: Any
    ) -> None:
        again = await deliver(CUT, confirm_rows="3")
        assert (again.status_code, again.json()["status"]) == (202, "landed")
        assert again.json()["batch_id"] == cut["batch_id"]
        assert len(await landed_events()) == 2

    async def test_whose_file_has_other_rows_is_refused(self, deliver: Any, count: Any) -> None:
        answer = await deliver(CUT, confirm_rows="2728")
        assert (answer.status_code, answer.json()["where"]) == (422, "form.confirm_rows")
        assert await count("ingest.batch") == 0
        assert (await deliver(CUT)).status_code == 202
        assert (await deliver(CUT, confirm_rows="2728")).status_code == 422

    @pytest.mark.parametrize("wrong", ["", "x", "-1", "1.5", "9999999999"])
    async def test_must_state_a_number(self, deliver: Any, wrong: str) -> None:
        assert (await deliver(CUT, confirm_rows=wrong)).status_code == 422

    async def test_is_asked_about_the_period_all_the_same(self, deliver: Any) -> None:
        await deliver(WHOLE)
        batch = (await deliver(WHOLE, period="2025", confirm_rows="20")).json()
        assert (batch["status"], batch["replaces"]["odd"]) == ("unconfirmed", ["period"])
