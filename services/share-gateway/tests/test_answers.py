"""Answers on the wire: the quick way of writing them and the ordinary one say the same."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Give = Callable[..., Awaitable[Any]]
CALL = "/share/v1/schools"


@pytest.fixture
async def open_gateway(give: Give, gateway: Any) -> Any:
    await give()
    await gateway.plane.follower.look()
    return gateway


def request(token: str, *, method: str = "GET", version: str = "1.1", more: str = "") -> bytes:
    return f"{method} {CALL} HTTP/{version}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{more}\r\n".encode()


def fields(answer: bytes) -> dict[bytes, bytes]:
    """The header fields of the first answer in some bytes."""
    return dict(line.split(b": ", 1) for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])


class TestAnswer:
    async def test_has_the_same_fields_by_either_way(self, open_gateway: Any, issuer: Any) -> None:
        quick = await open_gateway.http.get(CALL, headers=issuer.bearer())
        slow = await open_gateway.http.head(CALL, headers=issuer.bearer())
        assert (quick.status_code, slow.status_code) == (200, 200)
        assert quick.content
        assert not slow.content
        assert list(quick.headers) == list(slow.headers)
        assert quick.headers["content-length"] == slow.headers["content-length"] == str(len(quick.content))
        assert quick.headers["x-trace-id"] != slow.headers["x-trace-id"]

    async def test_of_requests_that_came_at_once_keep_their_order(
        self, open_gateway: Any, issuer: Any, raw: Any
    ) -> None:
        token = issuer.token()
        asked = (
            request(token)
            + request(token, method="HEAD")
            + request(token)
            + request(token, more="Connection: close\r\n")
        )
        answer = await raw(open_gateway.port, asked)
        parts = answer.split(b"HTTP/1.1 ")[1:]
        assert [part[:6] for part in parts] == [b"200 OK"] * 4
        assert [part.partition(b"\r\n\r\n")[2] != b"" for part in parts] == [True, False, True, True]
        assert [b"connection: close" in part for part in parts] == [False, False, False, True]

    @pytest.mark.parametrize(("version", "more"), [("1.0", ""), ("1.1", "Connection: close\r\n")])
    async def test_ends_the_connection_when_the_caller_wants_that(
        self, open_gateway: Any, issuer: Any, raw: Any, version: str, more: str
    ) -> None:
        answer = await raw(open_gateway.port, request(issuer.token(), version=version, more=more))
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert fields(answer)[b"connection"] == b"close"

    async def test_says_that_the_connection_ends_when_the_process_does(
        self, open_gateway: Any, issuer: Any
    ) -> None:
        open_gateway.plane.is_stopping = True
        answer = await open_gateway.http.get(CALL, headers=issuer.bearer())
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")


class TestCacheTurnedOff:
    async def test_every_call_is_asked_and_nothing_is_kept(
        self, settings: Any, start_gateway: Any, give: Give, issuer: Any
    ) -> None:
        await give()
        async with start_gateway(settings.model_copy(update={"cache_s": 0})) as gateway:
            for _ in range(3):
                assert (await gateway.http.get(CALL, headers=issuer.bearer())).status_code == 200
            assert len(gateway.engine.asked) == 3
            assert gateway.plane.cache._bytes == 0
