"""Rows of the audit chain for the tests, written as the gateway writes them."""

from typing import Any

from edulake.common.clock import now
from edulake.share_gateway.audit import repository
from edulake.share_gateway.audit.chain import Record, extend

from .world import World


def record_of(calls: int = 1, **over: Any) -> Record:
    facts: dict[str, Any] = {
        "at": now(),
        "kind": "calls",
        "client_id": "app-a",
        "grant_id": "",
        "api": "schools",
        "purpose": "学区地图",
        "level": 2,
        "status": 200,
        "calls": calls,
        "record": "",
        "client_ip": "",
        "trace_id": "",
        "version": 1,
    }
    return Record(**{**facts, **over})


async def write(world: World, *records: Record) -> None:
    """Put them into the chain as the gateway's writer does."""
    resources = world.resources_of("gateway")
    async with resources.database.transaction() as session:
        head = await repository.lock_head(session)
        links, new_head = extend(resources.keys.ring("audit"), head, list(records))
        await repository.append(session, links, new_head)
