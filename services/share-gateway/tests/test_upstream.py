"""What the services behind receive, and what callers receive from them."""

import asyncio
import ipaddress
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from edulake.common.identity import ContextVerifier
from edulake.share_gateway.gateway import ANSWERS
from edulake.share_gateway.upstream import body as upstream_body
from edulake.share_gateway.upstream import breaker
from edulake.share_gateway.upstream.body import InboundBody

FORGED = [
    "X-EduLake-Context: forged",
    "x-edulake-context: forged",
    "X_EduLake_Context: forged",
    "X-EduLake_Context: forged",
    "X-EDULAKE-CONTEXT: forged",
    "X-EduLake-Roles: system_admin",
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Proto: gopher",
    "X-Forwarded-Prefix: /evil",
    "X-Forwarded-User: root",
    "X-Forwarded-Client-Cert: x",
    "X_Forwarded_For: 6.6.6.6",
    "Forwarded: for=6.6.6.6",
    "X-Real-IP: 6.6.6.6",
    "True-Client-IP: 6.6.6.6",
    "X-Original-URL: /internal/x",
    "X-Rewrite-URL: /internal/x",
    "X-HTTP-Method-Override: DELETE",
    "X-Remote-User: root",
    "Proxy-Authorization: x",
    "Proxy: http://evil.example",
    "Traceparent: 00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01",
    "TE: trailers",
    "Via: 1.1 evil",
]


def request(target: str, *more: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *more]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class TestWhatAServiceReceives:
    async def test_the_callers_subject_signed_for_it_alone(
        self, gateway: Any, behind: Any, issuer: Any, settings: Any
    ) -> None:
        answer = await gateway.http.get(
            "/api/catalog/resources?q=%E5%AD%A6",
            headers=issuer.bearer(
                roles=["applicant", "steward"], district="310115", accountable="person:of-app"
            ),
        )
        assert answer.status_code == 200
        method, target, _, _ = behind.received[0]
        assert (method, target) == ("GET", "/api/catalog/resources?q=%E5%AD%A6")
        context = behind.headers()["x-edulake-context"]
        subject = ContextVerifier(settings.internal_key, "catalog").verify(context)
        assert (subject.id, subject.organisation, subject.district) == ("client:app", "测试单位", "310115")
        assert subject.roles == {"applicant", "steward"}
        assert subject.answers == "person:of-app"
        assert "authorization" not in behind.headers()

    @pytest.mark.parametrize("path", ["/api/catalog/resources", "/some/page"])
    async def test_no_trusted_header_from_outside_in_any_form(
        self, gateway: Any, behind: Any, issuer: Any, raw: Any, path: str
    ) -> None:
        names = {line.partition(":")[0].lower() for line in FORGED}
        await raw(gateway.port, request(path, f"Authorization: Bearer {issuer.token()}", *FORGED))
        received = behind.received[0][2]
        ours = {
            "x-edulake-context",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "traceparent",
        }
        for name, value in received:
            assert name.lower() not in names - ours, name
            for mark in ("forged", "6.6.6.6", "evil", "gopher", "aaaaaaaa", "root"):
                assert mark not in value, name
        assert len([name for name, _ in received if name.lower() == "x-forwarded-for"]) == 1
        assert behind.headers()["x-forwarded-for"] == "127.0.0.1"

    async def test_a_header_named_in_connection_is_dropped_but_not_ours(
        self, gateway: Any, behind: Any, issuer: Any, raw: Any
    ) -> None:
        token = f"Authorization: Bearer {issuer.token()}"
        listed = "Connection: close, X-EduLake-Context, X-Forwarded-For, Accept, Content-Length"
        await raw(gateway.port, request("/api/catalog/x", token, listed, "Accept: text/plain"))
        assert "accept" not in behind.headers()
        assert behind.headers()["x-edulake-context"]
        assert behind.headers()["x-forwarded-for"] == "127.0.0.1"

    @pytest.mark.parametrize(
        ("path", "passes"),
        [
            ("/some/page", True),
            ("/", True),
            ("/login/callback", True),
            ("/logout", True),
            ("/logout/done", True),
            ("/logout/backchannel", False),
            ("/logout/backchannel/", True),
            ("/api/catalog/x", False),
            ("/oauth/token", False),
        ],
    )
    async def test_cookies_are_for_pages_only(
        self, gateway: Any, behind: Any, issuer: Any, settings: Any, path: str, passes: bool
    ) -> None:
        async def with_cookie(_: web.Request) -> web.Response:
            return web.Response(headers={"Set-Cookie": "a=1", "X-EduLake-Secret": "x", "Server": "inner"})

        behind.answer = with_cookie
        object.__setattr__(settings, "auth_url", behind.url)
        answer = await gateway.http.get(path, headers={**issuer.bearer(), "Cookie": "session=1"})
        assert ("cookie" in behind.headers()) is passes
        assert ("set-cookie" in answer.headers) is passes
        assert not {"x-edulake-secret", "server"} & set(answer.headers)

    async def test_pages_carry_no_identity(self, gateway: Any, behind: Any, issuer: Any) -> None:
        await gateway.http.get("/some/page", headers=issuer.bearer())
        assert not {"x-edulake-context", "authorization"} & set(behind.headers())

    async def test_the_token_endpoint_receives_the_clients_secret(
        self, gateway: Any, behind: Any, settings: Any
    ) -> None:
        object.__setattr__(settings, "auth_url", behind.url)
        await gateway.http.post("/oauth/token", auth=("app", "s"), data={"grant_type": "client_credentials"})
        assert behind.headers()["authorization"].startswith("Basic ")
        assert behind.received[0][3] == b"grant_type=client_credentials"

    async def test_nothing_without_a_token(self, gateway: Any, behind: Any) -> None:
        for service in ("catalog", "ingest", "governance", "workorder", "auth", "gateway"):
            assert (await gateway.http.get(f"/api/{service}/x")).status_code == 401
        assert behind.received == []


