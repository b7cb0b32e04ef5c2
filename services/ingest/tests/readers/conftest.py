"""What the tests of the readers share: limits, and reading a file to a frame without a process."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from edulake.ingest.source.readers.child import read
from edulake.ingest.source.readers.limits import Limits

LIMITS = Limits(
    rows_max=10_000,
    columns_max=50,
    cell_max_chars=1000,
    expanded_max_bytes=50 << 20,
    expansion_max_ratio=200,
    ragged_max_share=0.5,
    memory_bytes=1 << 30,
    cpu_s=20,
)


@pytest.fixture
def limits() -> Limits:
    return LIMITS


@pytest.fixture
def read_bytes(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], pl.DataFrame]]:
    """`read_bytes(content, rows_max=3)` → what the reader tells, and the frame it wrote."""

    def run(content: str | bytes, **limits: Any) -> tuple[dict[str, Any], pl.DataFrame]:
        source, target = tmp_path / "delivered", tmp_path / "rows.parquet"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        told = read({"source": str(source), "target": str(target)}, replace(LIMITS, **limits))
        return told, pl.read_parquet(target)

    return run
