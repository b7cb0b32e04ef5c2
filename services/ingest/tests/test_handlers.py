"""What becomes of a batch is the same in whatever order it is heard."""

import itertools
from typing import Any
from uuid import uuid4

import httpx
import pytest
from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.events import (
    Event,
    GovernedBatchFinished,
    PublishedDatasetRefused,
    PublishedDatasetUpdated,
)
from edulake.common.service import Resources
from edulake.ingest.handlers import HANDLERS
from sqlalchemy import text

BATCHES = "/api/ingest/batches"


def finished(batch_id: str, **facts: Any) -> GovernedBatchFinished:
    plain: dict[str, Any] = {
        "dataset": "school_base",
        "batch_id": batch_id,
        "source_id": "roster",
        "outcome": "governed",
        "version": 3,
        "rows_in": 2,
        "rows_governed": 1,
        "rows_quarantined": 1,
        "quarantined_by_rule": {"school_name.required": 1},
        "seconds_by_step": {"convert": 0.2},
    }
    return GovernedBatchFinished(**{**plain, **facts})


def published(batch_id: str, **facts: Any) -> PublishedDatasetUpdated:
    plain: dict[str, Any] = {
        "dataset": "school_base",
        "title": "学校基础",
        "version": 7,
        "governed_version": 3,
        "batch_id": batch_id,
        "row_count": 1,
        "content_digest": "0",
        "level": 1,
        "published_at": now(),
    }
    return PublishedDatasetUpdated(**{**plain, **facts})


def refused(batch_id: str, **facts: Any) -> PublishedDatasetRefused:
    plain: dict[str, Any] = {
        "dataset": "school_base",
        "governed_version": 3,
        "batch_id": batch_id,
        "outcome": "blocked",
        "reason_zh": "业务主键重复",
        "reason_en": "a business key occurs twice",
        "refused_at": now(),
    }
    return PublishedDatasetRefused(**{**plain, **facts})


@pytest.fixture
def hear(resources: Resources) -> Any:
    """`await hear(event)` handles an event the way the bus does."""

    async def handle(data: Any) -> None:
        envelope = Event(
            event_id=uuid4(), name=data.name, key=data.key(), occurred_at=now(), producer="t",
            trace_id="0" * 32, data={},
        )  # fmt: skip
        async with resources.database.transaction() as session:
            await HANDLERS[type(data)](session, data, envelope, resources)

    return handle


@pytest.fixture
def batch_of(client: httpx.AsyncClient, steward: dict[str, str]) -> Any:
    async def read(batch_id: str) -> dict[str, Any]:
        body: dict[str, Any] = (await client.get(f"{BATCHES}/{batch_id}", headers=steward)).json()
        return body

    return read