class TestBodies:
    async def test_a_large_upload_streams_through(self, gateway: Any, behind: Any, issuer: Any) -> None:
        content = bytes(range(256)) * 4096 * 8
        answer = await gateway.http.post("/api/ingest/x", content=content, headers=issuer.bearer())
        assert answer.status_code == 200
        assert behind.received[0][3] == content
        assert behind.headers()["content-length"] == str(len(content))

    async def test_a_chunked_upload_arrives_whole(self, gateway: Any, behind: Any, issuer: Any) -> None:
        async def chunks() -> Any:
            for number in range(50):
                yield b"%d," % number

        answer = await gateway.http.post("/api/ingest/x", content=chunks(), headers=issuer.bearer())
        assert answer.status_code == 200
        assert behind.received[0][3] == b"".join(b"%d," % number for number in range(50))

    async def test_too_large_is_413_before_the_service_hears_of_it(
        self, gateway: Any, behind: Any, issuer: Any
    ) -> None:
        answer = await gateway.http.post(
            "/api/catalog/x", content=b"x" * (2**20 + 1), headers=issuer.bearer()
        )
        assert answer.status_code == 413
        assert behind.received == []

    async def test_too_large_without_a_length_is_413(self, gateway: Any, issuer: Any) -> None:
        async def long() -> Any:
            for _ in range(100):
                yield b"x" * 65536

        answer = await gateway.http.post("/api/catalog/x", content=long(), headers=issuer.bearer())
        assert answer.status_code == 413

    async def test_the_own_application_has_the_same_limits(self, gateway: Any, issuer: Any) -> None:
        headers = issuer.bearer(roles=["system_admin"])
        answer = await gateway.http.put(
            "/api/gateway/quotas/a/b", content=b" " * (2**20 + 1), headers=headers
        )
        assert answer.status_code == 413

    async def test_an_answer_above_the_cap_is_broken_off_not_completed(
        self, settings: Any, start_gateway: Any, behind: Any
    ) -> None:
        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65536)

        behind.answer = endless
        async with start_gateway(settings.model_copy(update={"upstream_answer_max_bytes": 10**6})) as gateway:
            received = 0
            with pytest.raises(Exception, match=r"peer closed|incomplete"):
                async with gateway.http.stream("GET", "/page") as answer:
                    async for chunk in answer.aiter_raw():
                        received += len(chunk)
            assert received <= 10**6

    async def test_an_answer_that_streams_arrives_as_it_comes(self, gateway: Any, behind: Any) -> None:
        go = asyncio.Event()

        async def slowly(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"first")
            await asyncio.wait_for(go.wait(), 60)
            await response.write(b"second")
            return response

        behind.answer = slowly
        async with gateway.http.stream("GET", "/page") as answer:
            chunks = answer.aiter_raw()
            assert await anext(chunks) == b"first"
            go.set()
            assert await anext(chunks) == b"second"

    @pytest.mark.parametrize("length", [None, 2**30])
    async def test_a_caller_that_leaves_ends_the_stream_behind(
        self, gateway: Any, behind: Any, length: int | None
    ) -> None:
        ended = asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = length
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"tick")
                    await asyncio.sleep(0.02)
            finally:
                ended.set()

        behind.answer = endless
        async with gateway.http.stream("GET", "/page") as answer:
            await anext(answer.aiter_raw())
        await asyncio.wait_for(ended.wait(), 60)


