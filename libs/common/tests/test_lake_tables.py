"""Tables of the lake against a real Postgres: versions, idempotence, partitions, restore, vacuum."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
from edulake.common.db import Database
from edulake.common.lake import Lake, VersionGone, VersionNotFound, content_digest, delta

ROWS = pl.DataFrame({"code": ["a", "b", "c"], "n": [1, 2, None]})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("{role}", "edulake_governance"), pool_size=10)
    yield database
    await database.close()


async def write(
    database: Database, lake: Lake, rows: pl.DataFrame = ROWS, *, batch_id: str | None = None, **more
):
    async with database.transaction() as session:
        return await lake.write_table(session, "governed", "schools", rows, batch_id=batch_id, **more)


async def read(database: Database, lake: Lake, version: int | None = None) -> pl.DataFrame:
    async with database.read() as session:
        return await lake.read_table(session, "governed", "schools", version)


def data_files(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "lake").rglob("*.parquet") if "_delta_log" not in path.parts}


class TestWrite:
    async def test_versions_count_from_one_and_say_what_they_hold(
        self, database: Database, lake: Lake
    ) -> None:
        first = await write(database, lake, batch_id="b1")
        second = await write(database, lake, ROWS.head(1), batch_id="b2")
        assert (first.version, first.row_count, first.content_digest) == (1, 3, content_digest(ROWS))
        assert (second.version, second.row_count, second.current) == (2, 1, True)
        assert all(file.sm3 and file.size for file in second.files)
        assert (await read(database, lake)).rows() == [("a", 1)]
        assert (await read(database, lake, 1)).height == 3

    async def test_the_same_batch_again_changes_nothing_and_gives_the_same_manifest(
        self, database: Database, lake: Lake, tmp_path: Path
    ) -> None:
        first = await write(database, lake, batch_id="b1")
        files = data_files(tmp_path)
        again = await write(database, lake, ROWS.head(0), batch_id="b1")
        assert again == first
        assert data_files(tmp_path) == files

    async def test_columns_may_come_and_go(self, database: Database, lake: Lake) -> None:
        await write(database, lake)
        await write(database, lake, ROWS.select("code", x=pl.lit("new")))
        assert (await read(database, lake)).columns == ["code", "x"]
        assert (await read(database, lake, 1)).columns == ["code", "n"]

    async def test_a_rolled_back_transaction_leaves_the_table_as_it_was(
        self, database: Database, lake: Lake
    ) -> None:
        await write(database, lake)
        with pytest.raises(RuntimeError, match="changed my mind"):
            async with database.transaction() as session:
                await lake.write_table(session, "governed", "schools", ROWS.head(1), batch_id="lost")
                raise RuntimeError("changed my mind")
        assert (await read(database, lake)).height == 3
        again = await write(database, lake, ROWS.head(2))
        assert (again.version, again.row_count) == (2, 2)

    async def test_a_rolled_back_first_write_is_overwritten_even_by_a_partition(
        self, database: Database, lake: Lake
    ) -> None:
        with pytest.raises(RuntimeError):
            async with database.transaction() as session:
                await lake.write_table(session, "governed", "schools", ROWS.select(z="n"), batch_id=None)
                raise RuntimeError
        assert (await write(database, lake, partition={"_source": "a"})).row_count == 3
        assert (await read(database, lake)).columns == ["code", "n", "_source"]

    async def test_eight_writers_at_once_all_land(self, database: Database, lake: Lake) -> None:
        rows = [pl.DataFrame({"code": [f"w{number}"]}) for number in range(8)]
        done = await asyncio.gather(
            *(
                write(database, lake, each, batch_id=f"b{n}", partition={"_source": f"s{n}"})
                for n, each in enumerate(rows)
            )
        )
        assert sorted(each.version for each in done) == list(range(1, 9))
        assert sorted((await read(database, lake))["code"]) == [f"w{number}" for number in range(8)]

    async def test_a_cancelled_writer_ends_under_its_lock(
        self, database: Database, lake: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await write(database, lake)
        entered, go, real = asyncio.Event(), threading.Event(), delta.write
        loop = asyncio.get_running_loop()

        def slow(*args, **more):
            loop.call_soon_threadsafe(entered.set)
            go.wait(60)
            return real(*args, **more)

        monkeypatch.setattr(delta, "write", slow)
        cancelled = asyncio.create_task(write(database, lake, ROWS.head(1)))
        await entered.wait()
        cancelled.cancel()
        monkeypatch.undo()
        waiting = asyncio.create_task(write(database, lake, ROWS.head(2)))
        await asyncio.sleep(0.2)
        assert not cancelled.done()
        assert not waiting.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        found = await waiting
        assert (found.version, found.row_count) == (2, 2)

    @pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "x" * 200])
    async def test_a_name_cannot_leave_the_lake(self, database: Database, lake: Lake, name: str) -> None:
        async with database.transaction() as session:
            with pytest.raises(ValueError, match="name"):
                await lake.write_table(session, "governed", name, ROWS, batch_id=None)

    async def test_the_gateway_may_read_the_manifest_and_never_write_it(
        self, database_url: str, database: Database, lake: Lake
    ) -> None:
        await write(database, lake)
        gateway = Database(database_url.replace("{role}", "edulake_gateway"))
        assert (await read(gateway, lake)).height == 3
        with pytest.raises(Exception, match="permission denied"):
            await write(gateway, lake)
        await gateway.close()


class TestPartitions:
    async def part(self, database: Database, lake: Lake, source: str, rows: pl.DataFrame = ROWS):
        return await write(database, lake, rows, partition={"_source": source, "_period": "2024"})

    async def test_only_the_named_partition_is_replaced(self, database: Database, lake: Lake) -> None:
        await self.part(database, lake, "a")
        await self.part(database, lake, "b")
        third = await self.part(database, lake, "a", ROWS.head(1))
        rows = await read(database, lake)
        assert third.row_count == rows.height == 4
        assert rows.filter(_source="b").select("code", "n").sort("code").equals(ROWS)

    async def test_odd_values_are_values_and_not_syntax(self, database: Database, lake: Lake) -> None:
        odd = "甲 1/2'; DROP\" %20=..\\"
        await self.part(database, lake, odd)
        await self.part(database, lake, "b")
        done = await self.part(database, lake, odd, ROWS.head(1))
        assert done.row_count == 4
        assert (await read(database, lake)).filter(_source=odd)["code"].to_list() == ["a"]
        async with database.read() as session:
            assert await lake.verify(session, deep=True) == []

    async def test_an_empty_frame_removes_the_partition(self, database: Database, lake: Lake) -> None:
        await self.part(database, lake, "a")
        before = await self.part(database, lake, "b")
        await self.part(database, lake, "c")
        after = await self.part(database, lake, "c", ROWS.head(0))
        assert after.row_count == (await read(database, lake)).height == 6
        assert after.content_digest == before.content_digest

    async def test_the_digest_is_the_same_whatever_the_order_of_arrival(
        self, database: Database, tmp_path: Path
    ) -> None:
        lakes = [Lake(str(tmp_path / "one")), Lake(str(tmp_path / "two"))]
        digests = []
        for number, order in enumerate((["a", "b"], ["b", "a", "b"])):
            for source in order:
                async with database.transaction() as session:
                    done = await lakes[number].write_table(
                        session, "governed", f"t{number}", ROWS, batch_id=None, partition={"_source": source}
                    )
            digests.append(done.content_digest)
        assert digests[0] == digests[1]

    async def test_a_new_column_leaves_the_other_partitions_digests_alone(
        self, database: Database, lake: Lake
    ) -> None:
        await self.part(database, lake, "a")
        await self.part(database, lake, "b", ROWS.with_columns(extra=pl.lit("x")))
        async with database.read() as session:
            assert await lake.verify(session, deep=True) == []

    async def test_rows_of_another_partition_are_refused(self, database: Database, lake: Lake) -> None:
        with pytest.raises(ValueError, match="another partition"):
            await self.part(database, lake, "a", ROWS.with_columns(_source=pl.lit("b")))


class TestRestore:
    async def test_an_old_version_comes_back_as_a_new_one(self, database: Database, lake: Lake) -> None:
        first = await write(database, lake)
        await write(database, lake, ROWS.select("code"))
        async with database.transaction() as session:
            third = await lake.restore(session, "governed", "schools", 1)
        assert (third.version, third.restored_from, third.content_digest) == (3, 1, first.content_digest)
        assert content_digest(await read(database, lake)) == first.content_digest
        assert (await read(database, lake, 2)).columns == ["code"]
        async with database.read() as session:
            assert await lake.verify(session, deep=True) == []

    async def test_writing_goes_on_after_a_restore(self, database: Database, lake: Lake) -> None:
        await write(database, lake)
        await write(database, lake, ROWS.head(1))
        async with database.transaction() as session:
            await lake.restore(session, "governed", "schools", 1)
        again = await write(database, lake, ROWS.head(2))
        assert (again.version, again.row_count) == (4, 2)
        assert (await read(database, lake)).height == 2

    async def test_restoring_the_current_version_changes_nothing(
        self, database: Database, lake: Lake
    ) -> None:
        first = await write(database, lake)
        async with database.transaction() as session:
            assert await lake.restore(session, "governed", "schools", 1) == first

    async def test_an_unknown_version_is_named(self, database: Database, lake: Lake) -> None:
        await write(database, lake)
        async with database.transaction() as session:
            with pytest.raises(VersionNotFound, match="schools v9"):
                await lake.restore(session, "governed", "schools", 9)


class TestVacuum:
    async def test_it_keeps_what_the_restore_window_needs(
        self, database: Database, lake: Lake, tmp_path: Path
    ) -> None:
        for number in range(1, 6):
            await write(database, lake, ROWS.head(number % 3 + 1), batch_id=f"b{number}")
        async with database.transaction() as session:
            gone = await lake.retire(session, "governed", "schools", keep_versions=3, keep_days=0)
        assert gone == [1, 2]
        async with database.transaction() as session:
            assert await lake.vacuum(session, "governed", "schools") == 2
        assert len(data_files(tmp_path)) == 3
        for version in (3, 4, 5):
            assert (await read(database, lake, version)).height == version % 3 + 1
        with pytest.raises(VersionGone, match="schools v2"):
            await read(database, lake, 2)
        async with database.transaction() as session:
            assert await lake.verify(session, deep=True) == []
            assert (await lake.restore(session, "governed", "schools", 3)).row_count == 1

    async def test_days_keep_versions_too(self, database: Database, lake: Lake) -> None:
        for _ in range(3):
            await write(database, lake)
        async with database.transaction() as session:
            assert await lake.retire(session, "governed", "schools", keep_versions=1, keep_days=30) == []
            assert await lake.vacuum(session, "governed", "schools") == 0
        assert (await read(database, lake, 1)).height == 3

    async def test_without_anything_to_delete_the_log_stays_as_it_is(
        self, database: Database, lake: Lake, tmp_path: Path
    ) -> None:
        for number in range(1, 4):
            await write(database, lake, ROWS.head(number))
        async with database.transaction() as session:
            await lake.retire(session, "governed", "schools", keep_versions=1, keep_days=0)
            assert await lake.vacuum(session, "governed", "schools") == 2
        log = sorted((tmp_path / "lake/governed/schools/_delta_log").iterdir())
        async with database.transaction() as session:
            assert await lake.vacuum(session, "governed", "schools") == 0
        assert sorted((tmp_path / "lake/governed/schools/_delta_log").iterdir()) == log

    async def test_named_versions_are_kept_too(self, database: Database, lake: Lake) -> None:
        for number in range(1, 5):
            await write(database, lake, ROWS.head(number % 3 + 1))
        async with database.transaction() as session:
            gone = await lake.retire(session, "governed", "schools", keep_versions=1, keep_days=0, keep=[2])
            await lake.vacuum(session, "governed", "schools")
        assert gone == [1, 3]
        assert (await read(database, lake, 2)).height == 3

    async def test_without_a_retirement_nothing_in_use_is_deleted(
        self, database: Database, lake: Lake
    ) -> None:
        for number in range(1, 4):
            await write(database, lake, ROWS.head(number))
        async with database.transaction() as session:
            assert await lake.vacuum(session, "governed", "schools") == 0
        assert [(await read(database, lake, v)).height for v in (1, 2, 3)] == [1, 2, 3]

    @pytest.mark.parametrize("seed", range(4))
    async def test_whatever_happened_before_every_version_in_use_can_be_read(
        self, database: Database, lake: Lake, seed: int
    ) -> None:
        """Writes, partitions, restores, lost writes, retirements and vacuums in any order."""
        dice = random.Random(seed)
        for number in range(14):
            source = dice.choice("ab")
            deed = dice.choice(("write", "write", "write", "restore", "lose", "vacuum"))
            async with database.transaction() as session:
                known = await lake.versions(session, "governed", "schools")
                usable = [each.version for each in known if not each.vacuumed]
                if deed == "restore" and usable:
                    await lake.restore(session, "governed", "schools", dice.choice(usable))
                if deed == "vacuum" and usable:
                    kept = dice.randrange(1, 4)
                    await lake.retire(session, "governed", "schools", keep_versions=kept, keep_days=0)
                    await lake.vacuum(session, "governed", "schools")
            if deed in ("write", "lose"):
                rows = ROWS.with_columns(n=pl.lit(number))
                with suppress(ZeroDivisionError):
                    async with database.transaction() as session:
                        await lake.write_table(
                            session, "governed", "schools", rows, batch_id=None, partition={"_source": source}
                        )
                        assert 1 / (deed == "write")
        async with database.read() as session:
            for each in await lake.versions(session, "governed", "schools"):
                if not each.vacuumed:
                    assert (await lake.read(each)).height == each.row_count
            found = [one.kind for one in await lake.verify(session, deep=True)]
        assert set(found) <= {"extra-file"}

    async def test_a_restored_old_version_keeps_the_files_it_shares(
        self, database: Database, lake: Lake
    ) -> None:
        await write(database, lake)
        await write(database, lake, ROWS.head(1))
        async with database.transaction() as session:
            await lake.restore(session, "governed", "schools", 1)
            assert await lake.retire(session, "governed", "schools", keep_versions=1, keep_days=0) == [1, 2]
            await lake.vacuum(session, "governed", "schools")
        assert (await read(database, lake)).height == 3
        async with database.read() as session:
            assert await lake.verify(session, deep=True) == []

    async def test_leftovers_in_a_partition_show_and_go_away(
        self, database: Database, lake: Lake, tmp_path: Path
    ) -> None:
        await write(database, lake, partition={"_source": "甲"})
        with pytest.raises(RuntimeError):
            async with database.transaction() as session:
                await lake.write_table(
                    session, "governed", "schools", ROWS, batch_id=None, partition={"_source": "乙 1"}
                )
                raise RuntimeError
        async with database.transaction() as session:
            assert [found.kind for found in await lake.verify(session)] == ["extra-file"]
            await lake.vacuum(session, "governed", "schools")
            assert await lake.verify(session, deep=True) == []
        assert len(data_files(tmp_path)) == 1

    async def test_leftovers_of_a_rolled_back_write_go_away(
        self, database: Database, lake: Lake, tmp_path: Path
    ) -> None:
        await write(database, lake)
        with pytest.raises(RuntimeError):
            async with database.transaction() as session:
                await lake.write_table(session, "governed", "schools", ROWS.head(1), batch_id=None)
                raise RuntimeError
        assert len(data_files(tmp_path)) == 2
        async with database.transaction() as session:
            await lake.vacuum(session, "governed", "schools")
        assert len(data_files(tmp_path)) == 1
        assert (await read(database, lake)).height == 3
