"""Raw bytes on a real socket: every message with two readings."""

import asyncio
import re
from typing import Any

import pytest
from edulake.share_gateway.strict_protocol import StrictHttpProtocol


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:80]
    return int(answer[9:12])


def answers_in(answer: bytes) -> int:
    return len(re.findall(rb"HTTP/1\.1 \d{3} ", answer))


def request(target: str, *more: str, method: str = "GET", host: str = "127.0.0.1") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class TestMessagesWithTwoReadings:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("length and chunks", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n"
             b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("chunks and length", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
             b"Content-Length: 4\r\n\r\n0\r\n\r\n"),
            ("two lengths", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
            ("a length with a sign", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: +4\r\n\r\nabcd"),
            ("an unknown coding", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
            ("two codings", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
             b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("gzip before chunked", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
             b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            ("two hosts", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"),
            ("two equal hosts", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("no host", b"GET /login HTTP/1.1\r\nAccept: */*\r\n\r\n"),
            ("no host in HTTP/1.0", b"GET /login HTTP/1.0\r\n\r\n"),
            ("another host", b"GET /login HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            ("a host with a user", b"GET /login HTTP/1.1\r\nHost: a@127.0.0.1\r\n\r\n"),
            ("an absolute target", b"GET http://127.0.0.1/login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("bare LF", b"GET /login HTTP/1.1\nHost: 127.0.0.1\n\n"),
            ("bare LF in a header", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\nX: 1\r\n\r\n"),
            ("bare CR", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\rX: 1\r\n\r\n"),
            ("NUL in a header", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n"),
            ("NUL in the target", b"GET /login\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("a folded header", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n"),
            ("a space before the colon", b"GET /login HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n"),
            ("a fragment", b"GET /login#x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("CONNECT", b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("TRACE", b"TRACE /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("a WebSocket", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
            ("HTTP/2 by prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("an odd expectation", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 200-ok\r\nContent-Length: 0\r\n\r\n"),
            ("two authorizations", b"GET /api/ingest/x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer a\r\n"
             b"Authorization: Bearer b\r\n\r\n"),
        ],
    )  # fmt: skip
    async def test_are_refused_once_and_end_the_connection(
        self, gateway: Any, behind: Any, raw: Any, name: str, message: bytes
    ) -> None:
        answer = await raw(gateway.port, message + request("/livez"))
        assert status_of(answer) == 400, name
        assert answers_in(answer) == 1, "a second request on the connection was answered"
        assert b"connection: close" in answer.lower()
        assert behind.received == []

    async def test_trailers_never_become_headers(self, gateway: Any, behind: Any, raw: Any) -> None:
        message = (
            b"POST /page HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"1\r\na\r\n0\r\nX-EduLake-Context: forged\r\nCookie: stolen=1\r\nHost: evil.example\r\n\r\n"
        )
        assert status_of(await raw(gateway.port, message)) == 200
        assert not {"cookie", "x-edulake-context"} & set(behind.headers())

    async def test_an_h2c_offer_is_passed_over_and_the_connection_ends(self, gateway: Any, raw: Any) -> None:
        """Java's client offers h2c with every first request; a server may ignore that (RFC 9113 §3.1)."""
        message = (
            b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        answer = await raw(gateway.port, message + request("/api/ingest/batches"))
        assert status_of(answer) == 200
        assert answers_in(answer) == 1

    @pytest.mark.parametrize("pieces", [1, 3])
    @pytest.mark.parametrize(
        ("framing", "sent"),
        [
            ("Content-Length: 6", b"rows=1"),
            ("Transfer-Encoding: chunked", b"4\r\nrows\r\n2\r\n=1\r\n0\r\n\r\n"),
        ],
    )
    async def test_the_body_behind_an_h2c_offer_is_read_and_nothing_after_it(
        self, gateway: Any, behind: Any, issuer: Any, framing: str, sent: bytes, pieces: int
    ) -> None:
        offer = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]
        head = ["POST /api/ingest/x HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {issuer.token()}"]
        message = "\r\n".join([*head, *offer, framing, "", ""]).encode() + sent
        message += b"POST /api/ingest/y HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nevil"
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        size = -(-len(message) // pieces)
        for start in range(0, len(message), size):
            writer.write(message[start : start + size])
            await writer.drain()
            await asyncio.sleep(0.02)  # another read of the server
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert status_of(answer) == 200
        assert answers_in(answer) == 1
        assert [(target, body) for _, target, _, body in behind.received] == [("/api/ingest/x", b"rows=1")]


class TestSizesAndTimes:
    async def test_more_than_a_hundred_headers(self, gateway: Any, raw: Any) -> None:
        answer = await raw(gateway.port, request("/livez", *(f"X-{n}: 1" for n in range(120))))
        assert status_of(answer) == 431

    async def test_more_than_sixteen_kilobytes_of_headers(self, gateway: Any, raw: Any) -> None:
        answer = await raw(gateway.port, request("/livez", "X: " + "a" * 17_000))
        assert status_of(answer) == 431

    async def test_a_header_that_never_ends_is_cut_off(self, gateway: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        received = b""
        for _ in range(200):
            writer.write(b"a" * 4096)
            await asyncio.sleep(0)
            if reader.at_eof():
                break
        try:
            received = await asyncio.wait_for(reader.read(), 60)
        except ConnectionResetError:
            received = b"HTTP/1.1 431 (reset)"
        assert status_of(received) == 431
        writer.close()

    async def test_a_header_that_comes_too_slowly_is_cut_off(self, settings: Any, start_gateway: Any) -> None:
        async with start_gateway(settings.model_copy(update={"header_timeout_s": 0.3})) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /livez HT")
            answer = await asyncio.wait_for(reader.read(), 60)
            assert status_of(answer) == 408
            writer.close()

    async def test_the_second_request_of_a_connection_has_the_same_deadline(
        self, gateway: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b'{"status":"ok"}'), 60)
        monkeypatch.setattr(StrictHttpProtocol, "header_timeout_s", 0.3)  # the first one had all the time
        writer.write(b"GET /livez HT")
        assert status_of(await asyncio.wait_for(reader.read(), 60)) == 408
        writer.close()

    async def test_a_body_that_comes_too_slowly_gets_408(
        self, settings: Any, start_gateway: Any, behind: Any
    ) -> None:
        async with start_gateway(settings.model_copy(update={"body_timeout_s": 0.3})) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"POST /page HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nabc")
            assert status_of(await asyncio.wait_for(reader.read(), 60)) == 408
            writer.close()

    async def test_a_body_that_drips_has_a_deadline_as_a_whole(
        self, settings: Any, start_gateway: Any
    ) -> None:
        patient = settings.model_copy(update={"body_timeout_s": 5.0, "body_deadline_s": 0.5})
        async with start_gateway(patient) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"POST /page HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n")
            answering = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
            while not answering.done():
                writer.write(b"a")
                await asyncio.sleep(0.05)
            assert status_of(await answering) == 408
            writer.close()
