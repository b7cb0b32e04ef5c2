"""Pause points stop a development process where asked, and exist nowhere else."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from edulake.common import faults
from edulake.common.settings import Settings


@pytest.fixture(autouse=True)
def _disarm_again() -> Iterator[None]:
    yield
    os.environ.pop(faults.VARIABLE, None)
    faults.configure(Settings(env="development"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(faults.VARIABLE, "demo.here,demo.there")
    faults.configure(Settings(env="development", home=tmp_path))
    return tmp_path


class TestPoint:
    async def test_stops_for_good_and_leaves_its_process_id(self, asked: Path) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(faults.point("demo.here"), 0.05)
        assert faults.mark_of(asked, "demo.here").read_text() == str(os.getpid())

    async def test_passes_every_other_point(self, asked: Path) -> None:
        await asyncio.wait_for(faults.point("demo.elsewhere"), 0.05)
        assert not faults.mark_of(asked, "demo.elsewhere").exists()

    async def test_passes_when_nothing_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(faults.VARIABLE, raising=False)
        faults.configure(Settings(env="production", public_url="https://lake.example"))
        await asyncio.wait_for(faults.point("demo.here"), 0.05)
        faults.point_in_thread("demo.here")


class TestConfigure:
    def test_refuses_the_variable_in_production(self, asked: Path) -> None:
        with pytest.raises(faults.PausePointError):
            faults.configure(Settings(env="production", public_url="https://lake.example"))
