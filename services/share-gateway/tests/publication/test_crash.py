"""`kill -9` of a real publisher process at its named points: one version per batch, no more and no less."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from edulake.common import faults
from edulake.common.db import Database
from sqlalchemy import text

POINTS = ("publisher.after_copy", "publisher.before_commit")
KILLS = 6
pytestmark = pytest.mark.timeout(
    300
)  # every start of a process costs seconds, on a busy machine ten times as many
END_LEASES = text(
    "UPDATE gateway.publication_job SET lease_until = now() - interval '1 s' "
    "WHERE status = 'running' AND lease_until > now() AND split_part(worker, '-', 1) = ANY(:pids)"
)
BATCHES = 3


@contextmanager
def publisher(settings: Any, log: Path, *, pause_at: str = "") -> Iterator["Popen[bytes]"]:
    """The real process; killed at the end of the block if it still lives.

    Its leases are long, so that no pause of the machine takes a job from it while it lives.
    """
    environment = {
        **os.environ,
        "EDULAKE_HOME": str(settings.home),
        "EDULAKE_DATABASE_URL": settings.database_url,
        "EDULAKE_REDIS_URL": settings.redis_url,
        "EDULAKE_STANDARDS_DIR": str(settings.standards_dir),
        "EDULAKE_BUS_POLL_MS": "20",
        "EDULAKE_PUBLISHER_POLL_MS": "20",
        "EDULAKE_PUBLISHER_LEASE_S": "600",
        "EDULAKE_PUBLISHER_TRIES": "30",
        faults.VARIABLE: pause_at,
    }
    with log.open("ab") as output:
        process = Popen(
            [sys.executable, "-m", "edulake.share_gateway.publisher"],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def until(condition: Any, seconds: float = 90) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if await condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen in time")


@asynccontextmanager
async def silent_for_long(database: Database) -> AsyncIterator[list[int]]:
    """The leases of the processes named in the list end, also one renewed by a dead process's last statement."""
    pids: list[int] = []
    stop = asyncio.Event()

    async def keep_ending() -> None:
        while not stop.is_set():
            async with database.transaction() as session:
                await session.execute(END_LEASES, {"pids": [str(pid) for pid in pids]})
            await asyncio.sleep(0.05)

    ending = asyncio.create_task(keep_ending())
    try:
        yield pids
    finally:
        stop.set()
        await ending


async def published(admin: Any) -> list[tuple[int, int, str]]:
    rows = await admin.fetch(
        "SELECT version, governed_version, batch_id FROM gateway.publication ORDER BY version"
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("point", POINTS)
class TestKilledAtAPoint:
    async def test_nothing_half_done_is_seen_and_the_next_process_does_it_once(
        self,
        point: str,
        govern: Any,
        settings: Any,
        reader: Any,
        admin: Any,
        database: Database,
        tmp_path: Path,
        make_school: Any,
    ) -> None:
        log = tmp_path / "publisher.log"
        await govern("b1", [make_school(n) for n in range(1, 200)])
        mark = faults.mark_of(settings.home, point)
        with publisher(settings, log, pause_at=point) as process:

            async def has_come_there() -> bool:
                return mark.exists()

            await until(has_come_there)
            assert await reader.fetchval("SELECT to_regclass('published.school_base')") is None
            assert await published(admin) == []
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        async with silent_for_long(database) as killed:
            killed.append(process.pid)
            await self.the_next_does_it(settings, log, admin, reader)
        assert await admin.fetchval("SELECT count(*) FROM bus.log WHERE topic = 'published'") == 1
        assert await admin.fetchval("SELECT tries FROM gateway.publication_job") == 2

    async def the_next_does_it(self, settings: Any, log: Path, admin: Any, reader: Any) -> None:
        with publisher(settings, log) as process:

            async def is_published() -> bool:
                return len(await published(admin)) == 1

            await until(is_published)
            assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 199
            process.terminate()
            assert process.wait(60) == 0


class TestKilledAnywhere:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_every_batch_is_published_once_in_order(
        self,
        seed: int,
        govern: Any,
        settings: Any,
        reader: Any,
        admin: Any,
        database: Database,
        tmp_path: Path,
        make_school: Any,
    ) -> None:
        dice, log = random.Random(seed), tmp_path / "publisher.log"
        for number in range(1, BATCHES + 1):
            await govern(f"b{number}", [make_school(n) for n in range(1, 100 * number + 1)])

        async def all_published() -> bool:
            return len(await published(admin)) == BATCHES

        async def works_or_is_done() -> bool:
            running = "SELECT count(*) FROM gateway.publication_job WHERE status = 'running' AND lease_until > now()"
            return bool(await admin.fetchval(running)) or await all_published()

        async with silent_for_long(database) as killed:
            for _ in range(KILLS):
                with publisher(settings, log) as process:
                    await until(works_or_is_done)
                    await asyncio.sleep(dice.random() * 0.2)
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()
                killed.append(process.pid)
            with publisher(settings, log):
                await until(all_published)
        assert await published(admin) == [(n, n, f"b{n}") for n in range(1, BATCHES + 1)]
        assert await reader.fetchval("SELECT count(*) FROM published.school_base") == 100 * BATCHES
        assert await admin.fetchval("SELECT count(*) FROM bus.log WHERE topic = 'published'") == BATCHES
        # Whether a kill finds a job at work is chance (the test above stops at chosen points); that
        # no job is tried more often than the kills explain is not.
        tries = await admin.fetchval("SELECT sum(tries) FROM gateway.publication_job")
        assert BATCHES <= tries <= BATCHES + KILLS
        tables = await admin.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'published'")
        assert tables == BATCHES
