"""The command, without a suite: what it says when nothing runs, and what it makes for the demo."""

import json
import os
import socket
from collections import Counter
from pathlib import Path

import pytest
import yaml
from edulake.cli.calls import token_id
from edulake.cli.carrier import carrier_states
from edulake.cli.doctor import examine
from edulake.cli.main import app
from edulake.cli.state import Process, SuiteFailed, SuiteState, read_state
from edulake.cli.suite import members
from edulake.cli.supervisor import Supervisor
from edulake.cli.synthetic import CHECK, WEIGHTS, identity_number, schools, write_deliveries
from edulake.common.settings import Settings
from typer.testing import CliRunner

runner = CliRunner()


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDULAKE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class TestNothingRuns:
    @pytest.mark.parametrize(
        "words",
        [
            ["token", "demo-app"],
            ["verify"],
            ["revoke", "grant", "x"],
            ["source", "list"],
            ["publications", "list"],
        ],
    )
    def test_commands_that_need_a_suite_say_how_to_start_one(self, words: list[str]) -> None:
        result = runner.invoke(app, words)
        assert result.exit_code == 1
        assert "edulake up" in result.output

    def test_status_is_not_healthy(self) -> None:
        result = runner.invoke(app, ["status", "--json"])
        assert result.exit_code == 1
        facts = json.loads(result.output)
        assert (facts["running"], facts["healthy"]) == (False, False)
        assert set(facts["members"]) == {member.name for member in members(Settings())}

    def test_down_has_nothing_to_do(self) -> None:
        assert runner.invoke(app, ["down"]).exit_code == 0

    def test_a_bad_setting_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDULAKE_PORT", "many")
        result = runner.invoke(app, ["status"])
        assert result.exit_code == 2
        assert "EDULAKE_PORT" in result.output

    def test_a_folder_without_deliveries_is_refused(self, tmp_path: Path) -> None:
        result = runner.invoke(app, ["demo", "--data", str(tmp_path)])
        assert result.exit_code == 2
        assert "deliveries.yaml" in result.output

    @pytest.mark.parametrize("words", [["up"], ["up", "--detach"]])
    def test_a_home_that_cannot_be_made_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("EDULAKE_HOME", str(tmp_path / "file" / "home"))
        result = runner.invoke(app, words)
        assert result.exit_code == 1
        assert "EDULAKE_HOME" in result.output

    def test_what_is_no_token_is_not_sent_anywhere(self) -> None:
        assert runner.invoke(app, ["revoke", "token", "x.y.z"]).exit_code == 2


class TestDoctor:
    def test_finds_nothing_wrong_here(self) -> None:
        assert [one.words for one in examine(Settings(port=18950)) if one.grade == "bad"] == []

    def test_a_home_that_only_has_to_be_made_is_fine(self, tmp_path: Path) -> None:
        settings = Settings(port=18950, home=tmp_path / "a" / "b" / "c")
        assert [one.words for one in examine(settings) if one.grade == "bad"] == []

    def test_a_taken_port_is_named(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            bad = [one.words for one in examine(Settings(port=port)) if one.grade == "bad"]
        assert any(str(port) in words and "EDULAKE_PORT" in words for words in bad)

    def test_a_broken_contract_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "datasets" / "x").mkdir(parents=True)
        bad = [one.words for one in examine(Settings(standards_dir=tmp_path)) if one.grade == "bad"]
        assert any("标准目录" in words for words in bad)


class TestState:
    def state(self, process: Process) -> SuiteState:
        return SuiteState(process, 1, "http://x", "l", processes={"auth": Process(8, 1.5)})

    def test_comes_back_and_is_private(self, empty_home: Path) -> None:
        empty_home.mkdir()
        self.state(Process(7, 1.25)).write(empty_home)
        assert read_state(empty_home) == self.state(Process(7, 1.25))
        assert (empty_home / "suite.json").stat().st_mode & 0o077 == 0

    def test_a_process_of_the_same_number_that_began_at_another_time_is_no_suite(self) -> None:
        own = Process.of(os.getpid())
        assert self.state(own).running
        assert not self.state(Process(own.pid, own.began - 60)).running
        assert not self.state(Process(2**22 + 1, own.began)).running

    @pytest.mark.parametrize("text", ['{"pid": 1', '{"pid": 1, "pids": {}}', "[]", '{"supervisor": 7}'])
    def test_a_torn_or_foreign_file_is_no_suite(self, empty_home: Path, text: str) -> None:
        empty_home.mkdir()
        (empty_home / "suite.json").write_text(text)
        assert read_state(empty_home) is None

    def test_a_suite_does_not_start_where_another_program_listens(self, empty_home: Path) -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(SuiteFailed, match=str(port)):
                Supervisor(Settings(port=port), lambda line: None).start()


class TestSynthetic:
    def test_is_the_same_at_every_run(self, tmp_path: Path) -> None:
        write_deliveries(tmp_path / "a")
        write_deliveries(tmp_path / "b")
        names = sorted(path.name for path in (tmp_path / "a").iterdir())
        for name in names:
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    def test_numbers_carry_the_unassigned_area_and_a_right_check_digit(self) -> None:
        number = identity_number("20120229", 7)
        assert number.startswith("310199")
        total = sum(int(digit) * weight for digit, weight in zip(number[:17], WEIGHTS, strict=True))
        assert number[17] == CHECK[total % 11]

    def test_no_two_schools_are_the_same(self) -> None:
        assert max(Counter(school.code for school in schools()).values()) == 1
        assert max(Counter(school.name for school in schools()).values()) == 1

    def test_every_delivery_of_the_plan_exists(self, tmp_path: Path) -> None:
        plan = yaml.safe_load(write_deliveries(tmp_path).read_text(encoding="utf-8"))
        assert all((tmp_path / item["file"]).exists() for item in plan["deliveries"])


class TestTokenId:
    @pytest.mark.parametrize("token", ["", "a", "a.b.c", "a.e30.c"])
    def test_garbage_is_no_token(self, token: str) -> None:
        with pytest.raises(ValueError, match="access token"):
            token_id(token)


class TestKafkaAway:
    """Kafka is configured and nothing answers there."""

    @pytest.fixture(autouse=True)
    def kafka_at_a_closed_port(self, monkeypatch: pytest.MonkeyPatch) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("EDULAKE_BUS", "kafka")
        monkeypatch.setenv("EDULAKE_KAFKA_BOOTSTRAP", address)
        return address

    def test_doctor_says_so_and_what_to_look_at(self, kafka_at_a_closed_port: str) -> None:
        bad = [one.words for one in examine(Settings()) if one.grade == "bad" and "Kafka" in one.words]
        assert len(bad) == 1
        assert kafka_at_a_closed_port in bad[0]
        assert "EDULAKE_KAFKA_BOOTSTRAP" in bad[0]

    def test_the_relay_is_one_of_the_members(self) -> None:
        facts = json.loads(runner.invoke(app, ["status", "--json"]).output)
        assert facts["members"]["relay"] is False

    def test_a_suite_on_the_log_alone_has_nothing_to_say_of_kafka(self) -> None:
        state = SuiteState(Process(1, 1.0), 1, "http://x", "l")
        assert carrier_states(Settings(), state) == []
