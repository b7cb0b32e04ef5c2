"""The metrics of a process that serves nothing else."""

import socket
import urllib.error
import urllib.request

import pytest
from edulake.common.settings import Settings
from edulake.common.worker import metrics_shown


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def shown(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


class TestMetricsShown:
    def test_they_stand_on_the_port_while_the_worker_works(self, port: int) -> None:
        with metrics_shown(Settings(worker_metrics_port=port)):
            assert "edulake_background_failures_total" in shown(port)
        with pytest.raises(urllib.error.URLError):
            shown(port)

    def test_without_a_port_nothing_listens(self, port: int) -> None:
        with metrics_shown(Settings()), pytest.raises(urllib.error.URLError):
            shown(port)

    def test_a_taken_port_is_an_error(self, port: int) -> None:
        taken = Settings(worker_metrics_port=port)
        with metrics_shown(taken), pytest.raises(OSError, match="in use"), metrics_shown(taken):
            pass
