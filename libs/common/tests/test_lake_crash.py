"""A process dies at the worst moment, a disk loses bytes: the manifest decides, the table comes back."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest
from edulake.common import faults
from edulake.common.db import Database
from edulake.common.lake import Lake, Manifest, TableDamaged, content_digest

ROWS = pl.DataFrame({"code": ["a", "b", "c"], "n": [1, 2, 3]})

WRITER = """
import asyncio, sys
from pathlib import Path
import polars as pl
from edulake.common import faults
from edulake.common.db import Database
from edulake.common.lake import Lake
from edulake.common.settings import Settings

async def main(url, folder, home, source):
    faults.configure(Settings(home=Path(home)))
    database = Database(url)
    async with database.transaction() as session:
        rows = pl.DataFrame({"code": ["z"], "n": [9]})
        part = {"_source": source} if source else None
        await Lake(folder).write_table(session, "governed", "schools", rows, batch_id="b2", partition=part)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def lake(folder: Path) -> Lake:
    return Lake(str(folder))


@pytest.fixture
def url(database_url: str) -> str:
    return database_url.replace("{role}", "edulake_governance")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


async def write(database: Database, lake: Lake, rows: pl.DataFrame = ROWS, **more):
    async with database.transaction() as session:
        return await lake.write_table(
            session, "governed", "schools", rows, batch_id=more.pop("batch_id", None), **more
        )


async def read(database: Database, lake: Lake, version: int | None = None) -> pl.DataFrame:
    async with database.read() as session:
        return await lake.read_table(session, "governed", "schools", version)


async def repair(database: Database, lake: Lake) -> list[str]:
    async with database.transaction() as session:
        return [done.en for done in await lake.repair_at_start(session)]


async def verify(database: Database, lake: Lake, *, deep: bool = True) -> list[str]:
    async with database.read() as session:
        return [found.kind for found in await lake.verify(session, deep=deep)]


def commits(folder: Path) -> list[Path]:
    return sorted((folder / "governed/schools/_delta_log").glob("[0-9]*.json"))


async def kill_a_writer_at(point: str, url: str, folder: Path, home: Path, source: str) -> None:
    environment = {**os.environ, faults.VARIABLE: point}
    command = [sys.executable, "-c", WRITER, url, str(folder), str(home), source]
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 90
    while not faults.mark_of(home, point).exists():
        assert process.poll() is None, "the writer ended before the point"
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("source", ["", "b"], ids=["the whole table", "a partition"])
@pytest.mark.parametrize("point", ["lake.after_delta_commit", "lake.before_manifest"])
class TestKilledBetweenTheTwoCommits:
    async def test_readers_never_see_it_and_repair_brings_the_table_back(
        self, database: Database, lake: Lake, url: str, folder: Path, home: Path, point: str, source: str
    ) -> None:
        await write(database, lake, batch_id="b1", partition={"_source": "a"} if source else None)
        before = content_digest(await read(database, lake))
        await kill_a_writer_at(point, url, folder, home, source)
        assert len(commits(folder)) == 2
        assert content_digest(await read(database, lake)) == before
        assert await repair(database, lake) == ["restored the head to manifest version 1"]
        assert content_digest(pl.read_delta(str(folder / "governed/schools"))) == before
        assert await repair(database, lake) == []
        assert await verify(database, lake) == ["extra-file"]

    async def test_the_batch_can_be_written_again_with_or_without_a_repair(
        self, database: Database, lake: Lake, url: str, folder: Path, home: Path, point: str, source: str
    ) -> None:
        await write(database, lake, batch_id="b1", partition={"_source": "a"} if source else None)
        await kill_a_writer_at(point, url, folder, home, source)
        rows = pl.DataFrame({"code": ["z"], "n": [9]})
        part = {"_source": source} if source else None
        again = await write(database, lake, rows, batch_id="b2", partition=part)
        assert (again.version, again.row_count) == (2, 4 if source else 1)
        head = pl.read_delta(str(folder / "governed/schools"))
        assert content_digest(head) == content_digest(await read(database, lake))
        assert set(await verify(database, lake)) <= {"extra-file"}


