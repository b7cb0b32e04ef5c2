"""Reading batches and taking them back."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from edulake.common.service import Resources
from sqlalchemy import text

BATCHES = "/api/ingest/batches"
YEARS = ("2021", "2022", "2023")


def of_year(year: str) -> str:
    """A file like no other year's: the same one twice would be asked about."""
    return f"学校代码,学校名称,所属区\n0031,求真中学,宝山区\n0032,{year}中学,普陀区\n"


class TestReading:
    async def test_lists_newest_first_by_pages_and_filters(
        self, client: httpx.AsyncClient, deliver: Any, steward: dict[str, str]
    ) -> None:
        ids = [(await deliver(of_year(year), period=year)).json()["batch_id"] for year in YEARS]

        first = (await client.get(BATCHES, params={"limit": 2}, headers=steward)).json()
        rest = (
            await client.get(BATCHES, params={"limit": 2, "cursor": first["next"]}, headers=steward)
        ).json()
        assert [b["batch_id"] for b in first["items"] + rest["items"]] == ids[::-1]
        assert rest["next"] is None
        for query, found in (
            ({"dataset": "school_base"}, 3), ({"dataset": "x"}, 0), ({"source": "roster"}, 3),
            ({"source": "x"}, 0), ({"status": "landed"}, 3), ({"status": "published"}, 0),
        ):  # fmt: skip
            assert len((await client.get(BATCHES, params=query, headers=steward)).json()["items"]) == found

    async def test_a_contact_sees_its_own_only_and_learns_nothing_of_others(
        self, client: httpx.AsyncClient, deliver: Any, contact: dict[str, str], stranger: dict[str, str]
    ) -> None:
        batch = (await deliver()).json()["batch_id"]

        assert len((await client.get(BATCHES, headers=contact)).json()["items"]) == 1
        assert (await client.get(BATCHES, headers=stranger)).json()["items"] == []
        hidden = await client.get(f"{BATCHES}/{batch}", headers=stranger)
        absent = await client.get(f"{BATCHES}/{uuid4()}", headers=stranger)
        assert (hidden.status_code, absent.status_code) == (404, 404)
        assert hidden.json()["type"] == absent.json()["type"] == "urn:edulake:problem:unknown-batch"

    async def test_refuses_applicants(self, client: httpx.AsyncClient, as_subject: Any) -> None:
        headers = as_subject("applicant", audience="ingest")
        assert (await client.get(BATCHES, headers=headers)).status_code == 403

    async def test_sums_up(self, client: httpx.AsyncClient, deliver: Any, as_subject: Any) -> None:
        await deliver()
        answer = await client.get("/api/ingest/summary", headers=as_subject("applicant", audience="ingest"))
        body = answer.json()
        assert (body["sources"], body["batches"], body["rows_landed"]) == (1, {"landed": 1}, 2)
        assert body["batches_by_dataset"] == {"school_base": 1}

    async def test_names_the_newest_batch_of_each_dataset(
        self, client: httpx.AsyncClient, deliver: Any, as_subject: Any
    ) -> None:
        await deliver()
        newest = (await deliver(of_year("2099"), period="2099")).json()
        answer = await client.get("/api/ingest/summary", headers=as_subject("applicant", audience="ingest"))
        (dataset,) = answer.json()["datasets"]
        assert (dataset["dataset"], dataset["batches"], dataset["rows_landed"]) == ("school_base", 2, 4)
        assert dataset["last_batch_id"] == newest["batch_id"]
        assert (dataset["last_status"], dataset["last_rows"]) == ("landed", 2)
        assert dataset["last_landed_at"] == newest["created_at"]


class TestWaiting:
    """A batch that nobody takes on says so: an event may be lost, a worker may be off."""

    @pytest.fixture
    def age(self, resources: Resources) -> Any:
        async def make_older(status: str, reason: str = "") -> None:
            async with resources.database.transaction() as session:
                await session.execute(
                    text(
                        "UPDATE ingest.batch SET status = :status, reason_zh = :reason, "
                        "updated_at = updated_at - interval '2 hours'"
                    ),
                    {"status": status, "reason": reason},
                )

        return make_older

    @pytest.mark.parametrize(
        ("status", "zh", "en"), [("landed", "治理", "governance"), ("governed", "发布", "publication")]
    )
    async def test_too_long_says_for_what(
        self, client: httpx.AsyncClient, deliver: Any, contact: dict[str, str], age: Any,
        status: str, zh: str, en: str,
    ) -> None:  # fmt: skip
        batch_id = (await deliver()).json()["batch_id"]
        assert (await client.get(f"{BATCHES}/{batch_id}", headers=contact)).json()["reason_zh"] == ""

        await age(status)
        for batch in (
            (await client.get(f"{BATCHES}/{batch_id}", headers=contact)).json(),
            (await client.get(BATCHES, headers=contact)).json()["items"][0],
            (await deliver()).json(),  # the same file again
        ):
            assert f"已等待{zh} 120 分钟" in batch["reason_zh"]
            assert f"120 minutes for {en}" in batch["reason_en"]

    @pytest.mark.parametrize("status", ["published", "quarantined", "refused", "superseded"])
    async def test_is_not_said_of_what_is_decided(
        self, client: httpx.AsyncClient, deliver: Any, contact: dict[str, str], age: Any, status: str
    ) -> None:
        batch_id = (await deliver()).json()["batch_id"]
        await age(status, "合格率过低")
        batch = (await client.get(f"{BATCHES}/{batch_id}", headers=contact)).json()
        assert batch["reason_zh"] == "合格率过低"


class TestWithdraw:
    async def test_takes_a_landed_batch_back_and_says_so_once(
        self, client: httpx.AsyncClient, deliver: Any, contact: dict[str, str], resources: Resources
    ) -> None:
        batch = (await deliver()).json()["batch_id"]

        for _ in range(2):
            answer = await client.post(f"{BATCHES}/{batch}/withdraw", headers=contact)
            assert (answer.status_code, answer.json()["status"]) == (200, "withdrawn")
        async with resources.database.transaction() as session:
            told = await session.scalars(
                text("SELECT payload FROM bus.log WHERE name = 'raw.batch.withdrawn.v1'")
            )
            (event,) = told.all()
        assert (event["batch_id"], event["by"]) == (batch, "person:wu-contact")

    @pytest.mark.parametrize("status", ["governed", "published", "quarantined", "refused"])
    async def test_comes_too_late_once_it_is_decided(
        self,
        client: httpx.AsyncClient,
        deliver: Any,
        contact: dict[str, str],
        resources: Resources,
        status: str,
    ) -> None:
        batch = (await deliver()).json()["batch_id"]
        async with resources.database.transaction() as session:
            await session.execute(text("UPDATE ingest.batch SET status = :status"), {"status": status})

        answer = await client.post(f"{BATCHES}/{batch}/withdraw", headers=contact)
        assert (answer.status_code, answer.json()["type"]) == (
            409,
            "urn:edulake:problem:too-late-to-withdraw",
        )

    async def test_is_not_for_others(
        self, client: httpx.AsyncClient, deliver: Any, stranger: dict[str, str], as_subject: Any
    ) -> None:
        batch = (await deliver()).json()["batch_id"]
        assert (await client.post(f"{BATCHES}/{batch}/withdraw", headers=stranger)).status_code == 404
        owner = as_subject("owner", audience="ingest")
        assert (await client.post(f"{BATCHES}/{batch}/withdraw", headers=owner)).status_code == 403
