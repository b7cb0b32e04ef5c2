"""Some 280 ways to write a protected path that a careless gateway takes for another one."""

from typing import Any

import pytest

PROTECTED = "/api/ingest/batches"


def _escaped(text: str) -> list[str]:
    """Each letter of the first segments percent-encoded, in both cases of the hex digits."""
    found = []
    for position, letter in enumerate(text[:12]):
        code = ord(letter)
        digits = (f"%{code:02x}", f"%{code:02X}", f"%25{code:02x}")
        found += [text[:position] + each + text[position + 1 :] for each in digits]
    return found


def _dotted() -> list[str]:
    dots = [".", "..", "%2e", "%2E", "%2e%2e", ".%2e", "%2e.", "%2E%2E", "%252e%252e", "..;", "..;x=1", ".;"]
    dots += ["...", "%c0%ae%c0%ae", "%e0%80%ae", "．．", "..%00", "..%20", "%20..", "..%09"]
    encoded = [dot if dot.isascii() else "".join(f"%{b:02X}" for b in dot.encode()) for dot in dots]
    found = []
    for dot in encoded:
        found += [
            f"/{dot}{PROTECTED}",
            f"/public/{dot}{PROTECTED}",
            f"/login/{dot}{PROTECTED}",
            f"/login/x/{dot}/{dot}{PROTECTED}",
            f"/api/{dot}/api/ingest/batches",
            f"/api/ingest/{dot}/ingest/batches",
        ]
    return found


def _slashed() -> list[str]:
    found = []
    for slash in (
        "//",
        "///",
        "\\",
        "/\\",
        "%2f",
        "%2F",
        "/%2f",
        "%5c",
        "%5C",
        "%252f",
        "%c0%af",
        "%ef%bc%8f",
    ):
        found += [f"{slash}api/ingest/batches", f"/api{slash}ingest/batches", f"/api/ingest{slash}batches"]
        found += [f"/login{slash}..{slash}api/ingest/batches", f"/login{slash}api/ingest/batches"]
    return found


def _tailed() -> list[str]:
    tails = [
        "%00",
        "%00.html",
        ";",
        ";.css",
        ";a=b",
        "#",
        "#x",
        "%23",
        "%3f",
        "%3F.css",
        "%0a",
        "%0d%0a",
        "%09",
    ]
    tails += [
        "%7f",
        "%1f",
        "%e2%80%8b",
        "%ff",
        "%c3",
        "%80",
        "/..;/",
        "/.",
        "/..",
        "//",
        "%",
        "%2",
        "%zz",
        "%u002f",
    ]
    return [PROTECTED + tail for tail in tails] + [f"/api{tail}/ingest/batches" for tail in tails]


def _looking_alike() -> list[str]:
    words = [
        "API",
        "Api",
        "aPI",
        "api.",
        "api%20",
        ".api",
        "%EF%BD%81pi",
        "ａｐｉ",
        "%C2%A0api",
        "api%E2%80%8D",
    ]
    encoded = [word if word.isascii() else "".join(f"%{b:02X}" for b in word.encode()) for word in words]
    return [f"/{word}/ingest/batches" for word in encoded]


def _whole() -> list[str]:
    return [
        "http://127.0.0.1/api/ingest/batches",
        "http://evil.example/api/ingest/batches",
        "//127.0.0.1/api/ingest/batches",
        "*",
        "api/ingest/batches",
        "?/api/ingest/batches",
        "/internal/api/ingest/batches",
        "/internal/sessions/resolve",
        "/INTERNAL/sessions/resolve",
        "/api/INGEST/batches",
        "/api/ingest",
        "/api/",
        "/api",
        "/api/unknown/x",
        PROTECTED,
        PROTECTED + "/",
        PROTECTED + "?x=%00",
        PROTECTED + "?x=%ff",
        PROTECTED + "?a#b",
    ]


SPELLINGS = sorted({*_escaped(PROTECTED), *_dotted(), *_slashed(), *_tailed(), *_looking_alike(), *_whole()})


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:80]
    return int(answer[9:12])


def request(target: str, *more: str, method: str = "GET", host: str = "127.0.0.1") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class TestSpellingsOfAProtectedAddress:
    def test_there_are_some_two_hundred(self) -> None:
        assert len(SPELLINGS) >= 200

    async def test_none_without_a_token_reaches_a_service(self, gateway: Any, behind: Any, raw: Any) -> None:
        for target in SPELLINGS:
            answer = await raw(gateway.port, request(target))
            assert status_of(answer) in (400, 401, 404), target
            assert behind.received == [], target

    async def test_none_with_a_token_reaches_another_address(
        self, gateway: Any, behind: Any, raw: Any, issuer: Any
    ) -> None:
        token = issuer.token()
        for target in SPELLINGS:
            answer = await raw(gateway.port, request(target, f"Authorization: Bearer {token}"))
            if status_of(answer) == 200:
                assert behind.received.pop()[1] == target
            assert behind.received == [], target

    @pytest.mark.parametrize("path", ["/internal", "/internal/sessions/resolve", "/internal/x/y"])
    async def test_internal_addresses_do_not_exist_even_with_a_token(
        self, gateway: Any, behind: Any, issuer: Any, path: str
    ) -> None:
        answer = await gateway.http.get(path, headers=issuer.bearer(roles=["system_admin"]))
        assert answer.status_code == 404
        assert behind.received == []

    @pytest.mark.parametrize(
        "path", ["/share/v1/schools", "/share/v1/student", "/api/gateway/apis", "/events/published"]
    )
    async def test_without_a_token_the_data_plane_says_401(self, gateway: Any, path: str) -> None:
        answer = await gateway.http.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["trace_id"] == answer.headers["x-trace-id"]
