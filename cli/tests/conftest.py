"""Homes of suites under test."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def suite_home() -> Iterator[Path]:
    """A home where stores can run: not in pytest's own folders, because as root Postgres has another account."""
    folder = Path(tempfile.mkdtemp(prefix="edulake-cli-"))
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def free_port() -> int:
    """The first of a run of free ports; test workers side by side never choose the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for first in range(29000 + worker % 4 * 500, 29500 + worker % 4 * 500, 20):
        try:
            for offset in range(20):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")
