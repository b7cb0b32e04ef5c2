"""Everything bad that can come from outside or below, driven through the gateway of a running suite.

Each is answered by a problem in words, loses and leaves nothing, and is over when its cause is.
"""

import asyncio
import base64
import hashlib
import hmac
import http.client
import io
import json
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edulake.auth.settings import AuthSettings
from edulake.auth.token.signing import SigningKeys
from edulake.cli.calls import Gateway, token_id
from edulake.cli.demo import Report
from edulake.cli.embedded import stop_postgres
from edulake.cli.peek import some_student_key
from edulake.cli.verify import verify_all
from edulake.common.db import Database
from edulake.common.gm import open_keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LIMIT_S = 5.0
SCHOOLS = "/share/v1/schools?limit=1"
TARGET = "/api/ingest/sources/demo-roster-a/datasets/school_base/deliveries"
HEADER = "序号,学校代码,学校名称,办别,所属区,学段\n"
GOOD = HEADER + "1,999901,上海市黄浦来日初级中学,PUBLIC,黄浦区,初中\n"


@pytest.fixture(scope="module")
def suite(open_suite: Callable[..., Any]) -> Any:
    """A suite of two gateway processes, on the embedded bus."""
    return open_suite(gateway_processes=2)


@pytest.fixture(scope="module")
def steward(suite: Any) -> Gateway:
    return suite.gateway("edulake-cli")


@pytest.fixture(scope="module")
def app(suite: Any, report: Report) -> Gateway:
    """A client that may call every API; the demo has made its grants."""
    return suite.gateway("demo-app")


@pytest.fixture(scope="module")
def student(suite: Any, report: Report) -> str:
    """The address of one child's record."""
    return f"/share/v1/student?student_key={some_student_key(suite.settings)}"


def problem(answer: httpx.Response, status: int, code: str, *, mend: bool = True) -> dict[str, Any]:
    """The problem an answer must be: typed, in two languages, traceable, and saying what to do."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:edulake:problem:{code}", body
    assert body["status"] == status
    for words in (body["title"], body["detail"]):
        chinese, _, english = words.partition(" / ")
        assert any("一" <= letter <= "鿿" for letter in chinese), words
        assert english, words
    assert body["trace_id"] == answer.headers["x-trace-id"]
    if mend:
        assert body["mend"]
    return body


def fetch(suite: Any, query: str, *values: Any) -> Any:
    """One value from the suite's database, read as its operator."""

    async def ask() -> Any:
        connection = await asyncpg.connect(suite.state.admin_url)
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()

    return asyncio.run(ask())


def stored(suite: Any) -> tuple[Any, ...]:
    """What a delivery would leave: batches, events, manifests, objects, staged files."""
    counts = [
        fetch(suite, f"SELECT count(*) FROM {table}")
        for table in ("ingest.batch", "bus.log WHERE name LIKE 'raw.%'", "lake.manifest WHERE zone = 'raw'")
    ]
    raw = sorted(str(path) for path in (Path(suite.state.lake_url) / "raw").rglob("*") if path.is_file())
    staging = suite.settings.home.resolve() / "tmp" / "ingest"
    return (*counts, raw, sorted(staging.iterdir()) if staging.exists() else [])


@pytest.fixture
def nothing_left(suite: Any, report: Report) -> Iterator[None]:
    """After the test everything stored is as before."""
    before = stored(suite)
    yield
    assert stored(suite) == before


def deliver(
    steward: Gateway,
    content: bytes | str,
    name: str = "f.csv",
    target: str = TARGET,
    period: str = "2026-1",
) -> httpx.Response:
    """A whole file; two with different rows are for two periods, or the second would wait for a person."""
    data = content.encode() if isinstance(content, str) else content
    return steward.send("POST", target, data={"period": period}, files={"file": (name, data)})


def bomb() -> bytes:
    """A workbook of a few kilobytes that unpacks to 2 GB."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (64 << 20))
    return target.getvalue()


def until(true: Callable[[], bool], what: str, limit_s: float = 120) -> float:
    """Wait until something holds; the seconds it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < limit_s, f"waited {limit_s} s for {what}"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.usefixtures("nothing_left")
