"""What the tests of governance share: batches that landed, a small contract, a small pipeline, a worker."""

import asyncio
import dataclasses
import io
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.events import RawBatchLanded
from edulake.common.gm import sm3_hex
from edulake.common.lake import Lake
from edulake.common.service import Resources, open_resources
from edulake.common.standards import Contract, Standards
from edulake.governance.models import Run
from edulake.governance.run import repository
from edulake.governance.run.loop import Worker
from edulake.governance.run.verdict import REASONS
from edulake.governance.settings import ROLE, GovernanceSettings
from edulake.governance.steps.context import FINDING_SCHEMA, Context
from sqlalchemy import text

REASON = {"rule_id": "name.good", "field": "name", "zh": "名称不合格", "en": "a bad name"}
STEPS = ("profile", "convert", "align", "clean", "complete", "link", "grade", "protect")


def a_landed_batch(batch_id: str, **facts: Any) -> RawBatchLanded:
    """The event of a batch; every fact can be replaced."""
    plain: dict[str, Any] = {
        "dataset": "club",
        "batch_id": batch_id,
        "source_id": "source-a",
        "source_title": "来源甲",
        "organisation": "甲区教育局",
        "contact": "person:wu-contact",
        "authority": 5,
        "period": "2024",
        "digest": "0" * 64,
        "object": f"raw/club/{batch_id}/rows",
        "format": "csv",
        "encoding": "utf-8",
        "row_count": 0,
        "columns": ["名称", "电话"],
    }
    return RawBatchLanded(**{**plain, **facts})


def a_contract(name: str = "club", **facts: Any) -> Contract:
    """A contract of two fields: the name of a club and its phone, which is protected."""
    plain: dict[str, Any] = {
        "name": name,
        "title": f"社团（{name}）",
        "domain": "school",
        "theme": "测试",
        "owner": {"organisation": "市教委", "contact": "owner"},
        "summary": "测试用",
        "business_key": ["name"],
        "time": {"kind": "batch", "from": "period"},
        "update_cycle": "每年",
        "retention_years": 1,
        "share_type": "有条件共享",
        "share_condition": "测试",
        "open_type": "非开放",
        "freshness_days": 400,
        "threshold": 0.5,
        "completeness": {"rows_lost_max": 1, "values_lost_max": 1},
        "fields": [
            {"name": "name", "title": "名称", "level": 1, "protect": "keep", "aliases": ["名称", "社团名称"]},
            {
                "name": "phone",
                "title": "电话",
                "level": 4,
                "identifies": "person",
                "aliases": ["电话"],
                "protect": {"share": "mask_phone", "token": True, "seal": True},
            },
        ],
    }
    return Contract.model_validate({**plain, **facts})


@pytest.fixture
def settings(make_settings: Callable[..., Any]) -> GovernanceSettings:
    made: GovernanceSettings = make_settings(
        GovernanceSettings,
        env="development",
        worker_poll_ms=20,
        run_pulse_ms=50,
        run_lease_s=600.0,  # a pause of the machine loses no run: a test that wants one lost ends its lease
        run_backoff_s=0.05,
        reference_recheck_s=0.1,
    )
    return made


@pytest.fixture
async def database(settings: GovernanceSettings) -> AsyncIterator[Database]:
    opened = Database(settings.database_for(ROLE))
    yield opened
    await opened.close()


@pytest.fixture
def queue(database: Database) -> Callable[..., Any]:
    """`await queue("b1", dataset="x")` puts a run into the job table."""

    async def put(batch_id: str, **facts: Any) -> None:
        async with database.transaction() as session:
            assert await repository.add(session, a_landed_batch(batch_id, **facts), "0" * 32, now())

    return put


@dataclass(frozen=True)
class StubOutcome:
    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    findings: pl.DataFrame
    rules_checked: list[dict[str, Any]]
    profile: dict[str, Any]
    column_levels: dict[str, int]
    blocked: Any
    seconds_by_step: dict[str, float]


@dataclass
class StubPipeline:
    """Keys rows by name, refuses those named `bad`; can be told to stop at a step, to fail or to block (everything, or
    deliveries that hold one of some names)."""

    #: The step at which every run stands until `go` is set.
    holds_at: str = ""
    go: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    fail_times: int = 0
    error: BaseException = field(default_factory=lambda: ValueError("310101200001011234"))
    blocked: Any = None
    blocked_names: set[str] = field(default_factory=set)
    #: Names that the standards do not know (any more): their rows are held back.
    unknown_names: set[str] = field(default_factory=set)
    seen: list[Context] = field(default_factory=list)

    def __call__(
        self, frame: pl.DataFrame, context: Context, on_step: Callable[[str, int, int], None]
    ) -> StubOutcome:
        self.seen.append(context)
        for done, step in enumerate(STEPS):
            on_step(step, done, len(STEPS))
            if step == self.holds_at:
                assert self.go.wait(60)
        self.ended.set()
        if self.fail_times:
            self.fail_times -= 1
            raise self.error
        return self._outcome(frame)

    def _outcome(self, frame: pl.DataFrame) -> StubOutcome:
        is_bad = pl.col("名称").is_in({"bad", *self.unknown_names})
        good, bad = frame.filter(~is_bad), frame.filter(is_bad)
        phone = pl.col("电话")
        accepted = good.select(
            pl.col("名称").alias("_row_key"),
            "_row",
            pl.col("名称").alias("name"),
            (phone.str.slice(0, 3) + "****").alias("phone"),
            ("t:" + phone).alias("phone_token"),
            ("s:" + phone).alias("phone_sealed"),
        )
        facts = {"rule_id": "name.good", "field": "name", "severity": "error", "dimension": "规范性"}
        findings = bad.select(
            "_row",
            *(pl.lit(value).alias(name) for name, value in facts.items()),
            pl.lit("名称不合格").alias("reason_zh"),
            pl.lit("a bad name").alias("reason_en"),
            pl.lit("b**").alias("value_masked"),
        )
        rule = {**facts, "title": "名称合格", "checked_rows": frame.height, "failed_rows": bad.height}
        return StubOutcome(
            accepted=accepted,
            quarantined=bad.with_columns(pl.lit([REASON], dtype=REASONS).alias("reasons")),
            findings=findings.cast(FINDING_SCHEMA),  # type: ignore[arg-type]
            rules_checked=[rule],
            profile={"rows": frame.height},
            column_levels={"name": 1, "phone": 3},
            blocked=self.blocked or self._blocked_by(frame),
            seconds_by_step=dict.fromkeys(STEPS, 0.0),
        )

    def _blocked_by(self, frame: pl.DataFrame) -> str | None:
        return "含敏感内容 / sensitive" if self.blocked_names & set(frame["名称"]) else None


