"""A lake with governed versions, a publisher over it, and what callers see."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import polars as pl
import pytest
from edulake.common.bus import announce
from edulake.common.db import Database
from edulake.common.events import GovernedDatasetReady
from edulake.common.lake import Lake
from edulake.common.policy import asking_neighbours
from edulake.common.service import Resources, create_service, open_resources
from edulake.share_gateway.publication import repository
from edulake.share_gateway.publication.api import router
from edulake.share_gateway.publication.jobs import JobLoop
from edulake.share_gateway.publication.settings import PublisherSettings

Govern = Callable[..., Awaitable[GovernedDatasetReady]]


def school(number: int, **over: Any) -> dict[str, Any]:
    """A governed row, with the columns the lake adds."""
    row = {
        "school_key": f"S{number:016x}",
        "school_code": f"{990000 + number:06d}",
        "school_name": f"第{number}中学",
        "district_code": "310115" if number % 3 == 0 else "310101",
        "stage": "3",
        "estimated_pupils": 100 * number,
        "_row_key": f"S{number:016x}",
        "_sources": '["a"]',
        "_provenance": '{"school_name": {"a": "旧名"}}',
        "_period": "2024",
        "_region": "310115" if number % 3 == 0 else "310101",
    }
    return {**row, **over}


@pytest.fixture
def make_school() -> Callable[..., dict[str, Any]]:
    return school


@pytest.fixture
def settings(make_settings: Callable[..., Any]) -> PublisherSettings:
    found: PublisherSettings = make_settings(PublisherSettings, publisher_poll_ms=20, publisher_backoff_s=0)
    return found


@pytest.fixture
def lake(settings: PublisherSettings) -> Lake:
    return Lake(settings.lake)


@pytest.fixture
async def resources(settings: PublisherSettings) -> AsyncIterator[Resources]:
    """What the publisher process holds."""
    async with open_resources(settings, "publisher", "edulake_gateway") as found:
        yield found


@pytest.fixture
def database(resources: Resources) -> Database:
    return resources.database


@pytest.fixture
async def governance(database_url: str) -> AsyncIterator[Database]:
    """The database as the governance service uses it."""
    found = Database(database_url.replace("{role}", "edulake_governance"))
    yield found
    await found.close()


@pytest.fixture
def govern(lake: Lake, governance: Database) -> Govern:
    """`await govern("b1", rows)` → a governed version in the lake, announced; the event."""

    async def make(
        batch_id: str,
        rows: list[dict[str, Any]] | pl.DataFrame,
        *,
        dataset: str = "school_base",
        level: int = 2,
        agreed_by: str | None = None,
        contributors: tuple[str, ...] = (),
    ) -> GovernedDatasetReady:
        """`contributors`: the batches whose rows it was merged from, kept beside it as governance does."""
        frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, infer_schema_length=None)
        async with governance.transaction() as session:
            manifest = await lake.write_table(session, "governed", dataset, frame, batch_id=batch_id)
            parts_version = None
            if contributors:
                parts = pl.DataFrame({"_batch_id": contributors})
                kept = await lake.write_table(
                    session, "governed", f"{dataset}__parts", parts, batch_id=batch_id
                )
                parts_version = kept.version
            ready = GovernedDatasetReady(
                dataset=dataset,
                parts_version=parts_version,
                agreed_by=agreed_by,
                version=manifest.version,
                batch_id=batch_id,
                row_count=manifest.row_count,
                content_digest=manifest.content_digest,
                level=level,
                quality=1.0,
            )
            await announce(session, ready)
        return ready

    return make


@pytest.fixture
def restore(lake: Lake, governance: Database) -> Callable[[int], Awaitable[GovernedDatasetReady]]:
    """`await restore(1)` → version 1 of the schools again, as a new version of batch b1; the event."""

    async def make(version: int) -> GovernedDatasetReady:
        async with governance.transaction() as session:
            manifest = await lake.restore(session, "governed", "school_base", version)
        return GovernedDatasetReady(
            dataset="school_base",
            version=manifest.version,
            batch_id="b1",
            row_count=manifest.row_count,
            content_digest=manifest.content_digest,
            level=2,
            quality=1.0,
        )

    return make


@pytest.fixture
def queue(database: Database) -> Callable[[GovernedDatasetReady], Awaitable[bool]]:
    """Queue a governed version as the event handler does."""

    async def add(ready: GovernedDatasetReady) -> bool:
        async with database.transaction() as session:
            return await repository.add_job(session, ready, "0" * 31 + "1")

    return add


@pytest.fixture
def loop(resources: Resources, settings: PublisherSettings, lake: Lake) -> JobLoop:
    return JobLoop(resources, settings, lake)


@pytest.fixture
async def reader(database_url: str) -> AsyncIterator[Any]:
    """A connection of the role the engine reads with."""
    connection = await asyncpg.connect(database_url.replace("{role}", "edulake_reader"))
    yield connection
    await connection.close()


@pytest.fixture
async def admin(postgres_admin_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres_admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def client(settings: Any, client_for: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_service(
        name="gateway",
        title="gateway",
        settings=settings,
        routers=[router],
        lifespan_resources=asking_neighbours,
    )
    async with client_for(app) as found:
        yield found


@pytest.fixture
def steward(as_subject: Any) -> dict[str, str]:
    found: dict[str, str] = as_subject("steward", id="person:li-steward", audience="gateway")
    return found
