"""kill -9 of a real worker at every place where it hurts: the same content, one version, one end.

The worker is a process of its own on this test's database and lake. It stops at a named point (or is in the
middle of anything, for the random seeds), is killed with SIGKILL, its lease ends, and another worker takes
over. Leases are long, so that no pause of the machine takes a run from a worker that lives.
"""

import asyncio
import dataclasses
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from edulake.common import faults
from edulake.common.settings import find_standards
from edulake.common.standards import Standards
from edulake.governance.pipeline import run as run_pipeline
from edulake.governance.run import repository
from edulake.governance.settings import GovernanceSettings
from sqlalchemy import text

from .conftest import END_LEASES

pytestmark = pytest.mark.timeout(
    300
)  # every start of a process costs seconds, on a busy machine ten times as many
POINTS = [
    "governance.step.clean",
    "lake.after_delta_commit",
    "governance.after_lake",
    "governance.before_commit",
    "governance.after_commit",
]
ROWS = [("chess", "13800000001"), ("go", "13800000002"), ("bad", "13800000003")]


@pytest.fixture
def real(house: Any, tmp_path: Path) -> Any:
    """The house with the real steps and a standards folder of one small contract."""
    folder = tmp_path / "standards"
    known = find_standards()
    shutil.copytree(known / "codes", folder / "codes")
    shutil.copy(known / "grading.yaml", folder)
    (folder / "domains.yaml").write_text("school: {title: 学校, themes: [测试]}")
    (folder / "datasets" / "school").mkdir(parents=True)
    contract = house.resources.standards.datasets["club"]
    facts = contract.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    (folder / "datasets" / "school" / "club.yaml").write_text(yaml.safe_dump(facts, allow_unicode=True))
    own = dataclasses.replace(house.resources, standards=Standards.load(folder))
    settings = house.settings.model_copy(update={"standards_dir": folder})
    return dataclasses.replace(house, resources=own, pipeline=run_pipeline, settings=settings)


def environment(settings: GovernanceSettings, point: str, name: str) -> dict[str, str]:
    names = (
        "env",
        "database_url",
        "redis_url",
        "run_lease_s",
        "run_pulse_ms",
        "worker_poll_ms",
        "standards_dir",
    )
    wanted = {f"EDULAKE_{name.upper()}": str(getattr(settings, name)) for name in names}
    own = {"EDULAKE_HOME": str(settings.home), "EDULAKE_WORKER_NAME": name}
    return {**os.environ, **wanted, **own, faults.VARIABLE: point}


