"""Postgres restarts under deliveries: 503 with Retry-After, healed soon after, nothing lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from edulake.cli.embedded import EmbeddedPostgres, start_postgres, stop_postgres
from edulake.common import migrate
from edulake.common.db import Database
from edulake.ingest.app import create_app
from edulake.ingest.settings import ROLE, IngestSettings
from sqlalchemy import text

SOURCE = {
    "id": "roster", "title": "t", "organisation": "o", "contact": "person:c", "datasets": ["school_base"],
}  # fmt: skip
DELIVERIES = "/api/ingest/sources/roster/datasets/school_base/deliveries"
FILES = 6


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A Postgres of this test alone, because it is going to be stopped."""
    folder = tmp_path / "postgres" / "data"
    started = await asyncio.to_thread(start_postgres, folder)
    connection = await asyncpg.connect(started.admin_url("postgres"))
    await connection.execute("CREATE DATABASE edulake TEMPLATE template0 ENCODING 'UTF8'")
    await connection.close()
    await migrate.upgrade_all(started.admin_url())
    yield started
    await asyncio.to_thread(stop_postgres, folder)


@pytest.mark.timeout(300)
async def test_a_restart_loses_no_delivery_and_doubles_none(
    server: EmbeddedPostgres,
    redis_url: str,
    home: Path,
    steward: dict[str, str],
    client_for: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
    neighbourhood: Any,
) -> None:
    settings = IngestSettings(home=home, database_url=server.url(), redis_url=redis_url, bus_poll_ms=20)  # type: ignore[call-arg]
    stopped = asyncio.Event()
    statuses: list[int] = []
    accepted: dict[int, str] = {}

    async def deliver(client: httpx.AsyncClient, number: int) -> None:
        """Deliver until accepted, as a source would: 503 means come back."""
        body = f"学校代码,学校名称\n{number:04},学校{number}\n"
        while number not in accepted:
            answer = await client.post(
                DELIVERIES,
                files={"file": ("f.csv", body)},
                data={"period": f"2024-{number}"},  # a file of the same period would replace it
                headers=steward,
            )
            statuses.append(answer.status_code)
            assert answer.status_code in (200, 202, 503), answer.text
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) > 0
                await asyncio.sleep(0.2)
            else:
                accepted[number] = answer.json()["batch_id"]
        await stopped.wait()

    app = create_app(settings)
    async with client_for(app) as client:
        neighbourhood.join(app)
        registered = await client.post("/api/ingest/sources", json=SOURCE, headers=steward)
        assert registered.status_code == 201, registered.text
        work = [asyncio.create_task(deliver(client, number)) for number in range(FILES // 2)]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(stop_postgres, server.folder)
        work += [asyncio.create_task(deliver(client, number)) for number in range(FILES // 2, FILES)]
        async with asyncio.timeout(60):
            while 503 not in statuses:
                await asyncio.sleep(0.05)
        again: Any = await asyncio.to_thread(start_postgres, server.folder)
        assert again.url() == server.url()
        stopped.set()
        async with asyncio.timeout(120):
            await asyncio.gather(*work)

    database = Database(settings.database_for(ROLE))
    async with database.transaction() as session:
        batches = [str(each) for each in await session.scalars(text("SELECT batch_id FROM ingest.batch"))]
        events = await session.scalars(text("SELECT payload->>'batch_id' FROM bus.log"))
        assert sorted(events) == sorted(batches) == sorted(accepted.values())
    await database.close()