class TestOneBatch:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    async def test_ends_published_with_its_counts_in_any_order(
        self, deliver: Any, hear: Any, batch_of: Any, order: tuple[int, ...]
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        events = [finished(batch_id), published(batch_id), finished(batch_id)]

        for index in order:
            await hear(events[index])
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["governed_version"], batch["published_version"]) == ("published", 3, 7)
        assert (batch["rows_governed"], batch["rows_quarantined"]) == (1, 1)
        assert batch["quarantined_by_rule"] == {"school_name.required": 1}
        assert batch["progress"] == {"step": "published", "done": 3, "total": 3}
        assert {"receive", "read", "land", "convert"} <= set(batch["seconds_by_step"])

    @pytest.mark.parametrize(
        ("outcome", "status"),
        [
            ("below_threshold", "quarantined"),
            ("refused", "refused"),
            ("superseded", "superseded"),
            ("held", "held"),
        ],
    )
    async def test_that_is_not_governed_says_why(
        self, deliver: Any, hear: Any, batch_of: Any, outcome: str, status: str
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        words = {"version": None, "reason_zh": "合格率过低", "reason_en": "too few rows passed"}

        await hear(finished(batch_id, outcome=outcome, **words))
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["reason_zh"]) == (status, "合格率过低")

    async def test_stays_as_it_is_when_a_later_batch_is_published(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        bad = (await deliver(period="2023")).json()["batch_id"]
        good = (await deliver(period="2024")).json()["batch_id"]

        await hear(finished(bad, outcome="below_threshold", version=None))
        await hear(finished(good))
        await hear(published(good))
        assert (await batch_of(bad))["status"] == "quarantined"
        assert (await batch_of(good))["status"] == "published"

    async def test_withdrawn_in_time_stays_withdrawn(
        self, client: httpx.AsyncClient, deliver: Any, hear: Any, batch_of: Any, contact: dict[str, str]
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await client.post(f"{BATCHES}/{batch_id}/withdraw", headers=contact)

        await hear(finished(batch_id, outcome="refused", version=None))
        assert (await batch_of(batch_id))["status"] == "withdrawn"

    async def test_governed_before_the_withdrawal_was_heard_is_shown_as_it_is(
        self, client: httpx.AsyncClient, deliver: Any, hear: Any, batch_of: Any, contact: dict[str, str]
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await client.post(f"{BATCHES}/{batch_id}/withdraw", headers=contact)
        again = await deliver()  # the same file may stand beside it
        assert again.status_code == 202

        await hear(finished(batch_id))
        assert (await batch_of(batch_id))["status"] == "governed"

    async def test_governed_though_it_was_withdrawn_is_told_again(
        self,
        client: httpx.AsyncClient,
        deliver: Any,
        hear: Any,
        contact: dict[str, str],
        resources: Resources,
    ) -> None:
        """Its landing lay among the dead letters when the withdrawal was heard, and was replayed after it."""
        batch_id = (await deliver()).json()["batch_id"]
        await client.post(f"{BATCHES}/{batch_id}/withdraw", headers=contact)

        await hear(finished(batch_id))
        async with resources.database.transaction() as session:
            log = text("SELECT payload FROM bus.log WHERE name = 'raw.batch.withdrawn.v1' ORDER BY pos")
            told = [(each["batch_id"], each["by"]) for each in await session.scalars(log)]
        assert told == [(batch_id, "person:wu-contact"), (batch_id, "service:ingest")]

    async def test_that_was_taken_out_again_is_withdrawn_whatever_was_heard_before(
        self, client: httpx.AsyncClient, deliver: Any, hear: Any, batch_of: Any, contact: dict[str, str]
    ) -> None:
        """It was governed and published before governance heard of the withdrawal."""
        batch_id = (await deliver()).json()["batch_id"]
        await client.post(f"{BATCHES}/{batch_id}/withdraw", headers=contact)
        await hear(finished(batch_id))
        await hear(published(batch_id))

        taken_out = {"outcome": "superseded", "version": None, "rows_governed": 0}
        await hear(finished(batch_id, **taken_out))
        await hear(published(batch_id, governed_version=4, version=8))
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["rows_governed"]) == ("withdrawn", 0)
        assert (batch["reason_zh"], batch["reason_en"]) == ("来源已撤回", "withdrawn by its source")


class TestPublication:
    async def test_of_a_later_version_holds_the_earlier_ones(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        first = (await deliver(period="2023")).json()["batch_id"]
        second = (await deliver(period="2024")).json()["batch_id"]
        third = (await deliver(period="2025")).json()["batch_id"]

        await hear(finished(first, version=1))
        await hear(published(second, governed_version=2))
        await hear(finished(second, version=2))
        await hear(finished(third, version=3))
        states = [(await batch_of(batch_id))["status"] for batch_id in (first, second, third)]
        assert states == ["published", "published", "governed"]

    async def test_of_an_older_version_heard_late_takes_nothing_back(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await hear(published(str(uuid4()), governed_version=5, version=9))
        await hear(published(str(uuid4()), governed_version=2, version=8))

        await hear(finished(batch_id, version=4))
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["published_version"]) == ("published", 9)

    async def test_rolled_back_makes_no_batch_unpublished(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await hear(finished(batch_id))
        await hear(published(batch_id))
        await hear(published(batch_id, version=8, governed_version=1, rolled_back=True))
        assert (await batch_of(batch_id))["status"] == "published"

    async def test_of_strangers_is_no_error(self, hear: Any) -> None:
        await hear(finished(str(uuid4())))
        await hear(finished("not-a-uuid"))
        await hear(published("not-a-uuid"))


class TestRefusedPublication:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
    async def test_says_why_in_any_order(
        self, deliver: Any, hear: Any, batch_of: Any, order: tuple[int, ...]
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        events = [finished(batch_id), refused(batch_id)]
        for index in order:
            await hear(events[index])
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["governed_version"], batch["rows_governed"]) == ("refused", 3, 1)
        assert "业务主键重复" in batch["reason_zh"]
        assert "a business key occurs twice" in batch["reason_en"]

    async def test_is_taken_back_when_it_is_published_after_all(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        for event in (finished(batch_id), refused(batch_id), published(batch_id)):
            await hear(event)
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["published_version"], batch["reason_zh"]) == ("published", 7, "")

    async def test_is_taken_back_by_a_later_version_that_holds_the_rows(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await hear(finished(batch_id))
        await hear(refused(batch_id))
        await hear(published(str(uuid4()), governed_version=4))
        assert (await batch_of(batch_id))["status"] == "published"

    async def test_takes_nothing_back_that_is_published(self, deliver: Any, hear: Any, batch_of: Any) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        for event in (finished(batch_id), published(batch_id), refused(batch_id, governed_version=9)):
            await hear(event)
        assert (await batch_of(batch_id))["status"] == "published"

    async def test_of_an_earlier_version_does_not_hold_for_a_reprocessed_batch(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        for event in (finished(batch_id), refused(batch_id), finished(batch_id, version=4)):
            await hear(event)
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["reason_zh"]) == ("governed", "")

    async def test_does_not_hide_that_governance_refused_it_later(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        words = {"version": None, "outcome": "refused", "reason_zh": "不合标准"}
        await hear(finished(batch_id))
        await hear(refused(batch_id))
        await hear(finished(batch_id, **words))
        await hear(published(str(uuid4()), governed_version=9))
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["reason_zh"]) == ("refused", "不合标准")

    async def test_of_a_removal_says_that_the_rows_are_still_served_until_they_are_not(
        self, client: httpx.AsyncClient, deliver: Any, hear: Any, batch_of: Any, contact: dict[str, str]
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await client.post(f"{BATCHES}/{batch_id}/withdraw", headers=contact)
        taken_out = {"outcome": "superseded", "version": None, "rows_governed": 0}
        for event in (finished(batch_id), published(batch_id), finished(batch_id, **taken_out)):
            await hear(event)
        await hear(refused(batch_id, governed_version=4))
        batch = await batch_of(batch_id)
        assert batch["status"] == "withdrawn"
        assert "尚未更新：业务主键重复" in batch["reason_zh"]

        await hear(published(str(uuid4()), governed_version=5, version=8))
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["reason_zh"]) == ("withdrawn", "来源已撤回")

    async def test_of_a_version_a_batch_was_taken_out_of_says_nothing_about_the_batch(
        self, deliver: Any, hear: Any, batch_of: Any
    ) -> None:
        """Blocked when it was governed again: the version without it is refused first and published later."""
        batch_id = (await deliver()).json()["batch_id"]
        words = {"version": None, "outcome": "refused", "reason_zh": "含敏感内容"}
        for event in (finished(batch_id), published(batch_id), finished(batch_id, **words)):
            await hear(event)
        await hear(refused(batch_id, governed_version=4))
        await hear(published(batch_id, governed_version=4, version=8))
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["reason_zh"]) == ("refused", "含敏感内容")

    @pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
    async def test_that_a_restore_has_undone_is_not_taken_back_by_what_was_restored(
        self, deliver: Any, hear: Any, batch_of: Any, order: tuple[int, ...]
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await hear(finished(batch_id))
        await hear(refused(batch_id))
        left = {"version": None, "outcome": "superseded", "reason_zh": "数据集已恢复到版本 2"}
        events = [finished(batch_id, **left), published(str(uuid4()), governed_version=4)]
        for index in order:
            await hear(events[index])
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["reason_zh"]) == ("superseded", "数据集已恢复到版本 2")

        await hear(finished(batch_id, version=5))  # restored once more, to a version that holds it
        await hear(published(batch_id, governed_version=5, version=9))
        assert (await batch_of(batch_id))["status"] == "published"

    async def test_of_strangers_is_no_error(self, hear: Any) -> None:
        await hear(refused(str(uuid4())))
        await hear(refused("not-a-uuid"))


async def test_the_service_hears_the_bus(deliver: Any, resources: Resources, batch_of: Any) -> None:
    batch_id = (await deliver()).json()["batch_id"]
    async with resources.database.transaction() as session:
        await announce(session, finished(batch_id))

    import asyncio

    async with asyncio.timeout(60):
        while (await batch_of(batch_id))["status"] != "governed":
            await asyncio.sleep(0.05)


class TestHeld:
    """A batch that waits for a person: in governance, or with its publication."""

    WORDS = {"reason_zh": "缺少 18 个主键", "reason_en": "18 keys are missing"}  # noqa: RUF012

    async def test_in_governance_may_be_taken_back_by_its_source(
        self, client: httpx.AsyncClient, deliver: Any, hear: Any, batch_of: Any, contact: dict[str, str]
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await hear(finished(batch_id, outcome="held", version=None, **self.WORDS))
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["reason_zh"], batch["progress"]["done"]) == (
            "held",
            "缺少 18 个主键",
            1,
        )
        answer = await client.post(f"{BATCHES}/{batch_id}/withdraw", headers=contact)
        assert (answer.status_code, answer.json()["status"]) == (200, "withdrawn")

    async def test_is_what_the_same_file_finds_again(self, deliver: Any, hear: Any) -> None:
        first = (await deliver()).json()["batch_id"]
        await hear(finished(first, outcome="held", version=None, **self.WORDS))
        again = await deliver()
        assert (again.status_code, again.json()["batch_id"]) == (200, first)

    @pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
    async def test_with_its_publication_says_so_and_is_published_at_last(
        self, client: httpx.AsyncClient, deliver: Any, hear: Any, batch_of: Any,
        contact: dict[str, str], order: tuple[int, ...],
    ) -> None:  # fmt: skip
        batch_id = (await deliver()).json()["batch_id"]
        events = [finished(batch_id), refused(batch_id, outcome="held", reason_zh="30→6 行")]
        for index in order:
            await hear(events[index])
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["progress"]["done"]) == ("held", 2)
        assert batch["reason_zh"].startswith("数据已治理，暂缓发布：30→6 行")
        late = await client.post(f"{BATCHES}/{batch_id}/withdraw", headers=contact)
        assert late.status_code == 409, "it is governed"
        await hear(published(batch_id))
        batch = await batch_of(batch_id)
        assert (batch["status"], batch["reason_zh"]) == ("published", "")
