"""uvicorn's httptools protocol with the doors closed that it leaves open.

Measured on uvicorn 0.54 with httptools 0.9: a chunked message's trailers are appended to the header list
that the application is already reading; a message with a bad Transfer-Encoding starts the application
before the parser refuses it; a fragment in the target is cut off silently; an absolute-form target loses
its host; neither header size nor header time is limited; parse errors are answered in plain text.
"""

import asyncio
import secrets
from functools import partial
from typing import Any

import httptools
import orjson
from edulake.common.errors import MEDIA_TYPE
from edulake.share_gateway.exchange import WHOLE
from edulake.share_gateway.stages.strict_message import HEADERS_MAX, HEADERS_MAX_BYTES
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_CODES = {
    400: ("bad-message", "HTTP 报文不规范 / The HTTP message is not acceptable"),
    408: ("header-timeout", "请求头接收超时 / The request header came too slowly"),
    431: ("headers-too-large", "请求头过大 / Request headers are too large"),
}


_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class _BodyOnly:
    """What a parser tells of one body, for the connection that had its head before; nothing after it counts."""

    def __init__(self, protocol: "StrictHttpProtocol") -> None:
        self._protocol = protocol
        self._is_read = False

    def on_body(self, body: bytes) -> None:
        if not self._is_read:
            self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_read:
            self._is_read = True
            self._protocol.on_body_read()


class _RefusedError(Exception):
    """Stops the parser; `_status` says why."""


class StrictHttpProtocol(HttpToolsProtocol):
    """One connection. What it refuses never reaches the application."""

    header_timeout_s = 10.0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._head_bytes = 0
        self._is_in_head = True
        self._is_over = False
        self._is_body_unread = False
        self._status = 400
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._unset_keepalive_if_required()
        was_in_head = self._is_in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as found:
            self._pass_over(data[found.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(self._status)
            return
        if self._is_in_head:
            self._watch_head(len(data) if was_in_head else 0)

    def _pass_over(self, rest: bytes) -> None:
        """An offered protocol is not taken up (RFC 9110 §7.8): the request stands as it is, with its body.

        The parser leaves the message at the end of such a head, so another one reads the body it announced.
        """
        if not self._is_body_unread:
            self._is_over = True
            return
        self._is_body_unread = False
        framing = b"".join(b"%b: %b\r\n" % field for field in self.headers if field[0] in _FRAMING)
        self.parser = httptools.HttpRequestParser(_BodyOnly(self))
        self.data_received(b"POST / HTTP/1.1\r\n" + framing + b"\r\n" + rest)

    def on_message_complete(self) -> None:
        if not self._is_body_unread:
            super().on_message_complete()

    def on_body_read(self) -> None:
        """The body behind an offered protocol is whole: the connection takes nothing more."""
        self._is_over = True
        super().on_message_complete()

    def _watch_head(self, more_bytes: int) -> None:
        """A header that is still coming in: bounded in size (give or take one read) and in time."""
        self._head_bytes += more_bytes
        if self._head_bytes > HEADERS_MAX_BYTES:
            self._refuse(431)
        elif self._head_timer is None:
            self._start_head_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            return  # a trailer: nobody behind us reads it, and it must not pass for a header
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_bytes = 0
        self._stop_head_timer()
        size = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.headers) > HEADERS_MAX or size > HEADERS_MAX_BYTES:
            self._status = 431
            raise _RefusedError
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if not self.url.startswith(b"/") or codings not in ([], [b"chunked"]):
            raise _RefusedError
        super().on_headers_complete()
        self.scope[WHOLE] = partial(self._write_whole, self.cycle)  # type: ignore[literal-required]
        path, _, query = self.url.partition(b"?")
        self.scope["raw_path"], self.scope["query_string"] = path, query
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False
            self._is_body_unread = any(name in _FRAMING and value != b"0" for name, value in self.headers)

    def _write_whole(self, cycle: RequestResponseCycle, answer: bytes) -> bool:
        """Write a complete answer (status line, headers, body) at once.

        False, and nothing done, when the ordinary way is needed: the caller is slow, gone, or is to be
        told that the connection ends. uvicorn's two messages, each header checked by two patterns, cost a
        quarter of an answer from the cache; what is written here is made of numbers and our own words.
        """
        if cycle.response_started or cycle.disconnected or self.flow.write_paused or not cycle.keep_alive:
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self.transport.write(answer)
        cycle.message_event.set()
        cycle.on_response()
        return True

    def _refuse(self, status: int) -> None:
        """Answer when nothing else is being answered, and end the connection in any case."""
        self._is_over = True
        self._stop_head_timer()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.pipeline.clear()
        else:
            self.transport.write(_answer(status))
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.header_timeout_s, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._is_in_head and not self._is_over and not self.transport.is_closing():
            self._refuse(408)


def _answer(status: int) -> bytes:
    code, title = _CODES[status]
    trace = secrets.token_hex(16)
    problem = {"type": f"urn:edulake:problem:{code}", "title": title, "status": status, "trace_id": trace}
    body = orjson.dumps(problem)
    return (
        STATUS_LINE[status]
        + b"content-type: %b\r\ncontent-length: %d\r\n" % (MEDIA_TYPE.encode(), len(body))
        + b"x-trace-id: %b\r\ncache-control: no-store\r\nconnection: close\r\n\r\n" % trace.encode()
        + body
    )
