"""The reading process: bounded, killed when it must be, and never the end of the service."""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from edulake.ingest.source.readers import run
from edulake.ingest.source.readers.limits import Limits, Refusal
from edulake.ingest.source.readers.run import ReaderFailed, read_delivery


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    path = tmp_path / "delivered"
    path.write_text("学校代码,学校名称\n0031,求真中学\n")
    return path


def big(path: Path, rows: int) -> Path:
    path.write_text("a,b,c\n" + "".join(f"{n},{n * 7},some text number {n}\n" for n in range(rows)))
    return path


async def test_reads_a_file_in_another_process(delivered: Path, tmp_path: Path, limits: Limits) -> None:
    reading = await read_delivery(delivered, tmp_path / "rows", limits=limits, wall_s=90)
    assert (reading.format, reading.rows, reading.headers) == ("csv", 1, ["学校代码", "学校名称"])
    assert pl.read_parquet(tmp_path / "rows")["学校代码"].to_list() == ["0031"]


async def test_hands_the_refusal_of_the_child_on(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a,a\n1,2\n")
    with pytest.raises(Refusal) as refused:
        await read_delivery(path, tmp_path / "rows", limits=limits, wall_s=90)
    assert (refused.value.code, refused.value.where) == ("duplicate-header", "file header")


async def test_an_endless_field_is_a_refusal(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "f"
    path.write_text('a,b\n1,"' + "x\n" * 100_000)
    with pytest.raises(Refusal) as refused:
        await read_delivery(path, tmp_path / "rows", limits=limits, wall_s=90)
    assert (refused.value.code, refused.value.where) == ("cell-too-long", "file row 2")


async def test_too_much_memory_is_a_refusal(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "f"
    # One line without an end: a reader that held it whole would need far more than it gets.
    path.write_bytes(b'{"a": "' + b"x" * (80 << 20) + b'"}\n')
    greedy = replace(limits, memory_bytes=300 << 20, cell_max_chars=1 << 30)
    with pytest.raises(Refusal) as refused:
        await read_delivery(path, tmp_path / "rows", limits=greedy, wall_s=90)
    assert refused.value.code == "too-complex"


async def test_too_much_processor_time_is_a_refusal(tmp_path: Path, limits: Limits) -> None:
    path = big(tmp_path / "f", 600_000)
    with pytest.raises(Refusal) as refused:
        await read_delivery(
            path, tmp_path / "rows", limits=replace(limits, cpu_s=1, rows_max=10**7), wall_s=90
        )
    assert refused.value.code == "too-complex"


async def test_too_much_time_is_a_refusal_and_leaves_no_process(tmp_path: Path, limits: Limits) -> None:
    path = big(tmp_path / "f", 300_000)
    with pytest.raises(Refusal) as refused:
        await read_delivery(path, tmp_path / "rows", limits=replace(limits, rows_max=10**7), wall_s=0.1)
    assert refused.value.code == "too-complex"
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    for pid in children:
        with suppress(OSError):  # one that ended meanwhile
            assert b"readers.child" not in Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_a_defect_of_the_reader_is_told_apart_from_a_bad_file(
    delivered: Path, tmp_path: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CHILD", "edulake.ingest.source.readers.no_such_module")
    with pytest.raises(ReaderFailed):
        await read_delivery(delivered, tmp_path / "rows", limits=limits, wall_s=90)


async def test_the_child_gets_no_secret(
    delivered: Path, tmp_path: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDULAKE_DATABASE_URL", "canary")
    assert "canary" not in str(run._environment())
    await asyncio.wait_for(read_delivery(delivered, tmp_path / "rows", limits=limits, wall_s=90), 100)
