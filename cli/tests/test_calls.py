"""What a call that was refused, or not answered, says to whoever typed the command."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, get_args

import httpx
import pytest
import typer
from edulake.cli.calls import Gateway, UnknownClient, words_of
from edulake.cli.deliver import FINAL, TITLES, follow
from edulake.cli.main import app
from edulake.cli.state import Process, SuiteState
from edulake.cli.terminal import in_words
from edulake.cli.verify import verify_all
from edulake.common.settings import Settings
from edulake.ingest.batch.schemas import WAITS_FOR, Status
from rich.console import Console
from typer.testing import CliRunner

runner = CliRunner()


class TestWordsOfAProblem:
    def test_say_what_where_and_how_to_mend_it(self) -> None:
        body = {"title": "标题 / Title", "detail": "d", "mend": "m", "where": "body.datasets.0"}
        answer = httpx.Response(422, json={**body, "known": ["school_base", "senior_quota"]})
        assert words_of(answer) == (
            "HTTP 422 标题 / Title — d — m — 可用 / known: school_base, senior_quota（body.datasets.0）"
        )

    @pytest.mark.parametrize("answer", [httpx.Response(502, text="<html>"), httpx.Response(502, json=["x"])])
    def test_an_answer_that_is_no_problem_still_tells_its_status(self, answer: httpx.Response) -> None:
        assert words_of(answer) == "HTTP 502"


class Answering(BaseHTTPRequestHandler):
    """A gateway that does as it is told and remembers who asked."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        who = base64.b64decode(value).decode().partition(":")[0] if kind == "Basic" else value
        self.asked.append((self.path, who))
        body = json.dumps({"access_token": f"token-of-{who}", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that knows the secrets of development clients."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    clients = ("edulake-cli", "demo-owner", "demo-security", "demo-audit")
    (secrets / "clients.json").write_text(json.dumps(dict.fromkeys(clients, "x")))
    monkeypatch.setenv("EDULAKE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a gateway that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("EDULAKE_GATEWAY_URL", url)
    return url


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a gateway that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Paths and callers of what the gateway was asked."""
    monkeypatch.setattr(Answering, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("EDULAKE_GATEWAY_URL", f"http://127.0.0.1:{server.server_port}")
    yield Answering.asked
    server.shutdown()
    thread.join()
    server.server_close()


class TestNoAnswer:
    @pytest.mark.parametrize(
        "words",
        [
            ["source", "list"],
            ["token", "edulake-cli"],
            ["revoke", "grant", "g"],
            ["publications", "list"],
            ["ingest", "school_base", "FILE", "--source", "s", "--wait"],
        ],
    )
    def test_of_a_gateway_that_is_away_is_said_in_words(
        self, home: Path, closed: str, words: list[str]
    ) -> None:
        (home / "file.csv").write_text("a")
        result = runner.invoke(app, [word.replace("FILE", str(home / "file.csv")) for word in words])
        assert (result.exit_code, type(result.exception)) == (1, SystemExit)
        told = result.output.replace("\n", "")
        assert closed in told
        assert "cannot be reached" in told

    def test_in_time_warns_that_it_may_have_been_carried_out(
        self, home: Path, silent: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        caller = Gateway(Settings(), "edulake-cli", silent, timeout_s=0.1)
        with pytest.raises(typer.Exit) as ended, in_words(silent):
            caller.call("POST", "/api/ingest/sources")
        caller.close()
        assert ended.value.exit_code == 1
        assert "may have been carried out" in capsys.readouterr().err.replace("\n", " ")

    def test_and_no_database_are_findings_of_verify(self, home: Path, closed: str, tmp_path: Path) -> None:
        gone = "postgresql://postgres@127.0.0.1:1/edulake"
        state = SuiteState(Process(1, 1.0), 1, closed, str(tmp_path), admin_url=gone)
        found = verify_all(Settings(), state, deep=False)
        assert [one.holds for one in found] == [False, False]
        assert "the database cannot be reached" in found[0].words
        assert "cannot be reached" in found[1].words

    def test_of_a_client_nobody_made_says_how_one_is_made(self, home: Path, closed: str) -> None:
        with pytest.raises(UnknownClient, match="demo-audit"):
            Gateway(Settings(), "nobody", closed).token()
        result = runner.invoke(app, ["token", "nobody"])
        assert (result.exit_code, "demo-audit" in result.output) == (1, True)


class TestStillUnderWay:
    @pytest.mark.parametrize("inside", ["http://lake.example", "http://gateway:8080"])
    def test_leads_to_the_page_of_the_batch_as_people_reach_it(
        self,
        home: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        inside: str,
    ) -> None:
        if inside != "http://lake.example":  # in a container calls go another way than people do
            monkeypatch.setenv("EDULAKE_PUBLIC_URL", "http://lake.example/")
        caller = Gateway(Settings(), "edulake-cli", inside)
        with pytest.raises(typer.Exit) as ended, in_words("http://lake.example"):
            follow(caller, "b-1", Console(quiet=True), limit_s=0)
        caller.close()
        told = capsys.readouterr().err.replace("\n", "")
        assert (ended.value.exit_code, "http://lake.example/batches/b-1" in told) == (1, True)
        assert "edulake status" not in told


class TestRevoking:
    """In an incident it must not matter who approved what."""

    @pytest.mark.parametrize("words", [["grant", "g-1"], ["token", "a.eyJqdGkiOiJqIn0.c"]])
    def test_is_done_as_the_security_administrator(
        self, home: Path, answering: list[tuple[str, str]], words: list[str]
    ) -> None:
        assert runner.invoke(app, ["revoke", *words]).exit_code == 0
        assert [who for _, who in answering] == ["demo-security", "token-of-demo-security"]


class TestStates:
    def test_every_state_of_a_batch_has_a_word(self) -> None:
        assert set(TITLES) == set(get_args(Status))

    def test_a_batch_is_followed_until_it_waits_for_nothing(self) -> None:
        assert set(TITLES) - FINAL == set(WAITS_FOR)


class Asking(Answering):
    """A gateway whose ingest asks before a delivery replaces much."""

    confirmed: ClassVar[list[dict[str, Any]]] = []
    replaces: ClassVar[dict[str, Any]] = {
        "batch_id": "b-0", "rows_before": 2728, "rows_after": 199, "zh": "199 行将替代 2,728 行（−93 %）", "en": "en"
    }  # fmt: skip

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        waits = {"batch_id": "b-1", "status": "unconfirmed", "rows_landed": 199, "replaces": self.replaces}
        if self.path.endswith("/confirm"):
            self.confirmed.append(json.loads(sent))
            waits["status"] = "landed"
        body = json.dumps({"access_token": "t", "expires_in": 3600} if self.path == "/oauth/token" else waits)
        self.send_response(200)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


class TestADeliveryThatWouldReplaceMuch:
    @pytest.fixture
    def file(self, home: Path, monkeypatch: pytest.MonkeyPatch, answering: Any) -> str:
        monkeypatch.setattr(Asking, "confirmed", [])
        monkeypatch.setattr(Answering, "do_POST", Asking.do_POST)
        monkeypatch.setattr(Answering, "confirmed", Asking.confirmed, raising=False)
        monkeypatch.setattr(Answering, "replaces", Asking.replaces, raising=False)
        (home / "file.csv").write_text("a")
        return str(home / "file.csv")

    def test_shows_the_figures_and_waits_with_an_exit_code_of_its_own(self, file: str) -> None:
        result = runner.invoke(app, ["ingest", "school_base", file, "--source", "s", "--wait"])
        assert result.exit_code == 3, result.output
        assert "199 行将替代 2,728 行（−93 %）" in result.output
        assert "--confirm" in result.output
        assert "等待确认" in result.output
        assert Asking.confirmed == []

    def test_is_confirmed_with_the_figures_it_showed(self, file: str) -> None:
        result = runner.invoke(app, ["ingest", "school_base", file, "--source", "s", "--confirm"])
        assert result.exit_code == 0, result.output
        assert Asking.confirmed == [Asking.replaces]
