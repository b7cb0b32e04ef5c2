"""Which header fields pass, each way. An allow-list in, so nothing trusted can be smuggled in.

What we tell the services ourselves (context, trace, address of the caller) is written by us alone:
the caller's own `X-EduLake-*`, `X-Forwarded-*`, `Forwarded` and the like are not on the list, in any
spelling (oauth2-proxy CVE-2025-64484, Traefik CVE-2024-45410, DataHub CVE-2023-25559).
"""

from collections.abc import Iterable, Mapping

from edulake.common.identity import HEADER
from edulake.common.telemetry import traceparent

_PASSED = frozenset(
    b"accept accept-language content-type content-length content-disposition if-match if-none-match "
    b"if-modified-since if-range range user-agent origin referer last-event-id idempotency-key "
    b"x-csrf-token x-requested-with hx-request hx-target hx-trigger hx-trigger-name hx-current-url "
    b"hx-boosted hx-history-restore-request hx-prompt sec-fetch-site sec-fetch-mode sec-fetch-dest "
    b"sec-fetch-user".split()
)
#: Hop-by-hop (RFC 9110 §7.6.1), framing that is decided anew, and what is ours to say.
_NOT_ANSWERED = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate te trailer transfer-encoding upgrade "
    b"server date via x-trace-id x-powered-by alt-svc x-accel-redirect x-accel-buffering x-sendfile".split()
)
_OURS = b"x-edulake-"


def to_upstream(
    headers: Mapping[bytes, bytes],
    *,
    client_ip: str,
    public_url: str,
    context: str | None,
    passes_cookies: bool,
    passes_authorization: bool,
) -> dict[str, str]:
    """The fields a service behind receives. `context` is the signed context, None for public routes."""
    dropped = _named_by_connection(headers)
    passed = {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in headers.items()
        if name in _PASSED and name not in dropped
    }
    if passes_cookies and b"cookie" in headers:
        passed["cookie"] = headers[b"cookie"].decode("latin-1")
    if passes_authorization and b"authorization" in headers:
        passed["authorization"] = headers[b"authorization"].decode("latin-1")
    scheme, _, host = public_url.partition("://")
    passed |= {
        "x-forwarded-for": client_ip,
        "x-forwarded-proto": scheme,
        "x-forwarded-host": host,
        "traceparent": traceparent(),
    }
    if context is not None:
        passed[HEADER.lower()] = context
    return passed


def _named_by_connection(headers: Mapping[bytes, bytes]) -> frozenset[bytes]:
    """Fields the caller declared hop-by-hop; framing and identity cannot be declared away."""
    named = (part.strip().lower() for part in headers.get(b"connection", b"").split(b","))
    return frozenset(named) - {b"content-length", b"content-type"}


def to_caller(
    fields: Iterable[tuple[bytes, bytes]], *, trace: str, passes_cookies: bool
) -> list[tuple[bytes, bytes]]:
    """The fields of the answer that the caller receives."""
    kept = [(b"x-trace-id", trace.encode())]
    for name, value in fields:
        lower = name.lower()
        if lower in _NOT_ANSWERED or lower.startswith(_OURS):
            continue
        if lower == b"set-cookie" and not passes_cookies:
            continue
        kept.append((lower, value))
    return kept
