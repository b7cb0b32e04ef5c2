"""The catalogue with three published datasets, and who comes to it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from edulake.catalog.app import create_app
from edulake.catalog.handlers import list_published
from edulake.catalog.settings import CatalogSettings
from edulake.common.clock import now
from edulake.common.events import PublishedDatasetUpdated
from edulake.common.service import Resources

Headers = Callable[..., dict[str, str]]
#: The houses that answer for the schools and students, and for the quotas.
CENTRE, EXAMS = "市教育委员会信息中心", "市教育考试院"


@pytest.fixture
async def app(make_settings: Any) -> Any:
    return create_app(make_settings(CatalogSettings))


@pytest.fixture
async def client(app: Any, client_for: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(app) as client:
        for dataset, level in (("school_base", 2), ("student_base", 4), ("senior_quota", 1)):
            await publish(app, dataset, level)
        yield client


async def publish(app: Any, dataset: str, level: int, version: int = 1) -> None:
    resources: Resources = app.state.resources
    facts = PublishedDatasetUpdated(
        dataset=dataset,
        title=resources.standards.datasets[dataset].title,
        version=version,
        governed_version=version,
        batch_id="b1",
        row_count=10 * version,
        content_digest="d",
        level=level,
        rolled_back=False,
        published_at=now(),
    )
    async with resources.database.transaction() as session:
        await list_published(session, facts, None, resources)  # type: ignore[arg-type]


@pytest.fixture
def app_headers(as_subject: Headers) -> dict[str, str]:
    return as_subject("applicant", id="client:demo-app", audience="catalog")


@pytest.fixture
def owner(as_subject: Headers) -> dict[str, str]:
    return as_subject(
        "owner", "approver", id="person:zhou", audience="catalog", name="周数源", organisation=CENTRE
    )


@pytest.fixture
def security(as_subject: Headers) -> dict[str, str]:
    return as_subject("security_admin", id="person:qian", audience="catalog", name="钱安全")
