"""Reading a running suite's stores directly, as its operator may; never used by services."""

import asyncio
import json

import asyncpg
from edulake.cli.state import SuiteState, read_state
from edulake.common.db import Database
from edulake.common.lake import Lake
from edulake.common.settings import Settings


def some_student_key(settings: Settings) -> str | None:
    """The key (a token, no identity) of one published student; None while nothing is published."""
    return asyncio.run(_first(settings, "SELECT student_key FROM published.student_base LIMIT 1"))


def common_schools(settings: Settings, first: str, second: str) -> int | None:
    """How many governed schools both sources contributed to; None while nothing is governed."""
    state = read_state(settings.home)
    return asyncio.run(_common(state, {first, second})) if state else None


async def _common(state: SuiteState, sources: set[str]) -> int | None:
    database = Database(state.admin_url)
    try:
        async with database.read() as session:
            lake = Lake(state.lake_url)
            if await lake.manifest(session, "governed", "school_base") is None:
                return None
            frame = await lake.read_table(session, "governed", "school_base", columns=["_sources"])
    finally:
        await database.close()
    return sum(sources <= set(json.loads(row)) for row in frame["_sources"])


async def _first(settings: Settings, query: str) -> str | None:
    state = read_state(settings.home)
    if state is None:
        return None
    connection = await asyncpg.connect(state.admin_url)
    try:
        return str(await connection.fetchval(query))
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
