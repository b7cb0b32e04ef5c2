"""One way to read a message, or none: the fields that decide framing, host and trust.

Servers behind may read an ambiguous message otherwise than we do (h11 CVE-2025-43859, APISIX
CVE-2024-32638), so ambiguity is refused, not repaired. Sets `x.headers` to the fields by lower-case
name; names with an underscore are left out, because some servers fold `_` and `-` together.
"""

import ipaddress
from functools import lru_cache

from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.problems import BadMessage, HeadersTooLarge, MisdirectedHost

HEADERS_MAX = 100
HEADERS_MAX_BYTES = 16 * 1024
#: Fields that have one value; a second one is an attempt to be read in two ways.
_SINGLE = frozenset(
    b"host content-length transfer-encoding authorization content-type expect upgrade cookie "
    b"origin traceparent last-event-id if-match if-none-match range x-csrf-token".split()
)
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def strict_message(x: Exchange) -> None:
    """Refuse (400, 431) what can be read in two ways; learn the fields and the caller's address."""
    fields: list[tuple[bytes, bytes]] = x.scope["headers"]
    if len(fields) > HEADERS_MAX:
        raise HeadersTooLarge("请求头过多", "too many header fields")
    headers: dict[bytes, bytes] = {}
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + 4
        if name in headers and name in _SINGLE:
            raise _ambiguous("a field that has one value came twice")
        if b"_" not in name:
            headers[name] = value
    if size > HEADERS_MAX_BYTES:
        raise HeadersTooLarge("请求头过大", "header fields are too large")
    _check_framing(headers, x.method)
    if not _host_is_ours(headers.get(b"host", b""), x.plane.hosts):
        raise MisdirectedHost(
            "请求的主机名不在允许列表", "exactly one known Host is needed", where="header.host"
        )
    x.headers = headers
    x.client_ip = _address_of(x)


def _check_framing(headers: dict[bytes, bytes], method: str) -> None:
    length = headers.get(b"content-length")
    coding = headers.get(b"transfer-encoding")
    if length is not None and (coding is not None or not length.isdigit() or len(length) > 15):
        raise _ambiguous("Content-Length with Transfer-Encoding, or not a number")
    if coding is not None and coding.lower() != b"chunked":
        raise _ambiguous("a transfer coding other than chunked")
    if headers.get(b"upgrade", b"").lower().startswith(b"websocket"):
        raise BadMessage("不支持 WebSocket", "WebSocket is not offered; use /events/published (SSE)")
    if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise _ambiguous("an expectation other than 100-continue")
    if method not in _METHODS:
        raise _ambiguous("this method is not used here")


@lru_cache(maxsize=256)
def _host_is_ours(host: bytes, hosts: frozenset[str]) -> bool:
    name = host.decode("latin-1").lower()
    if name.startswith("["):
        name = name.partition("]")[0] + "]"
    else:
        name, _, port = name.partition(":")
        if port and not port.isdigit():
            return False
    return name.strip("[]") in hosts


def _address_of(x: Exchange) -> str:
    """The peer, or, when the peer is our own edge proxy, the last address that proxy wrote."""
    client = x.scope.get("client")
    peer: str = client[0] if client else ""
    if not x.plane.trusted_proxies or not is_within(peer, x.plane.trusted_proxies):
        return peer
    said = x.headers.get(b"x-forwarded-for", b"").decode("latin-1").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(said))
    except ValueError:
        return peer


Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@lru_cache(maxsize=4096)
def is_within(address: str, networks: Networks) -> bool:
    """True when the address is one and lies in one of the networks."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)


def _ambiguous(reason: str) -> BadMessage:
    return BadMessage(
        "报文可能被不同程序读出不同含义",
        reason,
        mend_zh="发送规范的 HTTP/1.1 报文",
        mend_en="send a plain HTTP/1.1 message",
    )
