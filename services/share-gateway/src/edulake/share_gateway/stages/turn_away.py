"""Addresses that lead nowhere from outside: `/internal/*`, unknown services, unknown prefixes."""

from edulake.common.errors import NotFound
from edulake.share_gateway.exchange import Exchange


def turn_away(x: Exchange) -> None:
    """404, the same for what does not exist and for what is not for outsiders."""
    raise NotFound("地址不存在", "no such address", where="path")
