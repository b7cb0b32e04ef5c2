"""The answer on the wire: bytes as they came from Postgres, and what the caller needs to know."""

import asyncio
from contextlib import suppress

from edulake.common.errors import MEDIA_TYPE, Problem, problem_body
from edulake.share_gateway.exchange import WHOLE, Exchange
from edulake.share_gateway.limits.leases import Allowance

_NUMBERS = tuple(str(number).encode() for number in range(4096))
_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_CLOSE = (b"connection", b"close")
_OK = b"HTTP/1.1 200 OK\r\n"
#: A refused request whose body is longer than this is not read to its end: the connection is closed.
_READ_ON_BYTES = 64 * 1024
#: Answers that leave the rest of the body unread.
_UNREAD = (408, 413)
_LINGER_BYTES = 64 * 2**20
_LINGER_S = 3.0


async def respond(x: Exchange) -> None:
    """Send 200 with the body, the rest of the quota and the trace id."""
    body = x.body or b""
    headers = [
        _JSON,
        (b"content-length", _number(len(body))),
        _NO_STORE,
        _NO_SNIFF,
        (b"x-trace-id", x.trace.encode()),
        *_rest_of(x.allowance),
    ]
    x.is_begun = True
    write_whole = x.scope.get(WHOLE)
    if write_whole and x.method == "GET" and not x.plane.is_stopping:
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        if write_whole(b"%b%b\r\n%b" % (_OK, lines, body)):
            return
    await x.send({"type": "http.response.start", "status": 200, "headers": headers})
    await x.send({"type": "http.response.body", "body": body})


def _rest_of(allowance: Allowance | None) -> tuple[tuple[bytes, bytes], ...]:
    if allowance is None:
        return ()
    return (
        (b"ratelimit-limit", _number(allowance.limit)),
        (b"ratelimit-remaining", _number(allowance.remaining)),
        (b"ratelimit-reset", _number(allowance.reset_s)),
    )


async def refuse(x: Exchange, problem: Problem) -> None:
    """Send a problem (RFC 9457). Ambiguous messages and unread bodies end the connection."""
    body = problem_body(problem, x.trace)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", _number(len(body))),
        _NO_STORE,
        _NO_SNIFF,
        (b"x-trace-id", x.trace.encode()),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()),
    ]
    if problem.status in _UNREAD or not _is_read(x):
        headers.append(_CLOSE)
    x.is_begun = True
    await x.send({"type": "http.response.start", "status": problem.status, "headers": headers})
    if problem.status in _UNREAD:
        await x.send({"type": "http.response.body", "body": body, "more_body": True})
        await _let_finish(x)
        body = b""
    await x.send({"type": "http.response.body", "body": body})


async def _let_finish(x: Exchange) -> None:
    """Closing while the caller still sends would reset the connection and lose the answer; wait a little."""
    left = _LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while left > 0:
                message = await x.receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))


def _is_read(x: Exchange) -> bool:
    """True when the connection can serve another request: framing was plain, the body is short."""
    headers = getattr(x, "headers", None)
    if headers is None or b"transfer-encoding" in headers:
        return False
    return int(headers.get(b"content-length", b"0")) <= _READ_ON_BYTES


def _number(value: int) -> bytes:
    return _NUMBERS[value] if 0 <= value < 4096 else b"%d" % value