@asynccontextmanager
async def worker_process(
    real: Any, point: str = "", name: str = "killed"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real worker that is killed at the end of the block, if it still lives."""
    real.settings.home.mkdir(parents=True, exist_ok=True)
    log = (real.settings.home / "worker.log").open("ab")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edulake.governance.worker",
        env=environment(real.settings, point, name),
        stdout=log,
        stderr=log,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        log.close()


@asynccontextmanager
async def silent_for_long(real: Any, name: str = "killed") -> AsyncIterator[None]:
    """The worker's leases end, also one that its last statement renews in the server after its death."""
    stop = asyncio.Event()

    async def keep_ending() -> None:
        statement = text(f"{END_LEASES} AND lease_owner = :name")
        while not stop.is_set():
            async with real.database.transaction() as session:
                await session.execute(statement, {"name": name})
            await asyncio.sleep(0.05)

    ending = asyncio.create_task(keep_ending())
    try:
        yield
    finally:
        stop.set()
        await ending


async def exactly_one_effect(real: Any) -> None:
    """One version and one end of each batch, the lake as its manifest says, the digest reproducible."""
    finished = await real.events("governed.batch.finished.v1")
    assert [event["batch_id"] for event in finished] == ["b1", "b2"]
    ready = await real.events("governed.dataset.ready.v1")
    assert [event["version"] for event in ready] == [1, 2]
    async with real.database.transaction() as session:
        versions = await real.lake.versions(session, "governed", "club")
        found = await real.lake.verify(session, deep=True)
    assert [version.batch_id for version in versions] == ["b1.r1", "b2.r1"]
    assert [each for each in found if each.kind != "extra-file"] == []
    assert await real.count("governance.quality_report") == 2
    decided = await real.run("b2")
    await real.reopen("b2")
    (again,) = await real.govern("b2")
    assert again.content_digest == decided.content_digest == versions[-1].content_digest
    assert (await real.governed("club"))["_row_key"].n_unique() == 3


async def until(mark: Any, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while not mark.exists():
            assert process.returncode is None, "the worker ended by itself"
            await asyncio.sleep(0.02)


class TestKilledAt:
    @pytest.mark.parametrize("point", POINTS)
    async def test_a_named_point_leaves_one_effect(self, point: str, real: Any) -> None:
        await real.land("b1", ROWS[:1])
        await real.govern("b1")
        await real.land("b2", ROWS, source_id="source-b", authority=9)
        mark = faults.mark_of(real.settings.home, point)
        async with worker_process(real, point) as process:
            await until(mark, process)
            process.kill()
            await process.wait()
        async with silent_for_long(real):
            (run,) = await real.govern("b2")
        assert (run.outcome, run.version) == ("governed", 2)
        assert run.tries == (1 if point == "governance.after_commit" else 2)
        await exactly_one_effect(real)

    @pytest.mark.parametrize("seed", [1, 2])
    async def test_any_moment_by_a_real_worker_and_finished_by_another(self, seed: int, real: Any) -> None:
        await real.land("b1", ROWS[:1])
        await real.govern("b1")
        await real.land("b2", ROWS, source_id="source-b", authority=9)
        async with worker_process(real) as process:
            await real.when("b2", lambda run: run.state != "queued")
            await asyncio.sleep(random.Random(seed).uniform(0, 0.4))
            process.kill()
            await process.wait()
        async with silent_for_long(real), worker_process(real, name="other"):
            await real.when("b2", lambda run: run.state == "finished")
        await exactly_one_effect(real)


class TestKilledWhileTakingOut:
    @pytest.mark.parametrize("point", ["lake.after_delta_commit", "lake.before_manifest"])
    async def test_a_withdrawn_batch_leaves_one_version_without_its_rows(self, point: str, real: Any) -> None:
        await real.land("b1", ROWS[:1])
        (before,) = await real.govern("b1")
        await real.land("b2", ROWS, source_id="source-b", authority=9)
        await real.govern("b2")
        async with real.database.transaction() as session:
            assert await repository.take_out(session, "b2")
        mark = faults.mark_of(real.settings.home, point)
        async with worker_process(real, point) as process:
            await until(mark, process)
            process.kill()
            await process.wait()
        async with silent_for_long(real):
            (run,) = await real.govern("b2")
        assert (run.state, run.tries) == ("cancelled", 2)
        async with real.database.transaction() as session:
            versions = await real.lake.versions(session, "governed", "club")
            found = await real.lake.verify(session, deep=True)
        assert [version.batch_id for version in versions] == ["b1.r1", "b2.r1", "b2.r2"]
        assert versions[-1].content_digest == before.content_digest
        assert [each for each in found if each.kind != "extra-file"] == []
        assert len(await real.events("governed.dataset.ready.v1")) == 3


@pytest.fixture
def strict(house: Any) -> None:
    house.tighten("club", completeness={"rows_lost_max": 0.2, "values_lost_max": 0.2})


class TestKilledOverAHeldBatch:
    @pytest.mark.parametrize("point", ["governance.before_commit", "governance.after_commit"])
    async def test_it_waits_once_and_what_was_agreed_is_done_once(
        self, strict: None, real: Any, point: str
    ) -> None:
        """First the decision to hold, then the processing that was agreed to, lose their worker."""
        await real.land("b1", ROWS[:2])
        await real.govern("b1")
        await real.land("b2", ROWS[:1])
        await self.killed(real, point)
        async with silent_for_long(real), real.working():
            held = await real.when("b2", lambda run: run.state == "held")
        assert held.completeness["keys_lost"] == 1
        async with real.database.transaction() as session:
            await repository.agree(session, held, "person:zhou")
        shutil.rmtree(faults.mark_of(real.settings.home, point).parent, ignore_errors=True)
        await self.killed(real, point)
        async with silent_for_long(real):
            (run,) = await real.govern("b2")
        assert (run.outcome, run.agreed_by, run.version) == ("governed", "person:zhou", 2)
        ends = [event["outcome"] for event in await real.events("governed.batch.finished.v1")]
        assert ends == ["governed", "held", "governed"]
        assert len(await real.events("governed.dataset.ready.v1")) == 2
        assert await real.count("governance.quality_report") == 3

    async def killed(self, real: Any, point: str) -> None:
        async with worker_process(real, point) as process:
            await until(faults.mark_of(real.settings.home, point), process)
            process.kill()
            await process.wait()


class TestTold:
    async def test_to_stop_ends_cleanly_after_the_run_in_hand(self, real: Any) -> None:
        await real.land("b1", ROWS[:1])
        async with worker_process(real) as process:
            await real.closed("b1")
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 150) == 0
        assert real.settings.alive_file.exists()

    async def test_to_pause_in_production_it_refuses_to_start(self, real: Any) -> None:
        bold = real.settings.model_copy(update={"env": "production"})
        own = dataclasses.replace(real, settings=bold)
        os.environ["EDULAKE_PUBLIC_URL"] = "https://lake.example"
        try:
            async with worker_process(own, "governance.after_lake") as process:
                assert await asyncio.wait_for(process.wait(), 150) != 0
        finally:
            del os.environ["EDULAKE_PUBLIC_URL"]
        assert "PausePointError" in (real.settings.home / "worker.log").read_text()
