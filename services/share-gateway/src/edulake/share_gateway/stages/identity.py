"""Who calls: a verified access token. A remembered token costs a hash, a new one a signature check."""

from collections.abc import Awaitable

from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.tokens.verify import refused


def identity(x: Exchange) -> Awaitable[None] | None:
    """Set `x.principal`, or refuse: 401 without a valid token, 503 when none can be verified."""
    scheme, _, token = x.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise refused("a Bearer token is needed")
    principal = x.plane.tokens.remembered(token)
    if principal is None:
        return _verify(x, token)
    x.principal = principal
    return None


async def _verify(x: Exchange, token: bytes) -> None:
    x.principal = await x.plane.tokens.verify(token)
