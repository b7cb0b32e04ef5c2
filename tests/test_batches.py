"""Batches across ingest, governance and publisher, in one process: each ends where its source can read why (P1)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import asyncpg
import httpx
import polars as pl
import pytest
from edulake.common.policy import asking_neighbours
from edulake.common.service import create_service, open_resources
from edulake.governance import app as governance
from edulake.governance.pipeline import run as pipeline
from edulake.governance.run.execute import OnStep
from edulake.governance.run.loop import Worker
from edulake.governance.run.verdict import PipelineOutcome
from edulake.governance.settings import ROLE, GovernanceSettings
from edulake.governance.steps.context import Context
from edulake.ingest import app as ingest
from edulake.ingest.settings import IngestSettings
from edulake.share_gateway import publisher
from edulake.share_gateway.publication.api import router as publications
from edulake.share_gateway.publication.settings import PublisherSettings

TARGET = "/api/ingest/sources/roster/datasets/school_base"
ENDS = ("published", "held", "quarantined", "refused", "superseded", "withdrawn")
SOURCE = {
    "id": "roster",
    "title": "学校名册",
    "organisation": "甲区教育局",
    "contact": "person:wu-contact",
    "authority": 60,
    "datasets": ["school_base"],
}


def school(number: int, name: str, **over: Any) -> dict[str, Any]:
    return {
        "学校代码": f"{75000 + number:06d}",
        "学校名称": f"上海市{name}中学",
        "所属区": "宝山区",
        "学段": "初中",
    } | over


SIX = [
    school(number, name)
    for number, name in enumerate(("长征", "求是", "育才", "格致", "敬业", "大同"), start=2)
]


class Steps:
    """The real eight steps, that can be told to break."""

    is_broken = False

    def __call__(self, frame: pl.DataFrame, context: Context, on_step: OnStep) -> PipelineOutcome:
        if self.is_broken:
            raise RuntimeError("a value of a row")
        return pipeline(frame, context, on_step)


class Line:
    """Ingest, governance with its worker, and a publisher over one database and one lake."""

    def __init__(
        self,
        ingesting: httpx.AsyncClient,
        sharing: httpx.AsyncClient,
        as_subject: Callable[..., Mapping[str, str]],
        url: str,
    ) -> None:
        self.steps = Steps()
        self._client = ingesting
        self._sharing = sharing
        self._contact = as_subject("source_contact", id="person:wu-contact", audience="ingest")
        self._steward = as_subject("steward", id="person:li-steward", audience="gateway")
        self._url = url

    async def push(self, *rows: dict[str, Any], period: str = "2024", key: str = "") -> httpx.Response:
        body = {"period": period, "rows": list(rows)}
        headers = {**self._contact, **({"Idempotency-Key": key} if key else {})}
        return await self._client.post(f"{TARGET}/rows", json=body, headers=headers)

    async def deliver(self, *rows: dict[str, Any], period: str = "2024") -> httpx.Response:
        """The rows as a file, which is all there is of its period."""
        file = {"file": ("schools.csv", pl.DataFrame(rows).write_csv().encode())}
        return await self._client.post(
            f"{TARGET}/deliveries", files=file, data={"period": period}, headers=self._contact
        )

    async def batch(self, batch_id: str) -> dict[str, Any]:
        answer = await self._client.get(f"/api/ingest/batches/{batch_id}", headers=self._contact)
        found: dict[str, Any] = answer.json()
        return found

    async def when(
        self, answer: httpx.Response, holds: Callable[[dict[str, Any]], bool], *, within_s: float = 60
    ) -> dict[str, Any]:
        """The batch of an accepted delivery as soon as it is as asked."""
        assert answer.status_code in (200, 202), answer.text
        async with asyncio.timeout(within_s):
            while not holds(batch := await self.batch(answer.json()["batch_id"])):
                await asyncio.sleep(0.05)
        return batch

    async def ended(self, answer: httpx.Response) -> dict[str, Any]:
        return await self.when(answer, lambda batch: batch["status"] in ENDS)

    async def execute(self, statement: str) -> Any:
        """A statement as the database's superuser; its first value."""
        connection = await asyncpg.connect(self._url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def confirm(self, answer: httpx.Response) -> None:
        """Say of a delivery that is asked about that it is meant, with the figures it was shown with."""
        path = f"/api/ingest/batches/{answer.json()['batch_id']}/confirm"
        said = await self._client.post(path, json=answer.json()["replaces"], headers=self._contact)
        assert said.status_code == 200, said.text

    async def withdraw(self, batch_id: str) -> httpx.Response:
        return await self._client.post(f"/api/ingest/batches/{batch_id}/withdraw", headers=self._contact)

    async def retry_publication(self) -> None:
        answer = await self._sharing.post(
            "/api/gateway/publications/school_base/retry", headers=self._steward
        )
        assert answer.status_code == 202, answer.text

    async def published_names(self) -> list[str]:
        names = await self.execute(
            "SELECT array_agg(school_name ORDER BY school_code) FROM published.school_base"
        )
        return list(names)


@pytest.fixture
async def line(
    make_settings: Callable[..., Any],
    as_subject: Callable[..., Mapping[str, str]],
    client_for: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
    postgres_admin_url: str,
    neighbourhood: Any,
) -> AsyncIterator[Line]:
    governing: GovernanceSettings = make_settings(GovernanceSettings, worker_poll_ms=20, run_backoff_s=0.05)
    publishing: PublisherSettings = make_settings(
        PublisherSettings, publisher_poll_ms=20, publisher_backoff_s=0
    )
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        receiving = ingest.create_app(make_settings(IngestSettings))
        client = await stack.enter_async_context(client_for(receiving))
        neighbourhood.join(receiving)
        await stack.enter_async_context(client_for(governance.create_app(governing)))
        gateway = create_service(
            name="gateway",
            title="gateway",
            settings=publishing,
            routers=[publications],
            lifespan_resources=asking_neighbours,
        )
        sharing = await stack.enter_async_context(client_for(gateway))
        resources = await stack.enter_async_context(open_resources(governing, "governance-worker", ROLE))
        made = Line(client, sharing, as_subject, postgres_admin_url)
        running = asyncio.gather(
            Worker(resources, governing, made.steps).run(stop), publisher.run(publishing, stop)
        )
        steward = as_subject("steward", id="person:li-steward", audience="ingest")
        assert (await client.post("/api/ingest/sources", json=SOURCE, headers=steward)).status_code == 201
        try:
            yield made
        finally:
            stop.set()
            await running


class TestPushedRows:
    async def test_of_two_pushes_are_both_governed_and_published(self, line: Line) -> None:
        first, second = await line.push(school(1, "求真")), await line.push(school(2, "长征"))
        assert [(await line.ended(answer))["status"] for answer in (first, second)] == ["published"] * 2
        assert await line.published_names() == ["上海市求真中学", "上海市长征中学"]

    async def test_pushed_twice_count_once(self, line: Line) -> None:
        first = await line.push(school(1, "求真"))
        again = await line.push(school(1, "求真"))
        beside = await line.push(school(1, "求真"), school(2, "长征"))

        assert (first.status_code, again.status_code, beside.status_code) == (202, 200, 202)
        assert first.json()["batch_id"] == again.json()["batch_id"]
        assert (await line.ended(beside))["rows_governed"] == 2
        assert await line.published_names() == ["上海市求真中学", "上海市长征中学"]
        assert await line.execute("SELECT count(*) FROM governance.run") == 2

    async def test_named_by_their_source_go_back_to_a_value_they_had(self, line: Line) -> None:
        pupils = "SELECT string_agg(estimated_pupils::text, ',') FROM published.school_base"
        for key, count in (("m-1", "400"), ("m-2", "500"), ("m-3", "400")):
            await line.ended(await line.push(school(1, "求真", 学生数=count), key=key))
            assert await line.execute(pupils) == count
        again = await line.push(school(1, "求真", 学生数="500"), key="m-2")
        assert again.status_code == 200
        assert await line.execute(pupils) == "400", "a repeated message undoes nothing"


class TestTheSameFileAgain:
    async def test_after_another_one_of_the_period_is_what_is_published(self, line: Line) -> None:
        answers = []
        for name in ("求真", "长征", "求真"):
            answers.append(await line.deliver(school(1, name)))
            await line.ended(answers[-1])
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        assert await line.published_names() == ["上海市求真中学"]

    async def test_brings_back_rows_that_were_pushed_before_a_file(self, line: Line) -> None:
        await line.ended(await line.push(school(1, "求真"), *SIX))
        await line.ended(await line.deliver(*SIX))
        assert "上海市求真中学" not in await line.published_names()

        await line.ended(await line.push(school(1, "求真"), *SIX))
        assert (await line.published_names())[0] == "上海市求真中学"


class TestAFileThatLacksMostOfWhatItReplaces:
    async def test_waits_and_goes_again_when_its_source_takes_it_back(self, line: Line) -> None:
        await line.ended(await line.deliver(*SIX))
        before = await line.published_names()
        cut = await line.deliver(*SIX[:1])
        assert cut.json()["status"] == "unconfirmed"
        await line.confirm(cut)
        held = await line.when(cut, lambda batch: batch["status"] not in ("unconfirmed", "landed"))
        assert held["status"] == "held"
        assert "1 行将替代同期 6 行，缺少其中 5 个主键（83%）" in held["reason_zh"]
        assert (await line.withdraw(cut.json()["batch_id"])).json()["status"] == "withdrawn"
        cancelled = "SELECT count(*) FROM governance.run WHERE state = 'cancelled'"
        async with asyncio.timeout(60):
            while not await line.execute(cancelled):
                await asyncio.sleep(0.05)
        assert await line.published_names() == before
        assert await line.execute("SELECT max(version) FROM governance.version_note") == 1


class TestABatchThatIsNotPublished:
    """Every accepted delivery ends published, or says in both languages why not."""

    async def test_because_publishing_fails_says_so_and_is_published_when_that_is_mended(
        self, line: Line
    ) -> None:
        await line.execute("CREATE TABLE published.school_base__v1 (in_the_way int)")
        answer = await line.push(school(1, "求真"))
        refused = await line.ended(answer)
        assert (refused["status"], refused["rows_governed"], refused["governed_version"]) == ("refused", 1, 1)
        assert "未能发布" in refused["reason_zh"]
        assert "not published" in refused["reason_en"]

        await line.execute("DROP TABLE published.school_base__v1")
        await line.retry_publication()
        batch = await line.when(answer, lambda batch: batch["status"] == "published")
        assert (batch["published_version"], batch["reason_zh"]) == (1, "")
        assert await line.published_names() == ["上海市求真中学"]

    async def test_because_governing_fails_says_so(self, line: Line) -> None:
        line.steps.is_broken = True
        batch = await line.ended(await line.push(school(1, "求真")))
        assert batch["status"] == "refused"
        assert "RuntimeError" in batch["reason_zh"]
        assert "RuntimeError" in batch["reason_en"]
        assert "a value of a row" not in str(batch)

    async def test_because_too_few_rows_pass_says_so(self, line: Line) -> None:
        batch = await line.ended(await line.push(school(1, "求真", 所属区="不存在区")))
        assert (batch["status"], batch["rows_quarantined"]) == ("quarantined", 1)
        assert "低于门槛" in batch["reason_zh"]
        assert "below the threshold" in batch["reason_en"]
        assert "district_code.known" in batch["quarantined_by_rule"]


class TestAWithdrawnBatch:
    async def test_that_was_published_in_the_same_moment_leaves_governed_and_published(
        self, line: Line
    ) -> None:
        await line.ended(await line.push(school(1, "求真")))
        wrong = await line.push(school(2, "长征"))
        await line.ended(wrong)
        assert await line.published_names() == ["上海市求真中学", "上海市长征中学"]
        # As ingest stands when it has not heard yet what became of the batch.
        batch_id = wrong.json()["batch_id"]
        await line.execute(f"UPDATE ingest.batch SET status = 'landed' WHERE batch_id = '{batch_id}'")

        assert (await line.withdraw(batch_id)).status_code == 200
        first = await line.push(school(3, "格致"))
        await line.ended(first)
        batch = await line.batch(batch_id)
        assert (batch["status"], batch["rows_governed"], batch["reason_zh"]) == ("withdrawn", 0, "来源已撤回")
        assert await line.published_names() == ["上海市求真中学", "上海市格致中学"]

    async def test_that_is_decided_stays_and_says_how_it_is_replaced(self, line: Line) -> None:
        answer = await line.push(school(1, "求真"))
        await line.ended(answer)
        refused = await line.withdraw(answer.json()["batch_id"])
        assert refused.status_code == 409
        assert "新批次" in refused.json()["mend"]
