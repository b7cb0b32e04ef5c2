"""Delivering a file: what lands, and what a repetition does."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from edulake.common import faults
from edulake.common.lake import manifest
from edulake.common.service import Resources

CSV = "学校代码,学校名称,所属区\n0031,求真中学,宝山区\n0032,长征中学,普陀区\n"
OTHER = "学校代码,学校名称,所属区\n0032,长征中学,普陀区\n0033,真北中学,普陀区\n"
SOURCES = "/api/ingest/sources"


class TestItsNames:
    """What a file and its columns are called may name a person."""

    NAME = "卡纳瑞甲.csv"

    async def test_the_name_it_came_with_is_told_to_who_mends_it_alone(
        self, deliver: Any, client: httpx.AsyncClient, contact: Any, steward: Any, as_subject: Any, dump: Any
    ) -> None:
        batch = (await deliver(CSV, name=self.NAME)).json()
        path = f"/api/ingest/batches/{batch['batch_id']}"
        seen = {}
        auditor = as_subject("audit_admin", id="person:sun-audit", audience="ingest")
        for name, headers in (("contact", contact), ("steward", steward), ("auditor", auditor)):
            answer = await client.get(path, headers=headers)
            listed = await client.get("/api/ingest/batches", headers=headers)
            seen[name] = (answer.json()["filename"], listed.json()["items"][0]["filename"])
            assert "sealed" not in answer.text
        called = f"school_base-2024-{batch['digest'][:8]}.csv"
        assert seen == {
            "contact": (self.NAME, self.NAME),
            "steward": (self.NAME, self.NAME),
            "auditor": (called, called),
        }
        assert "卡纳瑞" not in await dump("ingest.batch") + await dump("bus.log")

    async def test_a_name_with_a_number_of_a_person_is_not_kept_at_all(self, deliver: Any) -> None:
        batch = (await deliver(CSV, name="310199880305123.csv")).json()
        assert batch["filename"] == f"school_base-2024-{batch['digest'][:8]}.csv"

    async def test_unknown_headers_are_stored_and_announced_by_place_and_shape(
        self, deliver: Any, rows_of: Any, dump: Any
    ) -> None:
        batch = (await deliver("学校代码,学校名称（卡纳瑞）,卡纳瑞乙\n0031,求真中学,\n")).json()
        assert batch["columns"] == ["学校代码", "学校名称", "第 3 列（汉字 1–4 位）"]
        assert "卡纳瑞" not in await dump("ingest.batch") + await dump("bus.log")
        assert "卡纳瑞乙" in (await rows_of(batch["digest"])).columns, "sealed, as it came"


class TestAFile:
    async def test_lands_with_its_rows_as_text(self, deliver: Any, rows_of: Any) -> None:
        answer = await deliver(CSV)

        assert answer.status_code == 202, answer.text
        batch = answer.json()
        assert answer.headers["location"] == f"/api/ingest/batches/{batch['batch_id']}"
        assert (batch["status"], batch["rows_landed"], batch["format"]) == ("landed", 2, "csv")
        assert batch["progress"] == {"step": "landed", "done": 1, "total": 3}
        assert set(batch["seconds_by_step"]) == {"receive", "read", "land"}
        frame = await rows_of(batch["digest"])
        assert frame["学校代码"].to_list() == ["0031", "0032"]
        assert frame["_row"].to_list() == [2, 3]

    async def test_is_announced_once_with_all_facts(self, deliver: Any, landed_events: Any) -> None:
        batch = (await deliver(CSV)).json()

        (event,) = await landed_events()
        assert event["batch_id"] == batch["batch_id"]
        assert event["object"] == f"raw/school_base/{batch['digest']}/rows"
        assert event["columns"] == ["学校代码", "学校名称", "所属区"]
        assert (event["authority"], event["contact"], event["row_count"]) == (60, "person:wu-contact", 2)

    async def test_is_vouched_for_by_the_manifest(self, deliver: Any, resources: Resources) -> None:
        batch = (await deliver(CSV)).json()

        lake = resources.extra["deliveries"].lake
        async with resources.database.transaction() as session:
            manifest = await lake.manifest(session, "raw", "school_base")
            assert await lake.verify(session, deep=True) == []
        assert (manifest.batch_id, manifest.row_count) == (batch["batch_id"], 2)

    async def test_lies_sealed_on_the_disk(self, deliver: Any, resources: Resources) -> None:
        batch = (await deliver(CSV)).json()

        folder = resources.settings.home / "lake" / "raw" / "school_base" / batch["digest"]
        assert sorted(path.name for path in folder.iterdir()) == ["original", "rows"]
        assert all("求真".encode() not in path.read_bytes() for path in folder.iterdir())

    async def test_leaves_nothing_staged(self, deliver: Any, resources: Resources) -> None:
        await deliver(CSV)

        assert list((resources.settings.home / "tmp" / "ingest").iterdir()) == []

    async def test_may_come_with_the_period_first(
        self, client: httpx.AsyncClient, roster: Any, contact: dict[str, str]
    ) -> None:
        body = (
            '--b\r\nContent-Disposition: form-data; name="period"\r\n\r\n2024\r\n'
            '--b\r\nContent-Disposition: form-data; name="file"; filename="../../x/学校.csv"\r\n\r\n'
            f"{CSV}\r\n--b--\r\n"
        ).encode()
        headers = {**contact, "Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.post(
            f"{SOURCES}/roster/datasets/school_base/deliveries", content=body, headers=headers
        )

        assert answer.status_code == 202, answer.text
        assert answer.json()["filename"] == "学校.csv"

    async def test_of_ragged_rows_lands_whole_and_tells(self, deliver: Any, rows_of: Any) -> None:
        batch = (await deliver("学校代码,学校名称\n0031,求真\n0032,长征,多余\n0033,真北\n")).json()

        assert batch["notes"]["ragged_rows"] == 1
        frame = await rows_of(batch["digest"])
        assert "多余" in frame["_shape"].to_list()[1]

    async def test_is_recognised_by_the_mapping_of_its_source(
        self,
        client: httpx.AsyncClient,
        deliver: Any,
        steward: dict[str, str],
        roster: Any,
        landed_events: Any,
    ) -> None:
        foreign = "XX码,XX名\n0031,求真中学\n"
        assert (await deliver(foreign)).status_code == 422
        mapping = {"school_base": {"XX码": "school_code", "XX名": "school_name"}}
        defaults = {"school_base": {"district_code": "310113"}}
        body = {name: roster[name] for name in ("title", "organisation", "contact", "datasets")}
        changed = await client.put(
            f"{SOURCES}/roster", json={**body, "mapping": mapping, "defaults": defaults}, headers=steward
        )
        assert changed.status_code == 200, changed.text

        assert (await deliver(foreign)).status_code == 202
        (event,) = await landed_events()
        assert (event["mapping"], event["defaults"]) == (mapping["school_base"], defaults["school_base"])


class TestTheSameFileAgain:
    async def test_gives_the_first_batch(self, deliver: Any, count: Any, landed_events: Any) -> None:
        first, again = await deliver(CSV), await deliver(CSV, name="renamed.csv")

        assert (first.status_code, again.status_code) == (202, 200)
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        assert (await count("ingest.batch"), len(await landed_events())) == (1, 1)

    async def test_at_the_same_moment_makes_one_batch(
        self, deliver: Any, count: Any, landed_events: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together = asyncio.Barrier(6)

        async def meet(name: str) -> None:
            if name == "ingest.before_land":
                await together.wait()

        monkeypatch.setattr(faults, "point", meet)
        answers = await asyncio.gather(*(deliver(CSV) for _ in range(6)))

        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [202]
        assert len({answer.json()["batch_id"] for answer in answers}) == 1
        assert (await count("ingest.batch"), len(await landed_events())) == (1, 1)

    async def test_for_another_period_is_another_batch_over_the_same_object(
        self, deliver: Any, landed_events: Any
    ) -> None:
        first, second = await deliver(CSV), await deliver(CSV, period="2025")

        assert second.status_code == 202
        assert first.json()["batch_id"] != second.json()["batch_id"]
        assert len({event["object"] for event in await landed_events()}) == 1

    async def test_after_a_withdrawal_is_a_new_batch(
        self, client: httpx.AsyncClient, deliver: Any, contact: dict[str, str]
    ) -> None:
        first = (await deliver(CSV)).json()["batch_id"]
        await client.post(f"/api/ingest/batches/{first}/withdraw", headers=contact)

        again = await deliver(CSV)
        assert again.status_code == 202
        assert again.json()["batch_id"] != first

    @pytest.mark.parametrize(
        "change",
        [
            {"mapping": {"school_base": {"学校名称": "short_name"}}},
            {"defaults": {"school_base": {"district_code": "310113"}}},
            {"authority": 61},
            {"title": "初中名册"},  # the stage of schools whose rows do not say it is read from the title
        ],
        ids=lambda change: next(iter(change)),
    )
    async def test_under_a_changed_registration_is_a_new_batch(
        self, client: httpx.AsyncClient, deliver: Any, steward: dict[str, str], roster: Any, change: Any
    ) -> None:
        await deliver(CSV)
        body = {name: roster[name] for name in ("title", "organisation", "contact", "authority", "datasets")}
        changed = await client.put(f"{SOURCES}/roster", json={**body, **change}, headers=steward)
        assert changed.status_code == 200, changed.text

        assert (await deliver(CSV)).status_code == 202
        assert (await deliver(CSV)).status_code == 200

    async def test_after_another_file_of_the_period_is_a_new_batch(
        self, deliver: Any, landed_events: Any
    ) -> None:
        first, other, again, repeated = [await deliver(each) for each in (CSV, OTHER, CSV, CSV)]

        assert [answer.status_code for answer in (first, other, again, repeated)] == [202, 202, 202, 200]
        assert again.json()["batch_id"] not in (first.json()["batch_id"], other.json()["batch_id"])
        assert repeated.json()["batch_id"] == again.json()["batch_id"]
        numbers = [event["landed_no"] for event in await landed_events()]
        assert numbers == sorted(set(numbers))

    async def test_after_a_file_of_another_period_is_the_first_batch(self, deliver: Any) -> None:
        await deliver(CSV)
        await deliver(OTHER, period="2025")
        assert (await deliver(CSV)).status_code == 200

    async def test_after_another_file_that_was_withdrawn_is_the_first_batch(
        self, client: httpx.AsyncClient, deliver: Any, contact: dict[str, str]
    ) -> None:
        first, other = (await deliver(CSV)).json(), (await deliver(OTHER)).json()
        await client.post(f"/api/ingest/batches/{other['batch_id']}/withdraw", headers=contact)

        again = await deliver(CSV)
        assert (again.status_code, again.json()["batch_id"]) == (200, first["batch_id"])

    @pytest.mark.parametrize("status", ["quarantined", "refused", "superseded"])
    async def test_after_the_first_came_to_nothing_is_a_new_batch(
        self, deliver: Any, come_to: Any, status: str
    ) -> None:
        first = (await deliver(CSV)).json()["batch_id"]
        await come_to(first, status)

        again = await deliver(CSV)
        assert again.status_code == 202
        assert again.json()["batch_id"] != first
        assert (await deliver(CSV)).json()["batch_id"] == again.json()["batch_id"]

    @pytest.mark.parametrize("status", ["governed", "published"])
    async def test_after_the_first_is_in_effect_is_the_first_batch(
        self, deliver: Any, come_to: Any, status: str
    ) -> None:
        first = (await deliver(CSV)).json()["batch_id"]
        await come_to(first, status)
        assert (await deliver(CSV)).json()["batch_id"] == first


class TestTheOrderOfLanding:
    async def test_is_the_order_of_the_events_of_a_dataset(
        self, deliver: Any, landed_events: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also when a delivery overtakes one that has stored its objects already."""
        stored, overtaken = asyncio.Event(), asyncio.Event()
        lock = manifest.lock

        async def first_waits(*args: Any, **more: Any) -> bool:
            if not stored.is_set():
                stored.set()
                await overtaken.wait()
            return await lock(*args, **more)

        monkeypatch.setattr(manifest, "lock", first_waits)
        slow = asyncio.create_task(deliver(CSV))
        await stored.wait()
        fast = (await deliver(OTHER, period="2025")).json()
        overtaken.set()
        await slow

        events = await landed_events()
        assert events[0]["batch_id"] == fast["batch_id"]
        assert events[0]["landed_no"] < events[1]["landed_no"]


class TestTooManyAtOnce:
    @pytest.fixture
    def settings(self, make_settings: Callable[..., Any]) -> Any:
        from edulake.ingest.settings import IngestSettings

        return make_settings(IngestSettings, uploads_max=1, reader_memory_bytes=1 << 30)

    async def test_are_told_to_come_back(self, deliver: Any) -> None:
        answers = await asyncio.gather(*(deliver(CSV, period=str(year)) for year in range(2020, 2024)))

        codes = sorted(answer.status_code for answer in answers)
        assert codes[0] == 202
        assert set(codes[1:]) <= {202, 429}
        assert 429 in codes
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "5"
        assert (await deliver(CSV, period="2030")).status_code == 202
