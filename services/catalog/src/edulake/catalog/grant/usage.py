"""How much of a grant was used today: the gateway counts, and its silence leaves the figures empty."""

from typing import Any, cast

import httpx
from edulake.catalog.grant.schemas import GrantOut
from edulake.common.identity import InternalClient, service_subject
from edulake.common.service import Resources
from edulake.common.telemetry import logger

log = logger(__name__)
USAGE_TIMEOUT_S = 1.5


async def with_use_of_today(items: list[GrantOut], resources: Resources) -> list[GrantOut]:
    """The grants with today's calls of their client and API. Grants that ended show none."""
    active = [item for item in items if item.status == "active"]
    if not active:
        return items
    found = await _ask(resources, sorted({item.client_id for item in active}))
    if found is None:
        return items
    used = {(row["client_id"], row["api"]): row for row in found}
    for item in active:
        row = used.get((item.client_id, item.api), {"answered": 0, "refused": 0})
        item.answered_today, item.refused_today = row["answered"], row["refused"]
    return items


async def _ask(resources: Resources, client_ids: list[str]) -> list[dict[str, Any]] | None:
    gateway = cast(InternalClient, resources.extra["internal"])
    try:
        answer = await gateway.request(
            "GET",
            "gateway",
            "/api/gateway/usage/today",
            subject=service_subject("catalog"),
            params={"client_id": client_ids},
            timeout=USAGE_TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        log.warning("gateway did not answer", error=type(error).__name__)
        return None
    if answer.status_code != 200:
        log.warning("gateway refused to tell the use", status=answer.status_code)
        return None
    return list(answer.json())
