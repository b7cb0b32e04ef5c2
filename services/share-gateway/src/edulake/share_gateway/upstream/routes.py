"""Which address is whose. The first path segments decide; what nobody names goes to the portal.

Public routes are these objects, not substrings (OpenMetadata CVE-2024-28255).
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What happens to a request; `pipeline.py` gives each its stages."""

    SHARE = "share"
    STREAM = "stream"
    SERVICE = "service"
    OPEN = "open"
    OWN = "own"
    HEALTH = "health"
    METRICS = "metrics"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Route:
    """`service` is asked for its address in the settings. Bodies above `body_max_bytes` get 413.

    `takes_files`: the answer to a request with a body may take as long as reading a large file takes.
    """

    kind: Kind
    service: str = ""
    passes_cookies: bool = False
    body_max_bytes: int = 2**20
    takes_files: bool = False


SHARE_PREFIX = "/share/v1/"
NOWHERE = Route(Kind.NOWHERE)
SHARE = Route(Kind.SHARE, body_max_bytes=0)
PORTAL = Route(Kind.OPEN, "portal", passes_cookies=True, body_max_bytes=2**30, takes_files=True)
_AUTH_PAGES = Route(Kind.OPEN, "auth", passes_cookies=True, body_max_bytes=64 * 2**10)
_AUTH_TOKENS = Route(Kind.OPEN, "auth", body_max_bytes=64 * 2**10)
_SERVICES = {
    "auth": Route(Kind.SERVICE, "auth"),
    "catalog": Route(Kind.SERVICE, "catalog"),
    "ingest": Route(Kind.SERVICE, "ingest", body_max_bytes=2**30, takes_files=True),
    "governance": Route(Kind.SERVICE, "governance"),
    "workorder": Route(Kind.SERVICE, "workorder"),
    "gateway": Route(Kind.OWN, "gateway"),
}
_FIRST = {
    "oauth": _AUTH_TOKENS,
    ".well-known": _AUTH_TOKENS,
    "login": _AUTH_PAGES,
    "logout": _AUTH_PAGES,
    "dev-issuer": _AUTH_PAGES,
    "internal": NOWHERE,
    "share": NOWHERE,
    "events": NOWHERE,
    "api": NOWHERE,
}
_WHOLE = {
    "/events/published": Route(Kind.STREAM, body_max_bytes=0),
    "/livez": Route(Kind.HEALTH, body_max_bytes=0),
    # The provider's server, not a browser: no cookies either way.
    "/logout/backchannel": _AUTH_TOKENS,
    "/readyz": Route(Kind.HEALTH, body_max_bytes=0),
    "/metrics": Route(Kind.METRICS, body_max_bytes=0),
}


def route_of(path: str) -> Route:
    """The route of a canonical path."""
    if path.startswith(SHARE_PREFIX):
        return SHARE
    whole = _WHOLE.get(path)
    if whole is not None:
        return whole
    first, _, rest = path[1:].partition("/")
    if first == "api":
        service, _, below = rest.partition("/")
        return _SERVICES.get(service, NOWHERE) if below else NOWHERE
    return _FIRST.get(first, PORTAL)
