"""What the tests of ingest share: a running service, registered sources, files to deliver."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import polars as pl
import pytest
from edulake.common.db import Database
from edulake.common.lake import Lake
from edulake.common.service import Resources
from edulake.ingest.app import create_app
from edulake.ingest.settings import ROLE, IngestSettings
from fastapi import FastAPI
from sqlalchemy import text

CSV = "学校代码,学校名称,所属区\n0031,求真中学,宝山区\n0032,长征中学,普陀区\n"
DELIVERIES = "/api/ingest/sources/roster/datasets/school_base/deliveries"
SOURCE = {
    "id": "roster",
    "title": "学校名册",
    "organisation": "甲区教育局",
    "contact": "person:wu-contact",
    "authority": 60,
    "datasets": ["school_base"],
}


@pytest.fixture
def settings(make_settings: Callable[..., Any]) -> IngestSettings:
    made: IngestSettings = make_settings(IngestSettings, reader_memory_bytes=1 << 30)
    return made


@pytest.fixture
def app(settings: IngestSettings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
async def client(
    app: FastAPI,
    client_for: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
    neighbourhood: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(app) as opened:
        neighbourhood.join(app)
        yield opened


@pytest.fixture
def resources(client: httpx.AsyncClient, app: FastAPI) -> Resources:
    found: Resources = app.state.resources
    return found


@pytest.fixture
async def database(settings: IngestSettings) -> AsyncIterator[Database]:
    opened = Database(settings.database_for(ROLE))
    yield opened
    await opened.close()


@pytest.fixture
def steward(as_subject: Callable[..., dict[str, str]]) -> dict[str, str]:
    return as_subject("steward", id="person:li-steward", audience="ingest")


@pytest.fixture
def contact(as_subject: Callable[..., dict[str, str]]) -> dict[str, str]:
    return as_subject("source_contact", id="person:wu-contact", audience="ingest")


@pytest.fixture
def stranger(as_subject: Callable[..., dict[str, str]]) -> dict[str, str]:
    return as_subject("source_contact", id="person:somebody-else", audience="ingest")


@pytest.fixture
async def roster(client: httpx.AsyncClient, steward: dict[str, str]) -> dict[str, Any]:
    """The registered source `roster`."""
    answer = await client.post("/api/ingest/sources", json=SOURCE, headers=steward)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture
async def rows_of(resources: Resources) -> Callable[[str], Any]:
    """`await rows_of(digest)` → the sealed rows of a digest, opened again."""

    async def read(digest: str) -> pl.DataFrame:
        lake: Lake = resources.extra["deliveries"].lake
        async with lake.open_raw("school_base", digest, "rows", resources.keys.ring("seal")) as plain:
            return pl.read_parquet(io.BytesIO(plain.read()))

    return read


@pytest.fixture
def come_to(resources: Resources) -> Callable[..., Any]:
    """`await come_to(batch_id, "quarantined")` makes a batch end so."""

    async def end(batch_id: str, status: str) -> None:
        async with resources.database.transaction() as session:
            statement = text("UPDATE ingest.batch SET status = :status WHERE batch_id = :id")
            await session.execute(statement, {"status": status, "id": batch_id})

    return end


Deliver = Callable[..., Any]


@pytest.fixture
def deliver(client: httpx.AsyncClient, roster: dict[str, Any], contact: dict[str, str]) -> Deliver:
    """`await deliver(CSV)` delivers a file to the registered source as its contact."""

    async def send(
        content: str | bytes = CSV,
        *,
        period: str | None = "2024",
        name: str = "schools.csv",
        url: str = DELIVERIES,
        headers: dict[str, str] | None = None,
        **more: str,
    ) -> httpx.Response:
        body = content.encode() if isinstance(content, str) else content
        return await client.post(
            url,
            files={"file": (name, body)},
            data={**({} if period is None else {"period": period}), **more},
            headers=headers or contact,
        )

    return send


@pytest.fixture
def dump(database: Database) -> Callable[[str], Any]:
    """`await dump("ingest.batch")` → all of a table as text, to look for what must not be in it."""

    async def read(table: str) -> str:
        async with database.read() as session:
            return "\n".join(await session.scalars(text(f"SELECT CAST(t AS text) FROM {table} t")))

    return read


@pytest.fixture
def count(database: Database) -> Callable[[str], Any]:
    """`await count("ingest.batch")` → rows of a table, as the service's own role sees them."""

    async def rows(table: str) -> int:
        async with database.transaction() as session:
            return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)

    return rows


@pytest.fixture
def landed_events(postgres_admin_url: str) -> Callable[[], Any]:
    """`await landed_events()` → the payloads of all raw.batch.landed events in the log."""

    async def read() -> list[dict[str, Any]]:
        opened = Database(postgres_admin_url)
        try:
            async with opened.transaction() as session:
                rows = await session.scalars(
                    text("SELECT payload FROM bus.log WHERE name = 'raw.batch.landed.v1' ORDER BY pos")
                )
                return list(rows)
        finally:
            await opened.close()

    return read
