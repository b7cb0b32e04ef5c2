"""The answer from Postgres, as complete JSON bytes; computed once for all who wait for it."""

from collections.abc import Awaitable

import asyncpg
from edulake.common.errors import Unavailable
from edulake.share_gateway.exchange import Exchange


def execute(x: Exchange) -> Awaitable[None] | None:
    """Set `x.body` and `x.records`; 404 when there is no such record, 503 when the database is lost."""
    return None if x.body is not None else _compute(x)


async def _compute(x: Exchange) -> None:
    access = x.access
    columns = access.columns_of(x.api.columns)
    try:
        body, version, x.records = await x.plane.engine.execute(
            x.api, x.call, columns, access.districts, access.mask_level
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise Unavailable("数据库暂时不可用", "the database is not reachable", mend_zh="稍后重试") from error
    x.body = body
    # A switch of versions between `cache` and here must not file new data under an old version.
    if x.flight is not None:
        if version == x.version:
            x.plane.cache.put(x.cache_key, body, x.api.cache_s)
        x.flight.land(body)
    x.version = version