END_LEASES = "UPDATE governance.run SET lease_until = now() - interval '1 s' WHERE state = 'running'"


@dataclass
class House:
    """A lake, a database and a small pipeline, and the verbs the tests speak in."""

    resources: Resources
    settings: GovernanceSettings
    lake: Lake
    pipeline: StubPipeline

    @property
    def database(self) -> Database:
        return self.resources.database

    async def land(self, batch_id: str, rows: list[tuple[str, str | None]], **facts: Any) -> None:
        """Seal rows of (name, phone) into the lake and queue their batch."""
        schema = {"名称": pl.String, "电话": pl.String}
        await self.land_frame(batch_id, pl.DataFrame(rows, schema=schema, orient="row"), **facts)

    async def land_frame(self, batch_id: str, frame: pl.DataFrame, **facts: Any) -> None:
        """Seal all-text rows into the lake and queue their batch."""
        dataset = facts.get("dataset", "club")
        buffer = io.BytesIO()
        frame.with_row_index("_row", 1).cast({"_row": pl.Int64}).write_parquet(buffer)
        digest = sm3_hex(buffer.getvalue())
        ring = self.resources.keys.ring("seal")
        stored = await self.lake.put_raw(dataset, digest, "rows", [buffer.getvalue()], ring)
        landed = a_landed_batch(
            batch_id, **{"object": stored.path, "digest": digest, "row_count": frame.height, **facts}
        )
        async with self.database.transaction() as session:
            assert await repository.add(session, landed, "0" * 32, now())

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A worker runs for the length of the block."""
        stop = asyncio.Event()
        task = asyncio.create_task(Worker(self.resources, self.settings, self.pipeline).run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def govern(self, *batch_ids: str) -> list[Run]:
        """Run a worker until these batches are closed."""
        async with self.working():
            return [await self.closed(batch_id) for batch_id in batch_ids]

    async def closed(self, batch_id: str) -> Run:
        return await self.when(batch_id, lambda run: run.state in ("finished", "failed", "cancelled"))

    async def when(self, batch_id: str, holds: Callable[[Run], bool], seconds: float = 60) -> Run:
        """The run as soon as it is as asked."""
        async with asyncio.timeout(seconds):
            while True:
                run = await self.run(batch_id)
                if holds(run):
                    return run
                await asyncio.sleep(0.02)

    async def run(self, batch_id: str) -> Run:
        async with self.database.read() as session:
            run = await repository.get(session, batch_id)
        assert run is not None
        return run

    def tighten(self, dataset: str, **facts: Any) -> None:
        """From now on the dataset's contract says this."""
        self.resources.standards.datasets[dataset] = a_contract(dataset, **facts)

    async def end_leases(self) -> None:
        """Whoever has a run in hand was silent for too long."""
        async with self.database.transaction() as session:
            await session.execute(text(END_LEASES))

    async def reopen(self, batch_id: str) -> None:
        async with self.database.transaction() as session:
            assert await repository.reopen(session, batch_id)

    async def governed(self, dataset: str = "club") -> pl.DataFrame:
        async with self.database.read() as session:
            frame = await self.lake.read_table(session, "governed", dataset)
        return frame.sort("_row_key")

    async def events(self, name: str) -> list[dict[str, Any]]:
        async with self.database.read() as session:
            query = text("SELECT payload FROM bus.log WHERE name = :name ORDER BY pos")
            return list(await session.scalars(query, {"name": name}))

    async def count(self, table: str) -> int:
        async with self.database.read() as session:
            return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)

    async def dump(self, table: str) -> str:
        """All of a table as text, to look for what must not be in it."""
        async with self.database.read() as session:
            return "\n".join(await session.scalars(text(f"SELECT CAST(t AS text) FROM {table} t")))


@pytest.fixture
async def house(settings: GovernanceSettings, standards: Standards) -> AsyncIterator[House]:
    """Datasets `club`, `other` of the same fields, and `member` which refers to `club`."""
    contracts = {
        "club": a_contract("club"),
        "other": a_contract("other"),
        "member": a_contract("member", references=[{"dataset": "club", "as": "clubs"}]),
    }
    async with open_resources(settings, "governance-worker", ROLE) as resources:
        own = dataclasses.replace(resources, standards=dataclasses.replace(standards, datasets=contracts))
        yield House(own, settings, Lake(settings.lake), StubPipeline())


@pytest.fixture
def landed() -> Callable[..., RawBatchLanded]:
    """`landed("b1", period="2023")` → the event of a landed batch."""
    return a_landed_batch
