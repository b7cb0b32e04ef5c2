"""Requests for the services behind: passed on with who asks, in the service's own words back."""

from collections.abc import Awaitable

from edulake.share_gateway.exchange import Exchange


def forward(x: Exchange) -> Awaitable[None]:
    """Pass the request to the service of its route."""
    return x.plane.upstreams.forward(x)
