"""The portal in front of the real services, all in one process and one event loop.

The services start once a run (`suite.py`); each test finds them empty (`world`), filled (`full`) or
joined by ingest, governance and the gateway (`whole`).
"""

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import redis as sync_redis

from .suite import Suite, running, stores
from .world import Page, Person, World

__all__ = ["Page", "Person", "Suite", "World"]

HERE = Path(__file__).parent
TEMPLATE = "edulake_template"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share the loop in which the services run."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Any:
    """And so do the fixtures of the tests here, also those that do not say so."""
    if str(fixturedef.baseid).startswith(str(HERE.relative_to(HERE.parents[2]))):
        vars(fixturedef.func)["_loop_scope"] = "session"
    return (yield)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def suite(
    postgres: Any, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Suite]:
    name = f"portal_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(postgres.admin_url("postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        common = stores(tmp_path_factory.mktemp("portal-home"), postgres.url(name), redis_server)
        async with running(common, postgres.admin_url(name)) as suite:
            yield suite
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture
def make_settings(suite: Suite) -> Callable[..., Any]:
    """Settings wired to the suite's stores and keys, so that `as_subject` is believed."""
    return suite.make_settings


@pytest_asyncio.fixture(loop_scope="session")
async def world(suite: Suite) -> AsyncIterator[World]:
    """Auth, catalog and workorder answer and know nothing; settings that a test changes come back."""
    await suite.empty()
    client = sync_redis.Redis.from_url(suite.common["redis_url"])
    client.flushall()
    client.close()
    suite.attach("auth", "catalog", "workorder", "portal")
    before = dict(vars(suite.settings))
    opened = World(suite)
    yield opened
    await opened.close()
    vars(suite.settings).update(before)


@pytest.fixture
def whole(world: World) -> World:
    """The world with ingest, governance and the gateway too."""
    world.suite.attach(*world.suite.apps)
    return world


@pytest_asyncio.fixture(loop_scope="session")
async def full(world: World) -> World:
    """Full, and with ingest, which says whose the sources are."""
    world.suite.attach("auth", "catalog", "workorder", "ingest", "portal")
    await world.fill()
    return world
