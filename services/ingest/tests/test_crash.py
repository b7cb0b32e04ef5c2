"""kill -9 of the real service at every place where it hurts: one batch, one event, nothing torn.

The service is a process of its own on this test's database and lake. It stops at a named point (or is
in the middle of anything, for the random seeds), is killed with SIGKILL, and started again; then the
same files are delivered again.
"""

import asyncio
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from edulake.common import faults
from edulake.common.db import Database
from edulake.common.gm import open_keys
from edulake.common.identity import service_subject
from edulake.common.lake import Lake
from edulake.common.settings import PORT_OFFSETS
from edulake.ingest.settings import ROLE, IngestSettings
from edulake.ingest.source.schemas import SourceNew
from edulake.ingest.source.service import register

SOURCE = {
    "id": "roster", "title": "学校名册", "organisation": "甲区教育局", "contact": "person:wu-contact",
    "datasets": ["school_base"],
}  # fmt: skip
POINTS = ["ingest.before_land", "ingest.after_object", "ingest.after_commit"]


def content(number: int) -> bytes:
    rows = "".join(f"{row:04},学校{number}-{row},宝山区\n" for row in range(200))
    return f"学校代码,学校名称,所属区\n{rows}".encode()


def free_port() -> int:
    """A port below those the kernel gives to callers: nobody takes it while the service is down."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.SystemRandom().randrange(20_000, 32_000)))
            return int(probe.getsockname()[1])


class House:
    """A database, a home and a port; services come and go in it."""

    def __init__(self, settings: IngestSettings, headers: dict[str, str]) -> None:
        self.settings = settings
        self.headers = headers
        self.port = free_port()

    @asynccontextmanager
    async def service(self, point: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """The real service, ready; killed at the end of the block if it still lives."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        log = (self.settings.home / "service.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edulake.common.serve", "ingest", env=self.environment(point), stdout=log, stderr=log
        )  # fmt: skip
        try:
            await self._ready(process)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            log.close()

    def environment(self, point: str) -> dict[str, str]:
        names = ("env", "database_url", "redis_url")
        wanted = {f"EDULAKE_{name.upper()}": str(getattr(self.settings, name)) for name in names}
        port = str(self.port - PORT_OFFSETS["ingest"])
        return {**os.environ, **wanted, "EDULAKE_HOME": str(self.settings.home), "EDULAKE_PORT": port,
                faults.VARIABLE: point}  # fmt: skip

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(90):
            while True:
                assert process.returncode is None, "the service did not start"
                with suppress(httpx.HTTPError, AssertionError):
                    assert (await self.call("GET", "/readyz")).status_code == 200
                    return
                await asyncio.sleep(0.1)

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            return await client.request(method, url, headers=self.headers, **options)

    async def deliver(self, number: int) -> httpx.Response:
        return await self.call(
            "POST",
            "/api/ingest/sources/roster/datasets/school_base/deliveries",
            files={"file": (f"{number}.csv", content(number))},
            data={"period": f"2024-{number}"},  # all of them are in effect beside each other
        )


pytestmark = pytest.mark.timeout(300)  # each test starts the service two or three times


@pytest.fixture
async def house(make_settings: Callable[..., Any], steward: dict[str, str]) -> House:
    house = House(make_settings(IngestSettings), steward)
    database = Database(house.settings.database_for(ROLE))
    async with database.transaction() as session:  # over HTTP auth would be asked who the contact is
        await register(session, "roster", SourceNew.model_validate(SOURCE), service_subject("tests"))
    await database.close()
    return house


async def exactly_once(house: House, batch_ids: list[str], landed_events: Any) -> None:
    """One batch, one event and one manifest of each; the lake is whole and its rows can be opened."""
    events = await landed_events()
    assert sorted(event["batch_id"] for event in events) == sorted(batch_ids)
    lake = Lake(house.settings.lake)
    database = Database(house.settings.database_for(ROLE))
    try:
        async with database.transaction() as session:
            manifests = await lake.versions(session, "raw", "school_base")
            assert await lake.verify(session, deep=True) == []
    finally:
        await database.close()
    assert sorted(str(manifest.batch_id) for manifest in manifests) == sorted(batch_ids)
    ring = open_keys(house.settings).ring("seal")
    for event in events:
        async with lake.open_raw("school_base", event["digest"], "rows", ring) as plain:
            assert plain.read(4) == b"PAR1"


async def seen(mark: Path) -> None:
    async with asyncio.timeout(90):
        while not mark.exists():
            await asyncio.sleep(0.02)


class TestKilled:
    @pytest.mark.parametrize("point", POINTS)
    async def test_at_a_named_point_the_same_file_makes_one_batch(
        self, house: House, landed_events: Any, point: str
    ) -> None:
        async with house.service(point) as process:
            delivery = asyncio.create_task(house.deliver(1))
            await seen(faults.mark_of(house.settings.home, point))
            process.kill()
            with pytest.raises(httpx.HTTPError):
                await delivery

        async with house.service():
            again = await house.deliver(1)
            assert again.status_code == (200 if point == "ingest.after_commit" else 202), again.text
            assert (await house.deliver(1)).status_code == 200
        await exactly_once(house, [again.json()["batch_id"]], landed_events)

    @pytest.mark.parametrize("seed", range(3))
    async def test_at_any_moment_every_file_makes_one_batch(
        self, house: House, landed_events: Any, seed: int
    ) -> None:
        chance = random.Random(seed)
        answered: dict[int, str] = {}

        async def deliver(number: int) -> None:
            with suppress(httpx.HTTPError):
                answer = await house.deliver(number)
                if answer.status_code == 202:
                    answered[number] = answer.json()["batch_id"]

        async with house.service() as process:
            deliveries = [asyncio.create_task(deliver(number)) for number in range(6)]
            await asyncio.sleep(chance.uniform(0.05, 1.5))
            process.kill()
            await asyncio.gather(*deliveries)

        async with house.service():
            again = {number: (await house.deliver(number)).json()["batch_id"] for number in range(6)}
        # What was answered with success before the kill is the very batch that stands now.
        assert {number: again[number] for number in answered} == answered
        await exactly_once(house, list(again.values()), landed_events)

    async def test_leaves_orphans_that_the_next_start_removes(self, house: House, landed_events: Any) -> None:
        async with house.service("ingest.after_object") as process:
            delivery = asyncio.create_task(house.deliver(7))
            await seen(faults.mark_of(house.settings.home, "ingest.after_object"))
            process.kill()
            with pytest.raises(httpx.HTTPError):
                await delivery
        (orphan,) = (house.settings.home / "lake" / "raw" / "school_base").iterdir()
        (staged,) = (house.settings.home / "tmp" / "ingest").iterdir()
        for folder in (orphan, staged):
            os.utime(folder, (0, 0))

        async with house.service():
            async with asyncio.timeout(60):
                while orphan.exists() or staged.exists():
                    await asyncio.sleep(0.05)
            assert (await house.deliver(7)).status_code == 202
        assert len(await landed_events()) == 1
