"""The terms an approver gives a grant: how often, how masked, from where."""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from edulake.common.errors import Unprocessable
from edulake.common.standards.tables import MaskLevel

#: Longer lists are the work of a proxy of the caller's house.
NETWORKS_MAX = 50


class Quota(NamedTuple):
    """Calls a second and a day that an approver allows; None leaves it to the settings."""

    rate_per_s: int | None = None
    day_quota: int | None = None


class Terms(NamedTuple):
    """What the last approver stated; None: not stated, so the default, or what was asked for, holds."""

    quota: Quota = Quota()
    mask_level: MaskLevel | None = None
    ip_allow: list[str] | None = None


def networks_of(said: Sequence[str], where: str) -> list[str]:
    """Addresses and networks (IPv4, IPv6) in their one spelling, each once; Unprocessable names the field."""
    found: list[str] = []
    for entry in said:
        try:
            network = ipaddress.ip_network(entry.strip())
        except ValueError:
            raise _refusal(
                entry, "不是 IP 地址或网段", "is neither an address nor a network", where
            ) from None
        if network.prefixlen == 0:
            raise _refusal(
                entry, "包含全部地址；不限来源时请留空", "is every address: leave the list empty", where
            )
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
            raise _refusal(entry, "请写作 IPv4 地址", "is an IPv4 address: write it as one", where)
        found.append(str(network))
    return list(dict.fromkeys(found))


def _refusal(entry: str, zh: str, en: str, where: str) -> Unprocessable:
    return Unprocessable(
        f"{entry.strip()[:50]} {zh}",
        f"{entry.strip()[:50]} {en}",
        mend_zh="写作 203.0.113.7、203.0.113.0/24 或 2001:db8::/32；网段的主机位须为零",
        mend_en="write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32, with zero host bits",
        where=where,
    )