class TestDamagedLog:
    async def test_a_torn_commit_that_nobody_vouches_for_is_set_aside(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        await write(database, lake)
        commits(folder)[-1].with_name(f"{1:020}.json").write_text('{"commitInfo":{"timest')
        assert (await read(database, lake)).height == 3
        assert await verify(database, lake) == ["unreadable"]
        assert await repair(database, lake) == [f"set torn commit {1:020}.json aside"]
        assert await verify(database, lake) == []

    @pytest.mark.parametrize("kept", [0, 40])
    async def test_a_torn_commit_of_the_current_version_is_written_again(
        self, database: Database, lake: Lake, folder: Path, kept: int
    ) -> None:
        await write(database, lake)
        second = await write(database, lake, ROWS.head(2))
        path = commits(folder)[-1]
        path.write_bytes(path.read_bytes()[:kept])
        assert set(await verify(database, lake)) >= {"damaged-log"}
        assert f"rewrote commit {path.name}" in await repair(database, lake)
        assert await verify(database, lake) == []
        assert content_digest(await read(database, lake)) == second.content_digest

    async def test_a_log_that_is_gone_altogether_comes_back(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        await write(database, lake)
        await write(database, lake, ROWS.head(2))
        for path in commits(folder):
            path.unlink()
        assert len(await repair(database, lake)) == 2
        assert await verify(database, lake) == []
        assert (await read(database, lake, 1)).height == 3

    async def test_a_write_gets_past_a_torn_commit_without_a_repair(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        await write(database, lake)
        commits(folder)[-1].with_name(f"{1:020}.json").write_text("{")
        assert (await write(database, lake, ROWS.head(2))).row_count == 2
        assert await verify(database, lake) == []

    async def test_a_torn_first_commit_does_not_stop_the_first_write(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        log = folder / "governed/schools/_delta_log"
        log.mkdir(parents=True)
        (log / f"{0:020}.json").write_text("{")
        assert (await write(database, lake)).row_count == 3
        assert (await read(database, lake)).height == 3

    async def test_damaged_checkpoints_are_set_aside(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        await write(database, lake)
        from deltalake import DeltaTable

        DeltaTable(str(folder / "governed/schools")).create_checkpoint()
        for path in (folder / "governed/schools/_delta_log").glob("*checkpoint*"):
            path.write_bytes(b"PAR1 nonsense")
        assert "set damaged checkpoints aside" in await repair(database, lake)
        assert await verify(database, lake) == []


class TestDamagedData:
    async def test_verify_names_lost_cut_and_changed_files(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        kinds = []
        for damage in ("lost", "cut", "changed"):
            done = await write(database, lake, ROWS.with_columns(x=pl.lit(damage)))
            path = folder / "governed/schools" / done.files[0].path
            data = path.read_bytes()
            if damage == "lost":
                path.unlink()
            else:
                path.write_bytes(data[:-5] if damage == "cut" else data.replace(b"PAR1", b"PAR2"))
            kinds.append(await verify(database, lake, deep=damage == "changed"))
        assert kinds == [
            ["missing-file"],
            ["missing-file", "truncated-file"],
            ["missing-file", "truncated-file", "changed-file", "unreadable"],
        ]

    async def test_rows_changed_behind_our_back_have_another_digest(
        self, database: Database, lake: Lake, postgres_admin_url: str
    ) -> None:
        await write(database, lake)
        admin = Database(postgres_admin_url)
        async with admin.transaction() as session:
            from sqlalchemy import text

            await session.execute(text("UPDATE lake.manifest SET content_digest = 'another'"))
        await admin.close()
        assert await verify(database, lake) == ["wrong-digest"]
        assert await verify(database, lake, deep=False) == []

    async def test_a_deep_look_survives_a_file_at_which_the_reader_panics(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        hurt(folder, await write(database, lake), "cut")
        assert await verify(database, lake) == ["truncated-file", "unreadable"]

    @pytest.mark.parametrize(("damage", "words"), [("lost", "missing"), ("cut", "another size")])
    async def test_a_reader_is_told_which_file_is_damaged(
        self, database: Database, lake: Lake, folder: Path, damage: str, words: str
    ) -> None:
        name = hurt(folder, await write(database, lake), damage)
        with pytest.raises(TableDamaged, match=words) as caught:
            await read(database, lake)
        assert name in caught.value.detail_zh
        assert "备份" in caught.value.mend_zh

    async def test_an_error_of_the_reader_s_own_is_not_called_damage(
        self, database: Database, lake: Lake
    ) -> None:
        await write(database, lake)
        with pytest.raises(pl.exceptions.ColumnNotFoundError):
            async with database.read() as session:
                await lake.read_table(session, "governed", "schools", columns=["nothing"])


def hurt(folder: Path, done: Manifest, damage: str) -> str:
    """Lose or cut the first data file of a version; returns its name."""
    path = folder / done.zone / done.table / done.files[0].path
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-5])
    return done.files[0].path


class TestDurability:
    async def test_data_log_and_folders_are_flushed_before_the_manifest(
        self, database: Database, lake: Lake, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flushed: set[str] = set()
        real = os.fsync

        def spy(descriptor: int) -> None:
            flushed.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", spy)
        done = await write(database, lake, partition={"_source": "甲"})
        table = folder / "governed/schools"
        data = table / done.files[0].path
        expected = {
            data,
            data.parent,
            table,
            table.parent,
            folder,
            *commits(folder),
            commits(folder)[0].parent,
        }
        assert {str(path) for path in expected} <= flushed


class TestRepairAtStart:
    @pytest.mark.parametrize("damage", ["lost", "cut"])
    async def test_what_cannot_be_repaired_is_said_and_stops_no_other_table(
        self, database: Database, lake: Lake, folder: Path, damage: str
    ) -> None:
        name = hurt(folder, await write(database, lake), damage)
        async with database.transaction() as session:
            await lake.write_table(session, "governed", "sound", ROWS, batch_id="b1")
        torn = folder / "governed/sound/_delta_log" / f"{0:020}.json"
        torn.write_text("{")
        async with database.transaction() as session:
            damaged, mended = await lake.repair_at_start(session)
        assert (damaged.table, damaged.is_mended) == ("schools", False)
        assert name in damaged.en
        assert name in damaged.zh
        assert (mended.table, mended.is_mended) == ("sound", True)

    async def test_a_table_that_cannot_even_be_opened_stops_no_other(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        done = await write(database, lake)
        await write(database, lake, ROWS.head(1))
        hurt(folder, done, "lost")
        log = folder / "governed/schools/_delta_log"
        (log / f"{1:020}.json").rename(log / f"{1:020}.json.away")
        (log / f"{1:020}.json").mkdir()  # nothing can be written where the commit belongs
        async with database.transaction() as session:
            await lake.write_table(session, "governed", "sound", ROWS, batch_id="b1")
            said = await lake.repair_at_start(session)
        assert [(one.table, one.is_mended) for one in said] == [("schools", False)]

    async def test_a_table_with_a_live_writer_is_left_to_it(
        self, database: Database, lake: Lake, folder: Path
    ) -> None:
        await write(database, lake)
        async with database.transaction() as session:
            await lake.write_table(session, "governed", "schools", ROWS.head(1), batch_id="b2")
            assert await repair(database, lake) == []
        assert (await read(database, lake)).height == 1
        assert await verify(database, lake) == []
