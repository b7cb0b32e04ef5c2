"""What a crash left behind goes away; what anybody names stays."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from edulake.common.service import Resources
from edulake.ingest.batch import repository
from edulake.ingest.batch import sweep as sweeper
from edulake.ingest.batch.sweep import sweep

OLD = time.time() - 2 * 3600


def aged(folder: Path) -> Path:
    os.utime(folder, (OLD, OLD))
    return folder


@pytest.fixture
def lake(resources: Resources) -> Path:
    return resources.settings.home / "lake"


class TestSweep:
    async def test_removes_old_objects_that_nobody_names(self, resources: Resources, lake: Path) -> None:
        orphan = lake / "raw" / "school_base" / "dead"
        orphan.mkdir(parents=True)
        (orphan / "original").write_bytes(b"x")
        (orphan / ".rows.1234.tmp").write_bytes(b"torn")
        aged(orphan)

        assert await sweep(resources) == ["raw/school_base/dead"]
        assert not orphan.exists()

    async def test_leaves_young_objects_alone(self, resources: Resources, lake: Path) -> None:
        young = lake / "raw" / "school_base" / "fresh"
        young.mkdir(parents=True)
        (young / "original").write_bytes(b"x")

        assert await sweep(resources) == []
        assert young.exists()

    async def test_never_touches_what_a_batch_names(
        self, deliver: Any, resources: Resources, lake: Path, rows_of: Any
    ) -> None:
        batch = (await deliver()).json()
        aged(lake / "raw" / "school_base" / batch["digest"])

        assert await sweep(resources) == []
        assert (await rows_of(batch["digest"])).height == 2

    async def test_asks_once_about_all_that_is_named_and_locks_only_the_rest(
        self, deliver: Any, resources: Resources, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for year in range(2020, 2023):
            digest = (await deliver(f"学校代码,学校名称\n{year},求真\n", period=str(year))).json()["digest"]
            aged(lake / "raw" / "school_base" / digest)
        (lake / "raw" / "school_base" / "dead").mkdir()
        aged(lake / "raw" / "school_base" / "dead")
        locked: list[str] = []
        lock = repository.lock_object

        async def noted(session: Any, dataset: str, digest: str) -> None:
            locked.append(digest)
            await lock(session, dataset, digest)

        monkeypatch.setattr(repository, "lock_object", noted)
        monkeypatch.setattr(sweeper, "CHUNK", 3)  # four objects: the last chunk is not full
        assert await sweep(resources) == ["raw/school_base/dead"]
        assert locked == ["dead"]

    async def test_never_touches_what_only_the_manifest_names(self, resources: Resources, lake: Path) -> None:
        store = resources.extra["deliveries"].lake
        ring = resources.keys.ring("seal")
        file = await store.put_raw("school_base", "beef", "rows", [b"x"], ring)
        async with resources.database.transaction() as session:
            await store.record_objects(
                session, "school_base", [file], batch_id="b", content_digest="beef", row_count=1
            )
        aged(lake / "raw" / "school_base" / "beef")

        assert await sweep(resources) == []
        assert (lake / "raw" / "school_base" / "beef" / "rows").exists()

    async def test_removes_what_was_staged_long_ago(self, resources: Resources) -> None:
        staging = resources.settings.home / "tmp" / "ingest"
        for name in ("old", "young"):
            (staging / name).mkdir()
            (staging / name / "original").write_bytes(b"x")
        aged(staging / "old")

        await sweep(resources)
        assert [path.name for path in staging.iterdir()] == ["young"]

    async def test_an_orphan_is_adopted_by_the_delivery_that_brings_it_again(
        self, deliver: Any, resources: Resources, lake: Path, rows_of: Any
    ) -> None:
        batch = (await deliver()).json()
        stored = lake / "raw" / "school_base" / batch["digest"] / "original"
        before = stored.read_bytes()

        other = (await deliver(period="2025")).json()
        assert other["digest"] == batch["digest"]
        assert stored.read_bytes() == before
        assert (await rows_of(other["digest"])).height == 2