class TestRefusedDelivery:
    """Refused at the door: a problem, and nothing in database, log, lake or staging."""

    def test_of_an_unknown_dataset(self, steward: Gateway) -> None:
        told = problem(
            deliver(steward, GOOD, target=TARGET.replace("school_base", "no_such")), 404, "unknown-dataset"
        )
        assert "school_base" in told["known"]

    def test_with_a_wrong_header(self, steward: Gateway) -> None:
        told = problem(deliver(steward, "商品,价格\n苹果,3\n"), 422, "wrong-header")
        assert "学校名称" in json.dumps(told, ensure_ascii=False)

    def test_in_no_known_encoding(self, steward: Gateway) -> None:
        mixed = GOOD.encode() + "2,999902,上海市静安夕照初级中学,PUBLIC,静安区,初中\n".encode("gb18030")
        problem(deliver(steward, mixed), 415, "unsupported-encoding")

    def test_that_is_a_bomb(self, steward: Gateway) -> None:
        problem(deliver(steward, bomb(), "f.xlsx"), 413, "archive-bomb")

    def test_that_says_it_is_too_large(self, suite: Any, steward: Gateway) -> None:
        kind = "multipart/form-data; boundary=b"
        with begun(suite, steward, body=b"x", length=300 << 20, kind=kind) as connection:
            read = http.client.HTTPResponse(connection)
            read.begin()
            answer = httpx.Response(read.status, headers=read.getheaders(), content=read.read())
        problem(answer, 413, "upload-too-large")

    def test_without_its_end(self, steward: Gateway) -> None:
        body, kind = multipart(GOOD)
        cut = steward.send("POST", TARGET, content=body[: len(body) // 2], headers={"content-type": kind})
        problem(cut, 400, "truncated-upload")

    def test_whose_connection_broke(self, suite: Any, steward: Gateway) -> None:
        body, kind = multipart(GOOD * 20_000)  # more than the gateway holds back until it is whole
        staging = suite.settings.home.resolve() / "tmp" / "ingest"
        for share in (3, 2):
            with begun(suite, steward, body=body[: len(body) // share], length=len(body), kind=kind):
                until(lambda: bool(list(staging.iterdir())), "the first part to be staged")
            until(lambda: not list(staging.iterdir()), "the staged part to be discarded")


def multipart(content: str) -> tuple[bytes, str]:
    """A form with a file and its period, and its content type."""
    request = httpx.Request(
        "POST", "http://x", data={"period": "2026-1"}, files={"file": ("f.csv", content.encode())}
    )
    return request.read(), request.headers["content-type"]


@contextmanager
def begun(suite: Any, steward: Gateway, *, body: bytes, length: int, kind: str) -> Iterator[socket.socket]:
    """A request that says one length and sends another; at the end its connection breaks."""
    head = (
        f"POST {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {steward.token()}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", suite.settings.port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        yield connection


class TestDuplicateDelivery:
    def test_is_the_first_batch_even_when_both_come_at_once(
        self, suite: Any, steward: Gateway, report: Report
    ) -> None:
        before = fetch(suite, "SELECT count(*) FROM ingest.batch")
        steward.token()
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: deliver(steward, GOOD), range(3)))
        assert {answer.status_code for answer in answers} == {200, 202}
        assert [answer.status_code for answer in answers].count(202) == 1
        (batch_id,) = {answer.json()["batch_id"] for answer in answers}
        assert fetch(suite, "SELECT count(*) FROM ingest.batch") == before + 1
        landed = (
            "SELECT count(*) FROM bus.log WHERE name LIKE 'raw.batch.landed%' AND payload->>'batch_id' = $1"
        )
        assert fetch(suite, landed, batch_id) == 1


class TestBadRows:
    """A file that is read but holds bad rows is taken; each bad row waits, with a rule its source can read."""

    def test_with_unknown_codes_and_missing_keys_wait_with_their_reason(
        self, suite: Any, steward: Gateway, report: Report
    ) -> None:
        good = [f"{n},9991{n:02d},上海市黄浦第{n}初级中学,PUBLIC,黄浦区,初中" for n in range(1, 19)]
        bad = ["19,999912,上海市火星初级中学,PUBLIC,火星区,初中", "20,999913,,PUBLIC,静安区,初中"]
        answer = deliver(steward, HEADER + "\n".join([*good, *bad]) + "\n", period="2026-2")
        assert answer.status_code == 202
        batch = ended(steward, answer.json()["batch_id"])
        assert (batch["status"], batch["rows_landed"], batch["rows_quarantined"]) == ("published", 20, 2)
        assert batch["quarantined_by_rule"]["district_code.known"] == 1
        assert batch["quarantined_by_rule"]["school_name.required"] == 1
        held = steward.call("GET", f"/api/governance/batches/{batch['batch_id']}/quarantine")["items"]
        assert [row["row_no"] for row in held] == [20, 21], "lines of the file"


def ended(steward: Gateway, batch_id: str) -> dict[str, Any]:
    """A batch when nothing more will happen to it."""
    found: dict[str, Any] = {}

    def over() -> bool:
        found.update(steward.call("GET", f"/api/ingest/batches/{batch_id}"))
        return found["status"] in ("published", "held", "quarantined", "refused", "superseded")

    until(over, f"batch {batch_id} to end", 60)
    return found


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token."""
    head, body, _ = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (head, body)]
    return read[0], read[1]


def made(head: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    text = ".".join(unpadded(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{unpadded(sign(text.encode()))}"


@pytest.fixture(scope="module")
def key(suite: Any) -> dict[str, Any]:
    """The public key that the suite's tokens are verified with."""
    keys = httpx.get(f"{suite.state.public_url}/.well-known/jwks.json", trust_env=False, timeout=60).json()[
        "keys"
    ]
    kid = parts_of(suite.gateway("demo-app").token())[0]["kid"]
    return next(one for one in keys if one["kid"] == kid)


@pytest.fixture(scope="module")
def tokens(suite: Any, app: Gateway, key: dict[str, Any]) -> dict[str, str]:
    """What a thief or a forger would send: each is a good token in every respect but one."""
    head, claims = parts_of(app.token())
    public = base64.urlsafe_b64decode(key["x"] + "=")
    long_ago = {**claims, "iat": int(time.time()) - 4000, "exp": int(time.time()) - 400}
    return {
        "none": made({**head, "alg": "none"}, claims, lambda _: b""),
        "public-key-as-secret": made(
            {**head, "alg": "HS256"}, claims, lambda text: hmac.digest(public, text, hashlib.sha256)
        ),
        "jwk-as-secret": made(
            {**head, "alg": "HS256"},
            claims,
            lambda text: hmac.digest(json.dumps(key).encode(), text, hashlib.sha256),
        ),
        "foreign-key": made(head, claims, Ed25519PrivateKey.generate().sign),
        "own-key-in-header": made({**head, "jwk": key}, claims, Ed25519PrivateKey.generate().sign),
        "more-roles": ".".join(
            [
                app.token().split(".")[0],
                unpadded(json.dumps({**claims, "roles": ["system_admin"]}).encode()),
                app.token().split(".")[2],
            ]
        ),
        "expired": asyncio.run(signed(suite, long_ago)),
    }


async def signed(suite: Any, claims: dict[str, Any]) -> str:
    """A token with the suite's own signature, whatever it claims."""
    settings = AuthSettings(
        home=suite.settings.home, port=suite.settings.port, database_url=suite.state.database_url
    )
    database = Database(settings.database_for("edulake_auth"))
    try:
        keys = SigningKeys(settings, database, open_keys(settings))
        async with database.transaction() as session:
            return await keys.sign(session, claims, typ="at+jwt")
    finally:
        await database.close()


FORGED = (
    "none",
    "public-key-as-secret",
    "jwk-as-secret",
    "foreign-key",
    "own-key-in-header",
    "more-roles",
    "expired",
)


class TestTokens:
    @pytest.mark.parametrize(
        "path", [SCHOOLS, "/api/ingest/batches", "/api/gateway/apis", "/events/published"]
    )
    @pytest.mark.parametrize("kind", FORGED)
    def test_that_is_forged_or_expired_opens_nothing(
        self, suite: Any, tokens: dict[str, str], kind: str, path: str
    ) -> None:
        headers = {"Authorization": f"Bearer {tokens[kind]}"}
        answer = httpx.get(suite.state.public_url + path, headers=headers, trust_env=False, timeout=60)
        problem(answer, 401, "bad-token")
        assert "invalid_token" in answer.headers["www-authenticate"]

    def test_signed_again_with_good_times_would_open(self, suite: Any, app: Gateway) -> None:
        """The expired one above fails for its times alone."""
        again = asyncio.run(signed(suite, parts_of(app.token())[1]))
        headers = {"Authorization": f"Bearer {again}"}
        assert (
            httpx.get(
                suite.state.public_url + SCHOOLS, headers=headers, trust_env=False, timeout=60
            ).status_code
            == 200
        )

    def test_that_is_missing_opens_nothing(self, suite: Any) -> None:
        problem(httpx.get(suite.state.public_url + SCHOOLS, trust_env=False, timeout=60), 401, "bad-token")


class TestCalls:
    def test_without_a_grant_are_told_how_to_get_one(self, suite: Any, report: Report) -> None:
        problem(suite.gateway("loadtest").send("GET", "/share/v1/senior-quota"), 403, "no-grant")

    @pytest.mark.parametrize(
        "query",
        ["limit=0", "limit=1000", "limit=x", "nobody=1", "district=31010", "cursor=AAAA", "stage=9", "code="],
    )
    def test_with_a_bad_parameter_are_told_which(self, app: Gateway, query: str) -> None:
        answer = app.send("GET", f"/share/v1/schools?{query}")
        body = problem(answer, 400, "bad-cursor" if "cursor" in query else "bad-parameter")
        name = query.partition("=")[0]
        assert body["where"] == ("query" if name == "nobody" else f"query.{name}")

    def test_of_an_unknown_api_or_address_are_told_so(self, app: Gateway) -> None:
        problem(app.send("GET", "/share/v1/none"), 404, "unknown-api")
        problem(app.send("GET", "/internal/sessions/resolve"), 404, "not-found", mend=False)

    def test_over_the_quota_are_told_when_to_come_back_and_then_go_on(
        self, suite: Any, report: Report
    ) -> None:
        caller = granted(suite, "schools", rate_per_s=1)
        caller.token()
        with ThreadPoolExecutor(6) as pool:  # at once: one after the other may be slower than the quota
            answers = list(pool.map(lambda _: caller.send("GET", SCHOOLS), range(12)))
        over = next(answer for answer in answers if answer.status_code == 429)
        problem(over, 429, "quota-exceeded")
        assert int(over.headers["retry-after"]) >= 1
        assert over.headers["ratelimit-limit"] == "1"
        until(lambda: caller.send("GET", SCHOOLS).status_code == 200, "the quota to fill again")


class TestColumnsNotGranted:
    """They cannot be shown, asked by, or told apart by any answer; whether a value exists changes nothing."""

    def test_influence_nothing(self, suite: Any, app: Gateway) -> None:
        full = app.call("GET", "/share/v1/schools?limit=3")["data"]
        caller = granted(suite, "schools", columns=["school_key", "stage"], rate_per_s=103)
        assert [set(row) for row in caller.call("GET", "/share/v1/schools?limit=3")["data"]] == [
            {"school_key", "stage"}
        ] * 3
        assert caller.call("GET", "/share/v1/schools?stage=3&limit=2")["data"]
        told = []
        for code in (full[0]["school_code"], "ZZ9999"):
            body = problem(caller.send("GET", f"/share/v1/schools?code={code}"), 403, "column-not-granted")
            told.append({name: value for name, value in body.items() if name != "trace_id"})
        assert told[0] == told[1]
        other = app.call("GET", "/share/v1/schools?limit=3")
        answer = caller.send("GET", f"/share/v1/schools?limit=3&cursor={other['next']}")
        if answer.status_code == 200:  # the order is the same, so the place may be; the columns are not
            assert {name for row in answer.json()["data"] for name in row} == {"school_key", "stage"}


def granted(suite: Any, api: str, *, columns: list[str] | None = None, **quota: int) -> Gateway:
    """Client `loadtest` with a grant of its own, once every gateway process knows it."""
    caller, owner = suite.gateway("loadtest"), suite.gateway("demo-owner")
    wanted = {
        "resource_id": f"api:{api}",
        "client_id": "loadtest",
        "purpose": "额度与撤销测试",
        "scenario": "自动化测试调用",
        "columns": columns or [],
        "days": 1,
        "promises": True,
    }
    entered = caller.call("POST", "/api/catalog/applications", json=wanted)
    decision = {"decision": "approve", "reason": "测试审批", **quota}
    owner.call("POST", f"/api/catalog/applications/{entered['id']}/decisions", json=decision)
    for port in own_ports(suite):
        until(lambda port=port: rate_at(port, caller, api) == str(quota["rate_per_s"]), "the grant")
    return caller


def rate_at(port: int, caller: Gateway, api: str) -> str | None:
    """The rate by which one gateway process judges a caller."""
    headers = {"Authorization": f"Bearer {caller.token()}"}
    url = f"http://127.0.0.1:{port}/share/v1/{api}?limit=1"
    return httpx.get(url, headers=headers, trust_env=False, timeout=60).headers.get("ratelimit-limit")


def own_ports(suite: Any) -> list[int]:
    """Where each gateway process answers alone."""
    return [suite.settings.gateway_port(number + 1) for number in range(suite.settings.gateways)]


def status_at(port: int, caller: Gateway, path: str) -> int:
    """The status one gateway process answers, on a connection of its own."""
    headers = {"Authorization": f"Bearer {caller.token()}"}
    return httpx.get(
        f"http://127.0.0.1:{port}{path}", headers=headers, trust_env=False, timeout=60
    ).status_code


class TestRevoking:
    """P4: on every gateway process, within five seconds. The seconds seen stand in the test report."""

    @pytest.mark.parametrize("what", ["grant", "token"])
    def test_holds_on_every_gateway_process(
        self, suite: Any, report: Report, what: str, record_property: Callable[[str, object], None]
    ) -> None:
        caller = granted(suite, "schools", rate_per_s=101 if what == "grant" else 102)
        token_of = caller.token()
        assert {status_at(port, caller, SCHOOLS) for port in own_ports(suite)} == {200}
        if what == "grant":
            path = "/api/catalog/grants?status=active"
            (grant,) = [one for one in caller.call("GET", path)["items"] if one["api"] == "schools"]
            owner = suite.gateway("demo-owner")
            owner.call("POST", f"/api/catalog/grants/{grant['grant_id']}/revoke", json={"reason": "测试撤销"})
        else:
            facts = {"jti": token_id(token_of), "reason": "测试撤销"}
            suite.gateway("demo-security").call("POST", "/api/auth/revocations", json=facts)
        began = time.monotonic()
        refused = 403 if what == "grant" else 401

        def seconds(port: int) -> float:
            until(lambda: status_at(port, caller, SCHOOLS) != 200, "the revocation", LIMIT_S)
            return time.monotonic() - began

        with ThreadPoolExecutor() as pool:
            seen = dict(zip(own_ports(suite), pool.map(seconds, own_ports(suite)), strict=True))
        for number, (port, took) in enumerate(seen.items(), start=1):
            record_property(f"{what}_refused_by_gateway_{number}_after_s", round(took, 2))
            assert took <= LIMIT_S
            # Without a grant a caller has a stranger's few tries a second, and is told 429 beyond them.
            until(
                lambda port=port: status_at(port, caller, SCHOOLS) == refused,
                f"{refused} after the revocation",
            )


class TestGatewayProcesses:
    def test_one_that_is_killed_is_started_again_alone(self, suite: Any, app: Gateway) -> None:
        before = pids(suite)
        suite.kill("gateway-1")
        suite.wait_for(lambda: is_ready(own_ports(suite)[0]), "gateway-1 to be ready")
        after = pids(suite)
        assert {name for name in after if after[name] != before[name]} == {"gateway-1"}
        assert status_at(own_ports(suite)[0], app, SCHOOLS) == 200

    def test_one_that_is_told_to_end_under_load_fails_no_request(self, suite: Any, app: Gateway) -> None:
        told = suite.process("gateway-2")
        url, headers = suite.state.public_url + SCHOOLS, {"Authorization": f"Bearer {app.token()}"}
        stop, seen = threading.Event(), []

        def call(*, keep: bool) -> None:
            with httpx.Client(timeout=60, trust_env=False) as http:
                while not stop.is_set():
                    answer = (
                        http.get(url, headers=headers)
                        if keep
                        else httpx.get(url, headers=headers, timeout=60)
                    )
                    seen.append(answer.status_code)

        with ThreadPoolExecutor(6) as pool:
            callers = [pool.submit(call, keep=number % 2 == 0) for number in range(6)]
            until(lambda: len(seen) > 100, "load")
            told.send_signal(signal.SIGTERM)
            told.wait(60)
            suite.wait_for(lambda: suite.process("gateway-2") is not told, "gateway-2 to come back")
            suite.wait_for(lambda: is_ready(own_ports(suite)[1]), "gateway-2 to be ready")
            after = len(seen)
            until(lambda: len(seen) > after + 100, "load afterwards")
            stop.set()
            for caller in callers:
                caller.result(90)
        assert set(seen) == {200}

    def test_show_their_metrics_each_on_its_own_port(self, suite: Any, report: Report) -> None:
        for port in own_ports(suite):
            answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=60)
            assert "edulake_gateway_answers_total" in answer.text
        assert httpx.get(f"{suite.state.public_url}/metrics", trust_env=False, timeout=60).status_code == 404


def pids(suite: Any) -> dict[str, int]:
    return {name: child.process.pid for name, child in suite.supervisor.children.items()}


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, timeout=60).status_code == 200
    except httpx.HTTPError:
        return False


class TestRedisGone:
    def test_general_reads_go_on_personal_ones_wait_and_all_is_well_when_it_is_back(
        self, suite: Any, app: Gateway, steward: Gateway, student: str
    ) -> None:
        assert app.send("GET", student).status_code == 200
        suite.supervisor.redis.process.kill()
        suite.supervisor.redis.process.wait()
        until(lambda: app.send("GET", student).status_code != 200, "the leased calls to be used up")
        problem(app.send("GET", student), 503, "quota-unknown")
        assert app.send("GET", SCHOOLS).status_code == 200
        assert deliver(steward, GOOD.replace("999901", "999931"), period="2026-3").status_code == 202
        assert httpx.get(suite.state.public_url + SCHOOLS, trust_env=False, timeout=60).status_code == 401
        suite.wait_for(lambda: app.send("GET", student).status_code == 200, "Redis to be started again")
        assert fetch(suite, "SELECT count(*) FROM ingest.batch WHERE period LIKE '2026-%'") == 3


class TestPostgresRestarting:
    def test_everything_waits_loses_nothing_and_goes_on(
        self, suite: Any, app: Gateway, steward: Gateway, student: str
    ) -> None:
        app.token(), steward.token()
        before = fetch(suite, "SELECT count(*) FROM ingest.batch")
        content = GOOD.replace("999901", "999941")
        stop_postgres(suite.settings.home.resolve() / "postgres")
        for answer in (
            app.send("GET", student),
            deliver(steward, content, period="2026-4"),
            app.send("GET", "/api/gateway/apis"),
        ):
            assert answer.status_code == 503
            body = problem(answer, 503, answer.json()["type"].rpartition(":")[2], mend=False)
            assert "postgres" not in json.dumps(body).lower()
            assert int(answer.headers["retry-after"]) >= 1
        suite.wait_for(
            lambda: all(is_ready(port) for port in own_ports(suite)), "Postgres to be started again"
        )
        suite.wait_for(lambda: app.send("GET", student).status_code == 200, "calls to be answered")
        suite.wait_for(
            lambda: deliver(steward, content, period="2026-4").status_code in (200, 202),
            "deliveries to be taken",
        )
        assert fetch(suite, "SELECT count(*) FROM ingest.batch") == before + 1
        batch = deliver(steward, content, period="2026-4")
        assert batch.status_code == 200
        assert ended(steward, batch.json()["batch_id"])["status"] == "published"


class TestAfterAll:
    def test_every_accepted_batch_has_ended_and_everything_stored_holds(
        self, suite: Any, steward: Gateway, report: Report
    ) -> None:
        for batch in steward.call("GET", "/api/ingest/batches?limit=50")["items"]:
            assert ended(steward, batch["batch_id"])["status"] != "refused"
        findings = verify_all(suite.settings, suite.state, deep=True)
        assert [one.words for one in findings if not one.holds] == []
        assert all(child.process.poll() is None for child in suite.supervisor.children.values())
