"""Embedded stores that end by themselves come back where they were, with what they held."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from edulake.cli.embedded import EmbeddedRedis, StoreFailed, start_redis
from edulake.cli.stores import PAUSE_S, StoreKeeper


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list[EmbeddedRedis]]:
    """The Redis that runs stands last."""
    servers = [start_redis(tmp_path)]
    yield servers
    servers[-1].stop()


def keep(running: list[EmbeddedRedis], folder: Path) -> StoreKeeper:
    return StoreKeeper(
        "Redis",
        lambda: running[-1].process.poll() is None,
        lambda: running.append(start_redis(folder, running[-1].socket)),
    )


class TestRedis:
    def test_that_was_killed_is_at_its_address_with_its_keys(
        self, running: list[EmbeddedRedis], tmp_path: Path
    ) -> None:
        keeper, said = keep(running, tmp_path), list[str]()
        client = redis.Redis.from_url(running[0].url)
        client.set("day", 7)
        assert not keeper.revive(said.append), "nothing to do while it runs"
        running[0].process.kill()
        running[0].process.wait()
        assert keeper.revive(said.append)
        assert client.get("day") == b"7"
        client.close()
        assert "Redis" in said[0]


class TestStoreThatDoesNotStart:
    def test_is_tried_again_after_a_pause_and_does_not_end_the_suite(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moment, tries = [100.0], list[float]()
        monkeypatch.setattr("edulake.cli.stores.time.monotonic", lambda: moment[0])

        def start() -> None:
            tries.append(moment[0])
            if len(tries) < 2:
                raise StoreFailed("the port of a killed server is held")

        keeper, said = StoreKeeper("Postgres", lambda: False, start), list[str]()
        assert not keeper.revive(said.append)
        assert not keeper.revive(said.append)
        moment[0] += PAUSE_S
        assert keeper.revive(said.append)
        assert tries == [100.0, 100.0 + PAUSE_S]
        assert "the port of a killed server is held" in said