class TestSlowCallers:
    """Whoever sends slowly, with or without a token, takes nothing from the others."""

    async def test_bodies_that_never_end_hold_no_connection_to_the_service(
        self, settings: Any, start_gateway: Any, behind: Any
    ) -> None:
        few = settings.model_copy(
            update={"upstream_connections": 3, "upstream_uploads": 1, "upstream_timeout_s": 30}
        )
        head = request("/page", "Content-Length: 100", "Expect: 100-continue", method="POST")
        async with start_gateway(few) as gateway, AsyncExitStack() as stack:
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                stack.callback(writer.close)
                writer.write(head)
                assert b"100" in await asyncio.wait_for(reader.readline(), 60), "the body is asked for"
            assert (await gateway.http.get("/page")).status_code == 200
            assert (await gateway.http.post("/page", content=b"x")).status_code == 200
        assert len(behind.received) == 2

    async def test_large_ones_hold_a_bounded_number(
        self, settings: Any, start_gateway: Any, behind: Any
    ) -> None:
        begun = asyncio.Event()

        async def read(request: web.Request) -> web.Response:
            if request.path == "/first":
                await request.content.readany()
                begun.set()
            await request.read()
            return web.Response(text="ok")

        behind.answer = read
        async with start_gateway(settings.model_copy(update={"upstream_uploads": 1})) as gateway:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(request("/first", "Content-Length: 8000000", method="POST") + b"x" * 2**21)
            await asyncio.wait_for(begun.wait(), 60)
            one_more = request("/more", "Content-Length: 1500000", method="POST") + b"x" * 1_500_000
            reader, second = await asyncio.open_connection("127.0.0.1", gateway.port)
            second.write(one_more)
            assert b" 503 " in await asyncio.wait_for(reader.readline(), 60)
            second.close()
            assert (await gateway.http.post("/small", content=b"x" * 1000)).status_code == 200
            writer.close()

    async def test_what_is_held_until_it_is_whole_is_bounded_and_small_bodies_pass(
        self, settings: Any, start_gateway: Any, behind: Any
    ) -> None:
        async with start_gateway(settings.model_copy(update={"uploads_held_bytes": 2**20})) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(request("/a", "Content-Length: 1000000", method="POST") + b"x" * 999_999)
            async with asyncio.timeout(60):
                while gateway.plane.upstreams.uploads.held_bytes < 999_999:
                    await asyncio.sleep(0.01)
            assert (await gateway.http.post("/b", content=b"x" * 200_000)).status_code == 503
            assert (await gateway.http.post("/c", content=b"x" * 60_000)).status_code == 200
            writer.write(b"x")
            assert b" 200 " in await asyncio.wait_for(reader.readline(), 60)
            assert gateway.plane.upstreams.uploads.held_bytes == 0
            writer.close()

    async def test_slower_than_the_least_rate_is_408(self, settings: Any, start_gateway: Any) -> None:
        slow = settings.model_copy(update={"body_timeout_s": 0.5, "body_min_bytes_per_s": 1000})
        async with start_gateway(slow) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(request("/page", "Content-Length: 10000", method="POST"))
            answer = asyncio.create_task(reader.readline())
            async with asyncio.timeout(60):
                while not answer.done():
                    writer.write(b"x")
                    await asyncio.sleep(0.05)
            assert b" 408 " in answer.result()
            writer.close()

    async def test_what_the_service_takes_its_time_for_is_not_the_callers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seconds = 1000.0
        monkeypatch.setattr(upstream_body, "time", SimpleNamespace(monotonic=lambda: seconds))

        async def receive() -> Any:
            return {"type": "http.request", "body": b"x", "more_body": True}

        body = InboundBody(receive, max_bytes=100, silence_s=0.1, deadline_s=60, min_bytes_per_s=1e6)
        for _ in range(4):
            await body.message()
            seconds += 0.06
        assert not body.problem


