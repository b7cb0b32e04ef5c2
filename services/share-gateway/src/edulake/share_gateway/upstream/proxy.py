"""Passing a request on to the service it belongs to.

The address is the service's own base and the canonical path; redirects are the caller's to follow.
A body of up to a mebibyte is taken whole before the service is asked, so that a slow caller holds no
connection to it; one that is larger, or says so, streams, a bounded number at a time. Answers stream, and one that breaks
off is broken off for the caller too, never completed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from edulake.common.identity import ContextSigner
from edulake.common.telemetry import logger
from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.problems import UpstreamDown, UpstreamSlow
from edulake.share_gateway.settings import GatewaySettings
from edulake.share_gateway.upstream.body import CallerLeftError, InboundBody, too_large
from edulake.share_gateway.upstream.breaker import Breaker, down
from edulake.share_gateway.upstream.headers import to_caller, to_upstream
from edulake.share_gateway.upstream.routes import Kind
from edulake.share_gateway.upstream.uploads import HELD_MAX_BYTES, Uploads, joined
from yarl import URL

log = logger(__name__)
#: The services keep idle connections for 5 s; ours must end first.
_KEEP_ALIVE_S = 4.0
_SAFE = ("GET", "HEAD")
#: A known answer of at most this is passed back without asking whether the caller is still there.
_UNWATCHED_BYTES = 64 * 2**10
Sent = bytes | AsyncIterator[bytes] | None


class BrokenAnswerError(Exception):
    """The answer had begun and cannot be completed."""


class Upstreams:
    """The services behind. Open after `start`, until `close`."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._signer = ContextSigner(settings.internal_key, "gateway")
        self._breakers: dict[str, Breaker] = {}
        self.uploads = Uploads(
            streams_max=settings.upstream_uploads, held_max_bytes=settings.uploads_held_bytes
        )
        self._session: aiohttp.ClientSession

    async def start(self) -> None:
        settings = self._settings
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, limit_per_host=settings.upstream_connections, keepalive_timeout=_KEEP_ALIVE_S
            ),
            timeout=_patience(settings, settings.upstream_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def close(self) -> None:
        await self._session.close()

    async def forward(self, x: Exchange) -> None:
        """Pass the exchange on and answer it; raises 413, 408, 502-504 while nothing has been sent."""
        breaker = self._breakers.setdefault(x.route.service, Breaker())
        breaker.check()
        body = self._body_of(x)
        if body is None:
            await self._exchange(x, breaker, None, None)
            return
        # What says it is larger streams at once: the service may refuse it before its body has come.
        says_large = int(x.headers.get(b"content-length", b"0")) > HELD_MAX_BYTES
        held = b"" if says_large else await self.uploads.ahead(body)
        if body.is_complete:
            await self._exchange(x, breaker, body, held)
        else:
            with self.uploads.streaming(x.route.service):
                await self._exchange(x, breaker, body, joined(held, body))

    async def _exchange(self, x: Exchange, breaker: Breaker, body: InboundBody | None, sent: Sent) -> None:
        try:
            async with self._asked(x, sent) as answer:
                breaker.succeeded()
                await self._pass_back(x, answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if x.is_begun:
                raise BrokenAnswerError from error
            if body is not None and body.has_left:  # wrapped by the client that carried the body
                raise CallerLeftError from None
            if body is not None and body.problem is not None:
                raise body.problem from None
            breaker.failed()
            log.warning("service behind failed", service=x.route.service, error=type(error).__name__)
            raise _slow() if isinstance(error, TimeoutError) else down() from error

    def context_of(self, x: Exchange) -> str | None:
        """The signed context of a caller for the service its request goes to."""
        if x.route.kind is Kind.OPEN:
            return None
        return self._signer.sign(x.principal.subject, x.route.service)

    def headers_of(self, x: Exchange, context: str | None = None) -> dict[str, str]:
        """The header fields that the service receives; `context` when the caller is one of our services."""
        route = x.route
        is_public = route.kind is Kind.OPEN
        return to_upstream(
            x.headers,
            client_ip=x.client_ip,
            public_url=self._settings.issuer,
            context=context or self.context_of(x),
            passes_cookies=route.passes_cookies,
            passes_authorization=is_public and route.service == "auth",
        )

    def body_of(self, x: Exchange) -> InboundBody:
        """The request's body with the limits of its route."""
        limit = x.route.body_max_bytes
        if int(x.headers.get(b"content-length", b"0")) > limit:
            raise too_large(limit)
        settings = self._settings
        return InboundBody(
            x.receive,
            max_bytes=limit,
            silence_s=settings.body_timeout_s,
            deadline_s=settings.body_deadline_s,
            min_bytes_per_s=settings.body_min_bytes_per_s,
        )

    def _body_of(self, x: Exchange) -> InboundBody | None:
        has_body = x.headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in x.headers
        return self.body_of(x) if has_body else None

    @asynccontextmanager
    async def _asked(self, x: Exchange, sent: Sent) -> AsyncIterator[aiohttp.ClientResponse]:
        base = self._settings.service_url(x.route.service)
        target = x.path + ("?" + x.query.decode("ascii") if x.query else "")
        options: dict[str, Any] = {
            "headers": self.headers_of(x),
            "data": sent,
            "allow_redirects": False,
        }
        if sent is not None and x.route.takes_files:
            options["timeout"] = _patience(self._settings, self._settings.upstream_delivery_s)
        url = URL(base + target, encoded=True)
        try:
            answer = await self._session.request(x.method, url, **options)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if sent is not None or x.method not in _SAFE:
                raise
            answer = await self._session.request(x.method, url, **options)
        async with answer:
            yield answer

    async def _pass_back(self, x: Exchange, answer: aiohttp.ClientResponse) -> None:
        limit = self._settings.upstream_answer_max_bytes
        if (answer.content_length or 0) > limit:
            raise UpstreamDown("后端应答过大", "the answer of the service is too large")
        headers = to_caller(answer.raw_headers, trace=x.trace, passes_cookies=x.route.passes_cookies)
        x.is_begun, x.status = True, answer.status
        await x.send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.content_length is not None and answer.content_length <= _UNWATCHED_BYTES:
            await _stream(x, answer, limit)
        else:
            await self._stream_watched(x, answer, limit)
        await x.send({"type": "http.response.body", "body": b""})

    async def _stream_watched(self, x: Exchange, answer: aiohttp.ClientResponse, limit: int) -> None:
        """A large answer, or one of unknown length: stop when the caller has gone."""
        streaming = asyncio.create_task(_stream(x, answer, limit))
        leaving = asyncio.create_task(_until_disconnect(x))
        try:
            await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not streaming.done():
                raise CallerLeftError
            await streaming
        finally:
            for task in (streaming, leaving):
                task.cancel()
            await asyncio.gather(streaming, leaving, return_exceptions=True)


def _patience(settings: GatewaySettings, silence_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None,
        connect=settings.upstream_timeout_s,
        sock_connect=settings.upstream_connect_s,
        sock_read=silence_s,
    )


async def _stream(x: Exchange, answer: aiohttp.ClientResponse, limit: int) -> None:
    sent = 0
    async for chunk in answer.content.iter_any():
        sent += len(chunk)
        if sent > limit:
            raise BrokenAnswerError
        await x.send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _until_disconnect(x: Exchange) -> None:
    while (await x.receive())["type"] != "http.disconnect":
        continue


def _slow() -> UpstreamSlow:
    return UpstreamSlow("后端服务未及时应答", "the service behind did not answer in time", mend_zh="稍后重试")
