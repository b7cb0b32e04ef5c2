"""How often the caller may call: rate a second, calls a day, calls a month, per client and API."""

from collections.abc import Awaitable

from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.limits.leases import Allowance
from edulake.share_gateway.limits.shared import Limit
from edulake.share_gateway.problems import UnknownApi

#: What a caller without a grant may try before it is told 429 instead of 403.
STRANGER = Limit(rate_per_s=5, day_quota=5000)


def quota(x: Exchange) -> Awaitable[None] | None:
    """Find the API (404) and use one call of the caller's quota: 429 when there is none."""
    api = x.plane.engine.route(x.path[len(x.plane.share_prefix) :])
    if api is None:
        raise UnknownApi("没有这个接口", "there is no such API", mend_zh="见 /api/gateway/apis", where="path")
    x.api = api
    limit = x.plane.access.limit(x.principal.client_id, api.name) or STRANGER
    taken = x.plane.leases.take((x.principal.client_id, api.name), limit, api.level)
    if isinstance(taken, Allowance):
        x.allowance = taken
        return None
    return _wait(x, taken)


async def _wait(x: Exchange, taken: Awaitable[Allowance]) -> None:
    x.allowance = await taken