class TestAServiceThatFails:
    async def test_gone_is_503_and_after_some_failures_it_is_not_asked(
        self, settings: Any, start_gateway: Any, issuer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "BREAK_S", 60)
        asked = 0

        def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1")
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, start_gateway(settings.model_copy(update={"catalog_url": url})) as gateway:
            answers = [await gateway.http.post("/api/catalog/x", headers=issuer.bearer()) for _ in range(8)]
            assert {answer.status_code for answer in answers} == {503}
            assert answers[-1].headers["retry-after"]
        assert asked == 5

    async def test_callers_that_leave_while_they_send_are_not_its_failures(
        self, gateway: Any, behind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "BREAK_S", 60)
        begun, ended = asyncio.Queue[None](), asyncio.Queue[None]()

        async def read(request: web.Request) -> web.Response:
            try:
                if request.method == "POST":
                    await request.content.readany()
                    begun.put_nowait(None)
                    await request.read()
            finally:
                ended.put_nowait(None)
            return web.Response(text="ok")

        behind.answer = read
        head = request("/batches/deliver", "Content-Length: 8000000", method="POST")
        for _ in range(8):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(head + b"x" * 2**21)
            await asyncio.wait_for(begun.get(), 60)
            writer.close()
            await asyncio.wait_for(ended.get(), 60)
        assert (await gateway.http.get("/page")).status_code == 200

    async def test_silent_is_504(self, settings: Any, start_gateway: Any, behind: Any, issuer: Any) -> None:
        async def silent(_: web.Request) -> web.Response:
            await asyncio.Event().wait()
            return web.Response()

        behind.answer = silent
        async with start_gateway(settings.model_copy(update={"upstream_timeout_s": 0.3})) as gateway:
            answer = await gateway.http.get("/api/catalog/x", headers=issuer.bearer())
            assert answer.status_code == 504

    async def test_the_answer_to_a_file_is_waited_for_longer(
        self, settings: Any, start_gateway: Any, behind: Any, issuer: Any
    ) -> None:
        async def reads_long(request: web.Request) -> web.Response:
            await request.read()
            await asyncio.sleep(1)
            return web.Response(status=202)

        behind.answer = reads_long
        async with start_gateway(settings.model_copy(update={"upstream_timeout_s": 0.3})) as gateway:
            for path in ("/api/ingest/sources/a/datasets/b/deliveries", "/batches/deliver"):
                answer = await gateway.http.post(path, headers=issuer.bearer(), content=b"a,b")
                assert answer.status_code == 202, path
            answer = await gateway.http.post("/api/catalog/x", headers=issuer.bearer(), content=b"{}")
            assert answer.status_code == 504

    async def test_its_own_problem_passes_unchanged_and_redirects_are_the_callers(
        self, gateway: Any, behind: Any
    ) -> None:
        async def away(_: web.Request) -> web.Response:
            return web.Response(status=303, headers={"Location": "/elsewhere"})

        behind.answer = away
        answer = await gateway.http.get("/page")
        assert (answer.status_code, answer.headers["location"]) == (303, "/elsewhere")
        assert len(behind.received) == 1

    async def test_aborted_requests_leak_no_connection_and_cross_no_answer(
        self, gateway: Any, behind: Any
    ) -> None:
        async def echo(request: web.Request) -> web.Response:
            await asyncio.sleep(0.01)
            return web.Response(text=request.query_string)

        behind.answer = echo
        for _ in range(10):
            tasks = [asyncio.create_task(gateway.http.get(f"/page?n={number}")) for number in range(30)]
            await asyncio.sleep(0.02)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for number, answer in enumerate(answers):
                if isinstance(answer, BaseException):
                    assert (number % 2, type(answer)) == (0, asyncio.CancelledError)
                else:
                    assert answer.text == f"n={number}"
        answer = await gateway.http.get("/page?n=last")
        assert answer.text == "n=last"


