"""Advisory locks: one list of spaces, and none that the bus could take for an announcer."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from edulake.common import locks
from edulake.common.bus import announce
from edulake.common.bus import log as event_log
from edulake.common.db import Database
from edulake.common.events import RawBatchWithdrawn
from edulake.common.locks import ANNOUNCERS, Space

ROOT = Path(__file__).resolve().parents[3]
BUS = ROOT / "libs/common/src/edulake/common/migrations/0001_bus.py"
BY_HAND = BUS.with_name("0003_standing.py")  # the same lock, for who does not come through `bus.announce`
HOME = ROOT / "libs/common/src/edulake/common/locks.py"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("{role}", "edulake_ingest"))
    yield database
    await database.close()


class TestSpaces:
    def test_are_distinct_and_none_is_the_announcers(self) -> None:
        numbers = [int(space) for space in Space.__members__.values()] + [ANNOUNCERS]
        assert len(set(numbers)) == len(Space.__members__) + 1

    def test_fit_the_form_with_two_numbers(self) -> None:
        assert all(0 < space < 2**31 for space in Space)

    def test_no_other_file_takes_an_advisory_lock(self) -> None:
        """Who needs a lock adds a space; only the bus reads meaning out of the other form."""
        taken = re.compile(r"pg_(?:try_)?advisory|LOCK_SPACE")
        sources = [
            path for part in ("libs", "services", "cli") for path in (ROOT / part).glob("**/src/**/*.py")
        ]
        found = {path for path in sources if taken.search(path.read_text(encoding="utf-8"))}
        assert found == {HOME, BUS, BY_HAND}

    def test_the_bus_marks_its_locks_with_the_number_that_is_kept_free(self) -> None:
        text = BUS.read_text(encoding="utf-8")
        assert f"({ANNOUNCERS}::bigint << 48)" in text
        assert f"objsubid = 1 AND classid::bigint >> 16 = {ANNOUNCERS}" in text


class TestLock:
    async def test_keeps_others_out_until_the_transaction_ends(self, database: Database) -> None:
        async with database.transaction() as mine, database.transaction() as other:
            await locks.lock(mine, Space.ROLES, "a")
            assert not await locks.try_lock(other, Space.ROLES, "a")
        async with database.transaction() as other:
            assert await locks.try_lock(other, Space.ROLES, "a")

    async def test_of_another_space_or_name_is_another_lock(self, database: Database) -> None:
        async with database.transaction() as mine, database.transaction() as other:
            await locks.lock(mine, Space.ROLES, "a")
            assert await locks.try_lock(other, Space.ROLES, "b")
            assert await locks.try_lock(other, Space.CLIENTS, "a")

    async def test_held_over_transactions_is_released_by_hand(self, database: Database) -> None:
        async with database.engine.connect() as connection, database.transaction() as other:
            await locks.hold(connection, Space.MIGRATIONS)
            await connection.rollback()
            assert not await locks.try_lock(other, Space.MIGRATIONS)
            await locks.release(connection, Space.MIGRATIONS)
            assert await locks.try_lock(other, Space.MIGRATIONS)

    async def test_of_any_space_holds_back_no_reader_of_the_log(self, database: Database) -> None:
        async with database.transaction() as long:
            for space in Space:
                for name in ("", "school_base", "governed/school_base"):
                    await locks.lock(long, space, name)
            async with database.transaction() as session:
                await announce(session, RawBatchWithdrawn(dataset="d", batch_id="b", source_id="s", by="me"))
            async with database.transaction() as session:
                page = await event_log.read_after(session, 0, ["raw"], 10)
        assert [event.key for event in page.events] == ["d"]
