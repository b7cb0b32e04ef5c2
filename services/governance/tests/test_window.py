"""The restore window: what is inside can be restored, what only lies outside goes, and nothing else."""

import asyncio
from typing import Any

import asyncpg
import pytest
from edulake.common.lake import VersionGone
from edulake.governance.dataset import repository, service, window
from edulake.governance.run.contribution import parts_table

from .conftest import a_contract


@pytest.fixture
def narrow(settings: Any) -> Any:
    """A window of two versions and a day."""
    return settings.model_copy(update={"restore_versions_min": 2, "restore_window_days": 1})


@pytest.fixture
async def made(house: Any, postgres_admin_url: str) -> Any:
    """`await made(5, old=5)`: five governed versions of `club`, the first `old` of them two days old."""

    async def make(count: int, *, old: int) -> None:
        names = [f"b{number}" for number in range(1, count + 1)]
        for number, name in enumerate(names):
            await house.land(name, [(f"club {number}", None), ("go", f"1380000000{number}")])
        await house.govern(*names)
        connection = await asyncpg.connect(postgres_admin_url)
        await connection.execute(
            "UPDATE lake.manifest SET created_at = created_at - interval '2 days' WHERE version <= $1", old
        )
        await connection.close()

    return make


async def readable(house: Any, table: str = "club") -> list[int]:
    """The versions of a table that can be read, each of them read."""
    async with house.database.read() as session:
        known = await house.lake.versions(session, "governed", table)
    for each in known:
        if not each.vacuumed:
            assert (await house.lake.read(each)).height == each.row_count
    return [each.version for each in known if not each.vacuumed]


async def damage(house: Any) -> list[str]:
    async with house.database.read() as session:
        return [str(one) for one in await house.lake.verify(session, deep=True)]


class TestVacuum:
    async def test_keeps_the_newest_versions_with_their_contributions(
        self, house: Any, narrow: Any, made: Any
    ) -> None:
        await made(5, old=5)
        assert await window.vacuum(house.database, house.lake, narrow) > 0
        assert await readable(house) == [4, 5]
        assert await readable(house, parts_table("club")) == [4, 5]
        assert await damage(house) == []

    async def test_keeps_whatever_is_young_enough(self, house: Any, narrow: Any, made: Any) -> None:
        await made(5, old=1)
        await window.vacuum(house.database, house.lake, narrow)
        assert await readable(house) == [2, 3, 4, 5]
        assert await readable(house, parts_table("club")) == [2, 3, 4, 5]

    async def test_leaves_every_version_inside_the_window_restorable(
        self, house: Any, narrow: Any, made: Any
    ) -> None:
        await made(5, old=5)
        await window.vacuum(house.database, house.lake, narrow)
        async with house.database.transaction() as session:
            note = await service.restore(session, house.lake, a_contract(), 4, "person:li")
        assert (note.restored_from, note.version) == (4, 6)
        assert (await house.governed())["name"].to_list() == ["club 3", "go"]
        with pytest.raises(VersionGone):
            async with house.database.transaction() as session:
                await service.restore(session, house.lake, a_contract(), 3, "person:li")

    async def test_keeps_the_contributions_of_a_version_that_was_restored(
        self, house: Any, narrow: Any, made: Any
    ) -> None:
        await made(4, old=0)
        async with house.database.transaction() as session:
            await service.restore(session, house.lake, a_contract(), 1, "person:li")
        await made(0, old=5)
        await window.vacuum(house.database, house.lake, narrow)
        assert await readable(house) == [4, 5]
        assert (await house.governed())["name"].to_list() == ["club 0", "go"]
        assert await damage(house) == []

    async def test_lets_governing_go_on(self, house: Any, narrow: Any, made: Any) -> None:
        await made(4, old=4)
        await window.vacuum(house.database, house.lake, narrow)
        await house.land("later", [("drama", None)], source_id="source-b")
        (run,) = await house.govern("later")
        assert (run.outcome, run.version) == ("governed", 5)
        assert (await house.governed())["name"].to_list() == ["club 3", "drama", "go"]

    async def test_again_finds_nothing_more(self, house: Any, narrow: Any, made: Any) -> None:
        await made(4, old=4)
        await window.vacuum(house.database, house.lake, narrow)
        assert await window.vacuum(house.database, house.lake, narrow) == 0

    async def test_leaves_a_dataset_that_is_being_changed_to_the_next_time(
        self, house: Any, narrow: Any, made: Any
    ) -> None:
        await made(4, old=4)
        async with house.database.transaction() as session:
            await repository.lock(session, "club")
            assert await window.vacuum(house.database, house.lake, narrow) == 0
        assert await readable(house) == [1, 2, 3, 4]

    async def test_that_ends_before_it_deletes_leaves_no_manifest_without_its_files(
        self, house: Any, narrow: Any, made: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await made(4, old=4)

        async def dies(*_: Any) -> int:
            raise RuntimeError

        with monkeypatch.context() as patched:
            patched.setattr(house.lake, "vacuum", dies)
            with pytest.raises(RuntimeError):
                await window.vacuum(house.database, house.lake, narrow)
        assert await readable(house) == [3, 4]
        assert await damage(house) == []
        assert await window.vacuum(house.database, house.lake, narrow) > 0


class TestRegularly:
    async def test_the_first_time_comes_after_a_pause_and_a_stop_ends_it(
        self, house: Any, narrow: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done = asyncio.Event()

        async def vacuum(*_: Any) -> int:
            done.set()
            return 0

        monkeypatch.setattr(window, "vacuum", vacuum)
        stop = asyncio.Event()
        stop.set()
        await window.vacuum_regularly(house.database, house.lake, narrow, stop)
        assert not done.is_set()

        stop.clear()
        quick = narrow.model_copy(update={"vacuum_pause_s": 0.01})
        running = asyncio.create_task(window.vacuum_regularly(house.database, house.lake, quick, stop))
        await asyncio.wait_for(done.wait(), 60)
        stop.set()
        await asyncio.wait_for(running, 60)