class TestHealthAndMetrics:
    async def test_ready_only_when_the_grants_are_known(self, gateway: Any) -> None:
        assert (await gateway.http.get("/livez")).status_code == 200
        assert (await gateway.http.get("/readyz")).status_code == 200
        gateway.plane.access._confirmed = float("-inf")
        gateway.plane.access._stale_s = -1
        assert (await gateway.http.get("/readyz")).status_code == 503
        assert (await gateway.http.get("/livez")).status_code == 200

    async def test_not_ready_before_the_issuers_keys_were_read(
        self, settings: Any, start_gateway: Any, issuer: Any, give: Any
    ) -> None:
        """A gateway started while auth is away would answer 503 to everybody who is sent to it."""
        await give()
        issuer.is_down = True
        async with start_gateway(settings) as gateway:
            told = await gateway.http.get("/readyz")
            assert (told.status_code, told.json()["type"]) == (503, "urn:edulake:problem:issuer-keys-unknown")
            assert "签发方公钥" in told.json()["detail"]
            assert "auth" in told.json()["mend"]
            assert (await gateway.http.get("/livez")).status_code == 200
            issuer.is_down = False
            async with asyncio.timeout(60):
                while (await gateway.http.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.05)
            issuer.is_down = True
            answer = await gateway.http.get("/share/v1/schools", headers=issuer.bearer())
            assert answer.status_code == 200, "the keys are kept"
            assert (await gateway.http.get("/readyz")).status_code == 200
            gateway.plane.keys._confirmed -= 3601
            assert (await gateway.http.get("/readyz")).status_code == 503, "and not believed for ever"

    async def test_not_ready_while_the_published_versions_are_old(self, gateway: Any) -> None:
        gateway.engine.versions.age_s = 11
        answer = await gateway.http.get("/readyz")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:edulake:problem:versions-unknown")
        assert (await gateway.http.get("/livez")).status_code == 200
        gateway.engine.versions.age_s = 9
        assert (await gateway.http.get("/readyz")).status_code == 200

    async def test_metrics_are_for_the_monitorings_networks(self, settings: Any, start_gateway: Any) -> None:
        async with start_gateway(settings) as gateway:
            assert "edulake_gateway_answers_total" in (await gateway.http.get("/metrics")).text
        async with start_gateway(settings.model_copy(update={"metrics_networks": ()})) as gateway:
            assert (await gateway.http.get("/metrics")).status_code == 404

    @pytest.mark.parametrize("trusted", [(), (ipaddress.ip_network("127.0.0.0/8"),)])
    @pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
    async def test_metrics_are_not_passed_on_by_a_proxy_however_near(
        self, settings: Any, start_gateway: Any, field: str, trusted: Any
    ) -> None:
        async with start_gateway(settings.model_copy(update={"trusted_proxies": trusted})) as gateway:
            answer = await gateway.http.get("/metrics", headers={field: "127.0.0.1"})
            assert answer.status_code == 404

    async def test_answers_are_counted_by_the_status_that_was_sent(
        self, gateway: Any, behind: Any, issuer: Any
    ) -> None:
        def counted(kind: str, status: int) -> float:
            return float(ANSWERS.labels(kind, status)._value.get())

        async def not_there(_: web.Request) -> web.Response:
            return web.Response(status=404)

        behind.answer = not_there
        before = [counted("open", 404), counted("own", 403), counted("open", 200), counted("own", 200)]
        await gateway.http.get("/page")
        await gateway.http.get("/api/gateway/quotas", headers=issuer.bearer())
        after = [counted("open", 404), counted("own", 403), counted("open", 200), counted("own", 200)]
        assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 0, 0]

    async def test_no_answer_leads_to_an_address_of_the_inside(self, gateway: Any, issuer: Any) -> None:
        answer = await gateway.http.get("/api/gateway/apis/", headers=issuer.bearer())
        assert (answer.status_code, answer.headers.get("location")) == (404, None)

    async def test_the_address_of_the_caller_comes_from_our_own_proxy_only(
        self, settings: Any, start_gateway: Any, behind: Any
    ) -> None:
        trusting = settings.model_copy(update={"trusted_proxies": (ipaddress.ip_network("127.0.0.0/8"),)})
        async with start_gateway(trusting) as gateway:
            await gateway.http.get("/page", headers={"X-Forwarded-For": "6.6.6.6, 10.1.2.3"})
            assert behind.headers()["x-forwarded-for"] == "10.1.2.3"
