"""JSONL: one flat object a line, digits as written."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from edulake.ingest.source.readers.child import read
from edulake.ingest.source.readers.limits import Limits, Refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Read = Callable[..., tuple[dict[str, Any], pl.DataFrame]]
LIMITS = Limits(10_000, 50, 1000, 50 << 20, 200, 0.5, 1 << 30, 20)
CELL = st.none() | st.text(
    st.characters(exclude_characters="\0\ufffd", exclude_categories=["Cs"]), max_size=20
)
ROW = st.fixed_dictionaries({"甲": CELL, "乙": CELL})


class TestReadingBack:
    @given(rows=st.lists(ROW, min_size=1, max_size=8), ascii_only=st.booleans())
    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_gives_every_value_as_it_was_written(self, rows: list[dict[str, str]], ascii_only: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "f", Path(folder) / "t"
            source.write_text(
                "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows), "utf-8"
            )
            read({"source": str(source), "target": str(target)}, LIMITS)
            frame = pl.read_parquet(target)
        assert frame.drop("_row").to_dicts() == rows

    def test_keeps_numbers_as_written(self, read_bytes: Read) -> None:
        _, frame = read_bytes('{"a": 1.10, "b": 123456789012345678901, "c": true, "d": 1e3, "e": null}\n')
        assert frame.drop("_row").rows() == [("1.10", "123456789012345678901", "true", "1e3", None)]

    def test_takes_the_keys_of_all_lines_in_order_of_appearance(self, read_bytes: Read) -> None:
        told, frame = read_bytes('{"b": 1}\n\n{"a": 2, "b": 3}\n')
        assert told["headers"] == ["b", "a"]
        assert frame.rows() == [("1", None, 1), ("3", "2", 3)]

    def test_reads_gb18030_too(self, read_bytes: Read) -> None:
        told, _ = read_bytes('{"校名": "求真中学"}\n'.encode("gb18030"))
        assert (told["format"], told["encoding"]) == ("jsonl", "gb18030")


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "code"),
        [
            ('{"a": {"b": 1}}', "nested-value"),
            ('{"a": [1]}', "nested-value"),
            ('{"a": 1}\n[1]\n', "not-an-object"),
            ('{"a": 1}\n"text"\n', "not-an-object"),
            ('{"a": 1\n', "broken-json"),
            ('{"a": 1, "a": 2}', "broken-json"),
            ('{"a": NaN}', "broken-json"),
            ('{"a": "\\ud800"}', "broken-json"),
            ('{"": 1}', "empty-header"),
            ('{"a": 1, " a": 2}', "duplicate-header"),
            ('{"_row": 1}', "reserved-header"),
            ("{}\n", "no-header"),
            ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested-value"),
        ],
    )
    def test_name_what_is_wrong(self, read_bytes: Read, content: str, code: str) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes(content, cell_max_chars=32_767)
        assert refused.value.code == code

    def test_say_the_line(self, read_bytes: Read) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes('{"a": 1}\n{"a": {}}\n')
        assert refused.value.where == "file row 2"

    def test_hold_at_the_longest_line(self, read_bytes: Read) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes('{"a": "' + "x" * 100_000 + '"}\n')
        assert refused.value.code == "line-too-long"

    def test_hold_at_the_most_keys(self, read_bytes: Read) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes(json.dumps({f"k{n}": n for n in range(60)}))
        assert refused.value.code == "too-many-columns"
