"""CSV: every cell comes back as it was written, or the file is refused with words."""

import csv
import io
import tempfile
from collections.abc import Callable
from dataclasses import replace
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
# U+FFFD is refused, NUL marks binary content, surrogates cannot be written at all.
CELL = st.text(st.characters(exclude_characters="\0\ufffd", exclude_categories=["Cs"]), max_size=30)
HEADER = st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=10)


def written(rows: list[list[str]], delimiter: str = ",", line: str = "\r\n") -> str:
    target = io.StringIO()
    csv.writer(target, delimiter=delimiter, lineterminator=line, quoting=csv.QUOTE_ALL).writerows(rows)
    return target.getvalue()


def cells(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.drop("_row").rows()


class TestReadingBack:
    @given(
        data=st.data(),
        delimiter=st.sampled_from([",", ";", "\t"]),
        line=st.sampled_from(["\r\n", "\n"]),
        encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_gives_every_cell_as_it_was_written(
        self, data: st.DataObject, delimiter: str, line: str, encoding: str
    ) -> None:
        headers = data.draw(st.lists(HEADER, min_size=1, max_size=6, unique=True))
        width = len(headers)
        rows = data.draw(st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=8))
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "f", Path(folder) / "t"
            source.write_bytes(written([headers, *rows], delimiter, line).encode(encoding))
            told = read({"source": str(source), "target": str(target)}, LIMITS)
            frame = pl.read_parquet(target)
        assert told["headers"] == headers
        assert [list(row) for row in cells(frame)] == rows

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk"])
    def test_knows_the_encodings_schools_use(self, read_bytes: Read, encoding: str) -> None:
        told, frame = read_bytes("校名,区\n上海市求真中学,宝山区\n".encode(encoding))

        assert told["encoding"] == {"utf-8-sig": "utf-8", "gbk": "gb18030"}.get(encoding, encoding)
        assert cells(frame) == [("上海市求真中学", "宝山区")]

    def test_keeps_rare_names_of_gb18030(self, read_bytes: Read) -> None:
        _, frame = read_bytes("姓名,学校\n张㛃𠮷,求真中学第一分校区\n".encode("gb18030"))
        assert frame["姓名"].to_list() == ["张㛃𠮷"]

    def test_keeps_leading_zeros_line_breaks_and_spaces(self, read_bytes: Read) -> None:
        _, frame = read_bytes('码,注\n0031,"一行\n二行, ""引号"" "\n')
        assert cells(frame) == [("0031", '一行\n二行, "引号" ')]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_finds_the_delimiter_in_the_header(self, read_bytes: Read, delimiter: str) -> None:
        others = "".join({",", ";", "\t"} - {delimiter})
        told, frame = read_bytes(f"甲{delimiter}乙{delimiter}丙\n1{others}{delimiter}2{delimiter}3\n")
        assert told["notes"]["delimiter"] == delimiter
        assert cells(frame) == [(f"1{others}", "2", "3")]

    def test_reads_one_column(self, read_bytes: Read) -> None:
        told, frame = read_bytes("校名\n求真\n长征\n")
        assert (told["headers"], frame.height) == (["校名"], 2)

    def test_trims_headers_only(self, read_bytes: Read) -> None:
        told, frame = read_bytes(" 校名 ,区\n 求真 ,宝山\n")
        assert told["headers"] == ["校名", "区"]
        assert frame["校名"].to_list() == [" 求真 "]

    def test_numbers_rows_as_people_count_them(self, read_bytes: Read) -> None:
        told, frame = read_bytes("\n甲,乙\n1,2\n\n3,4\n")
        assert frame["_row"].to_list() == [3, 5]
        assert told["notes"]["blank_lines"] == 2


class TestRowsOfAnotherWidth:
    def test_are_kept_and_marked(self, read_bytes: Read) -> None:
        told, frame = read_bytes("甲,乙,丙\n1,2,3\n4,5\n6,7,8,9\n1,2,3\n")

        assert told["notes"]["ragged_rows"] == 2
        assert frame.drop("_row", "_shape").rows() == [
            ("1", "2", "3"), ("4", "5", None), ("6", "7", "8"), ("1", "2", "3"),
        ]  # fmt: skip
        assert frame["_shape"].to_list() == [
            None,
            '{"expected": 3, "found": 2, "extra": []}',
            '{"expected": 3, "found": 4, "extra": ["9"]}',
            None,
        ]

    def test_leave_no_mark_when_only_empty_cells_are_too_many(self, read_bytes: Read) -> None:
        _, frame = read_bytes("甲,乙\n1,2,,\n3,4\n")
        assert "_shape" not in frame.columns

    def test_refuse_the_file_when_they_are_most(self, read_bytes: Read) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes("甲,乙\n1,2,3\n4,5,6\n7,8\n")
        assert refused.value.code == "ragged-rows"


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "code"),
        [
            ("校名,区\n求真,宝山\n".encode("utf-16"), "unsupported-encoding"),
            ("校名,区\n求真,宝山\n".encode("utf-16-le"), "binary-content"),
            ("校名,区\n求真,宝山\n".encode("utf-32"), "unsupported-encoding"),
            (b"a,b\n\x00\x01,2\n", "binary-content"),
            (
                "學校名稱,所屬區域\n國立臺灣師範大學附屬高級中學,臺北市大安區\n".encode("big5"),
                "unsupported-encoding",
            ),
            ("Schüler,Größe\nMüller,äöü\n".encode("latin-1"), "unsupported-encoding"),
            ("a,b\n1,\ufffd\n".encode(), "lossy-text"),
            (b"a,b\n1,\xff\xff\n", "unsupported-encoding"),
            (b"", "empty-file"),
            (b"\xef\xbb\xbf \n\n", "empty-file"),
            (b"a,b\n", "no-rows"),
            (b"a,,c\n1,2,3\n", "empty-header"),
            (b"a,b,a\n1,2,3\n", "duplicate-header"),
            (b"a,b, a \n1,2,3\n", "duplicate-header"),
            (b"a,_row\n1,2\n", "reserved-header"),
            (b'a,b\n1,"2\n', "broken-quotes"),
            (b'a,b\n1,"2"3\n', "broken-quotes"),
            (b"%PDF-1.7 and so on", "unsupported-format"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old xls", "unsupported-format"),
            (b"\x1f\x8b gzip", "unsupported-format"),
            (b'[{"a": 1}]', "unsupported-format"),
        ],
    )
    def test_name_what_is_wrong(self, read_bytes: Read, content: bytes, code: str) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes(content)
        assert refused.value.code == code
        assert refused.value.zh
        assert refused.value.en

    @pytest.mark.parametrize(
        ("limit", "code"),
        [
            ({"rows_max": 2}, "too-many-rows"),
            ({"columns_max": 1}, "too-many-columns"),
            ({"cell_max_chars": 3}, "cell-too-long"),
        ],
    )
    def test_hold_at_every_limit(self, read_bytes: Read, limit: dict[str, int], code: str) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes("甲,乙\n1,2\n3,abcd\n5,6\n", **limit)
        assert refused.value.code == code

    def test_do_not_repeat_numbers_of_people_from_a_file_without_header(self, read_bytes: Read) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes("310101201001011234,310101201001011234\n1,2\n")
        assert "310101" not in refused.value.zh + refused.value.en

    def test_say_the_row_of_a_cell_that_is_too_long(self, read_bytes: Read) -> None:
        with pytest.raises(Refusal) as refused:
            read_bytes("a\n1\nabcdef\n", cell_max_chars=5)
        assert refused.value.where == "file row 3"


def test_limits_can_be_replaced() -> None:
    assert replace(LIMITS, rows_max=1).rows_max == 1
