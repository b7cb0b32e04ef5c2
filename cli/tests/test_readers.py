"""What the commands say of events that wait: who stands still, who only has much to do, what was given up."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from edulake.cli import deadletters
from edulake.cli.doctor import examine
from edulake.cli.main import app
from edulake.cli.readers import readers_of
from edulake.cli.state import Process, SuiteState
from edulake.cli.verify import NOT_COMPARED, SIZES_ONLY, WHOLE, verify_all
from edulake.common.settings import Settings
from typer.testing import CliRunner

runner = CliRunner(env={"COLUMNS": "300"})
Do = Callable[..., None]
BEHIND = (
    "INSERT INTO bus.log (event_id, topic, name, key, payload, trace_id, producer, created_at) SELECT "
    "gen_random_uuid(), 'quality', 'quality.rule.failed.v1', 'd', '{}', '', 'hand', now() - interval '20 minutes' "
    "FROM generate_series(1, 7)"
)
READER = (
    "INSERT INTO bus.cursor (consumer, names, pos, updated_at) "
    "VALUES ('workorder', '{quality.rule.failed.v1}', 1, now() - interval '%s seconds')"
)
LETTER = (
    "INSERT INTO bus.dead_letter (consumer, event_id, name, key, event, reason, tries, state) "
    "VALUES ('workorder', gen_random_uuid(), 'n', 'k', 'null', 'r', 1, '%s')"
)


@pytest.fixture
def state(tmp_path: Path, postgres_admin_url: str, monkeypatch: pytest.MonkeyPatch) -> SuiteState:
    """A suite whose supervisor is this process: the commands find it and its database."""
    monkeypatch.setenv("EDULAKE_HOME", str(tmp_path))
    found = SuiteState(Process.of(os.getpid()), 1, "http://127.0.0.1:1", str(tmp_path / "lake"), ready=True)
    found.admin_url = postgres_admin_url
    found.write(tmp_path)
    return found


@pytest.fixture
def do(postgres_admin_url: str) -> Do:
    async def _do(statements: tuple[str, ...]) -> None:
        connection = await asyncpg.connect(postgres_admin_url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    return lambda *statements: asyncio.run(_do(statements))


def status() -> tuple[int, dict[str, Any]]:
    result = runner.invoke(app, ["status", "--json"])
    return result.exit_code, json.loads(result.output)


def test_a_reader_that_stands_still_fails_status_verify_and_doctor(state: SuiteState, do: Do) -> None:
    do(BEHIND, READER % 900)
    code, facts = status()
    assert (code, facts["healthy"]) == (1, False)
    (reader,) = facts["readers"]
    assert (reader["consumer"], reader["events"], reader["is_stuck"]) == ("workorder", 7, True)
    words = next(one for one in facts["bus"] if "停滞" in one)
    assert "workorder 有 7 条事件未处理" in words
    assert "workorder is 7 events behind" in words
    stuck = [one.holds for one in verify_all(Settings(), state, deep=False) if "事件停滞" in one.words]
    assert stuck == [False]
    assert [one.grade for one in examine(Settings()) if "事件停滞" in one.words] == ["bad"]


def test_a_backlog_that_moves_is_told_and_fails_nothing(state: SuiteState, do: Do) -> None:
    do(BEHIND, READER % 1)
    code, facts = status()
    assert (code, facts["healthy"]) == (0, True)
    assert [one.grade for one in readers_of(state).told] == ["warn"]
    assert "7 events behind" in facts["bus"][0]


def test_how_long_is_a_setting(state: SuiteState, do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    do(BEHIND, READER % 100)
    assert status()[0] == 0
    monkeypatch.setenv("EDULAKE_BUS_STUCK_S", "60")
    assert status()[0] == 1


@pytest.mark.parametrize("kept", ["dead", "replaying"])
def test_a_dead_letter_is_told_until_it_is_replayed(state: SuiteState, do: Do, kept: str) -> None:
    do(LETTER % kept)
    code, facts = status()
    assert (code, facts["dead_letters"]) == (0, {"workorder": 1})
    assert "死信 1 封未重放（workorder 1）" in facts["bus"][-1]
    (found,) = [one for one in verify_all(Settings(), state, deep=False) if "死信" in one.words]
    assert not found.holds
    do("UPDATE bus.dead_letter SET state = 'replayed'")
    assert status()[1]["dead_letters"] == {}
    (found,) = [one for one in verify_all(Settings(), state, deep=False) if "死信" in one.words]
    assert found.holds


def test_a_database_that_is_away_is_no_sign_of_health(state: SuiteState) -> None:
    state.admin_url = "postgresql://nobody@127.0.0.1:1/none"
    state.write(Path(os.environ["EDULAKE_HOME"]))
    code, facts = status()
    assert code == 1
    assert "数据库连不上" in facts["bus"][-1]


def test_verify_says_what_it_did_not_look_at(state: SuiteState) -> None:
    plain = [one.words for one in verify_all(Settings(), state, deep=False)]
    deep = [one.words for one in verify_all(Settings(), state, deep=True)]
    assert SIZES_ONLY in plain
    assert "--deep" in SIZES_ONLY
    assert WHOLE in deep
    assert not any("--deep" in words for words in deep)
    assert NOT_COMPARED not in plain, "there is no Kafka"


def test_dead_letters_are_listed_whatever_they_say_of_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    letter = {"id": 1, "consumer": "g", "name": "[red]", "key": "[/]\x1b[2J", "tries": 1, "state": "dead"}
    items = [{**letter, "reason": "[/nothing]", "updated_at": "2026-01-02T03:04:05Z"}]
    monkeypatch.setattr(deadletters, "ask", lambda *_: {"items": items, "next": None})
    monkeypatch.setattr(deadletters.out, "width", 200)
    result = runner.invoke(app, ["deadletters", "list"])
    assert result.exit_code == 1
    assert "[red]" in result.output
    assert "\x1b" not in result.output
    assert "[/nothing]" in result.output
