"""XLSX: what a person sees in a cell, from workbooks that two libraries write and one referees."""

import datetime as dt
import io
import math
import zipfile
from collections.abc import Callable
from typing import Any

import fastexcel
import openpyxl
import polars as pl
import pytest
from edulake.ingest.source.readers.limits import Refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MORNING = dt.datetime(2024, 9, 1, 8, 30)  # noqa: DTZ001 - Excel knows wall clocks only
Read = Callable[..., tuple[dict[str, Any], pl.DataFrame]]


def workbook(
    rows: list[list[Any]], formats: dict[str, str] | None = None, **sheets: list[list[Any]]
) -> bytes:
    """An XLSX of openpyxl; `formats` maps cell addresses to number formats."""
    book = openpyxl.Workbook()
    for name, content in {"表": rows, **sheets}.items():
        sheet = book.create_sheet(name)
        for row in content:
            sheet.append(row)
    del book["Sheet"]
    for address, code in (formats or {}).items():
        book["表"][address].number_format = code
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def changed(content: bytes, change: Callable[[str, bytes], bytes | None], **added: bytes) -> bytes:
    """The same archive with parts changed (None drops one) and others added."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            part = change(name, old.read(name))
            if part is not None:
                new.writestr(name, part)
        for name, part in added.items():
            new.writestr(name.replace("__", "/"), part)
    return target.getvalue()


NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def with_shared_strings(strings: str, sheet_rows: str) -> bytes:
    """A workbook whose cells point to shared strings, as Excel and WPS write them."""
    sheet = f"<worksheet {NS}><sheetData>{sheet_rows}</sheetData></worksheet>".encode()
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    relation = f'<Relationship Type="{kind}" Target="sharedStrings.xml" Id="rId9"/></Relationships>'.encode()

    def change(name: str, part: bytes) -> bytes:
        if name == "xl/worksheets/sheet1.xml":
            return sheet
        return part.replace(b"</Relationships>", relation) if name == "xl/_rels/workbook.xml.rels" else part

    return changed(workbook([["x"]]), change, **{"xl__sharedStrings.xml": strings.encode()})


def same(_name: str, part: bytes) -> bytes:
    return part


class TestCells:
    def test_are_text_as_seen(self, read_bytes: Read) -> None:
        content = workbook(
            [
                ["代码", "补零", "日期", "时刻", "时间", "小数", "布尔", "错误", "空"],
                ["0031", 31, dt.date(2024, 9, 1), MORNING, dt.time(8, 30), 0.1 + 0.2,
                 True, "#N/A", None],
            ],
            {"B2": "0000"},
        )  # fmt: skip
        told, frame = read_bytes(content)
        assert frame.drop("_row").rows() == [
            ("0031", "0031", "2024-09-01", "2024-09-01 08:30:00", "08:30:00", "0.3", "true", "#N/A", None)
        ]
        assert told["notes"]["error_cells"] == 1

    def test_keep_leading_and_inner_white_space(self, read_bytes: Read) -> None:
        _, frame = read_bytes(workbook([["a"], ["  x\n y "]]))
        assert frame["a"].to_list() == ["  x\n y "]

    def test_tell_numbers_that_lost_digits(self, read_bytes: Read) -> None:
        content = workbook([["证件号", "补零"], [310101201001011234, 310101201001011234]], {"B2": "0" * 18})
        told, frame = read_bytes(content)
        assert told["notes"]["imprecise_cells"] == 2
        assert frame.drop("_row").rows() == [("3.10101E+17", "3.10101E+17")]  # never 18 digits again

    def test_number_rows_as_excel_does(self, read_bytes: Read) -> None:
        told, frame = read_bytes(workbook([[], ["a", "b"], [1, 2], [None], [3, 4]]))
        assert frame["_row"].to_list() == [3, 5]
        assert told["notes"]["header_row"] == 2

    def test_beyond_the_header_are_kept_and_marked(self, read_bytes: Read) -> None:
        _, frame = read_bytes(workbook([["a", "b"], [1, 2, 3], [4, 5], [6]]))
        assert frame["_shape"].to_list() == [
            '{"expected": 2, "found": 3, "extra": ["3"]}', None, None,
        ]  # fmt: skip
        assert frame["b"].to_list() == ["2", "5", None]

    def test_of_the_first_visible_sheet_only_and_the_others_are_told(self, read_bytes: Read) -> None:
        told, frame = read_bytes(workbook([["a"], [1]], None, 第二=[["b"], [2]]))
        assert frame.columns == ["a", "_row"]
        assert told["notes"]["other_sheets"] == 1

    @given(
        rows=st.lists(
            st.lists(
                st.one_of(
                    st.text(st.characters(categories=["L", "N", "P"], exclude_characters="_=\ufffd"), min_size=1, max_size=12),
                    st.integers(-(10**12), 10**12),
                    st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 3)),
                ),
                min_size=3, max_size=3,
            ),
            min_size=1, max_size=6,
        )
    )  # fmt: skip
    @settings(
        max_examples=25, deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip
    def test_agree_with_calamine(self, read_bytes: Read, rows: list[list[Any]]) -> None:
        content = workbook([["x1", "x2", "x3"], *rows])
        _, frame = read_bytes(content)
        referee = fastexcel.read_excel(content).load_sheet(0, dtypes="string").to_polars()
        ours = [[_number(cell) for cell in row] for row in frame.drop("_row").rows()]
        assert ours == [[_number(cell) for cell in row] for row in referee.rows()]


def _number(cell: str) -> object:
    """Numbers by value: the two write fractions with other numbers of zeros."""
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return cell
    return number if math.isfinite(number) else cell


class TestDialects:
    def test_prefixed_elements_and_missing_addresses(self, read_bytes: Read) -> None:
        sheet = (
            b'<x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><x:sheetData>'
            b'<x:row><x:c t="inlineStr"><x:is><x:t>a</x:t></x:is></x:c><x:c t="inlineStr"><x:is><x:t>b</x:t></x:is></x:c></x:row>'
            b'<x:row><x:c><x:v>1</x:v></x:c><x:c t="str"><x:v>z_x0041_</x:v></x:c></x:row>'
            b"</x:sheetData></x:worksheet>"
        )
        content = changed(
            workbook([["a"], [1]]),
            lambda name, part: sheet if "sheet1" in name and "rels" not in name else part,
        )
        _, frame = read_bytes(content)
        assert frame.rows() == [("1", "zA", 2)]

    def test_phonetic_hints_are_not_text_and_runs_are_joined(self, read_bytes: Read) -> None:
        strings = (
            f"<sst {NS}><si><r><t>求</t></r><r><t xml:space='preserve'>真 </t></r>"
            "<rPh sb='0' eb='1'><t>qiu</t></rPh></si><si><t>0031</t></si></sst>"
        )
        rows = '<row r="1"><c r="A1" t="s"><v>0</v></c></row><row r="2"><c r="A2" t="s"><v>1</v></c></row>'
        told, frame = read_bytes(with_shared_strings(strings, rows))
        assert told["headers"] == ["求真"]
        assert frame["求真"].to_list() == ["0031"]


class TestRefusals:
    def refusal(self, read_bytes: Read, content: bytes, **limits: Any) -> Refusal:
        with pytest.raises(Refusal) as refused:
            read_bytes(content, **limits)
        return refused.value

    def test_of_a_zip_of_files(self, read_bytes: Read) -> None:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("a.csv", "a\n1\n")
            archive.writestr("b.csv", "b\n1\n")
        refusal = self.refusal(read_bytes, target.getvalue())
        assert refusal.code == "plain-archive"
        assert "逐个" in refusal.mend_zh

    def test_of_a_bomb_by_ratio(self, read_bytes: Read) -> None:
        content = changed(workbook([["a"], [1]]), same, xl__worksheets__bomb=b"\0" * (20 << 20))
        assert self.refusal(read_bytes, content).code == "archive-bomb"

    def test_of_a_bomb_by_size(self, read_bytes: Read) -> None:
        content = workbook([["a"], *[[f"text {number}"] for number in range(500)]])
        assert self.refusal(read_bytes, content, expanded_max_bytes=10_000).code == "archive-bomb"

    def test_of_entries_that_share_their_bytes(self, read_bytes: Read) -> None:
        content = bytearray(changed(workbook([["a"], [1]]), same, padding=bytes(range(256)) * 40))
        # The directory of an overlapping bomb declares the same packed bytes again and again.
        at = content.rindex(b"PK\x01\x02")
        content[at + 20 : at + 24] = (1 << 22).to_bytes(4, "little")
        assert self.refusal(read_bytes, bytes(content)).code == "archive-bomb"

    @pytest.mark.parametrize(
        ("part", "code"),
        [("xl__vbaProject.bin", "macro-workbook"), ("xl__embeddings__x.xlsx", "nested-archive")],
    )
    def test_of_macros_and_nested_files(self, read_bytes: Read, part: str, code: str) -> None:
        content = changed(workbook([["a"], [1]]), same, **{part: b"x"})
        assert self.refusal(read_bytes, content).code == code

    def test_of_a_cut_file(self, read_bytes: Read) -> None:
        content = workbook([["a"], [1]])
        assert self.refusal(read_bytes, content[: len(content) // 2]).code == "broken-archive"

    def test_of_broken_xml(self, read_bytes: Read) -> None:
        cut = changed(workbook([["a"], [1]]), lambda name, part: part[:-20] if "sheet1" in name else part)
        assert self.refusal(read_bytes, cut).code == "broken-workbook"

    def test_of_document_types(self, read_bytes: Read) -> None:
        bomb = '<!DOCTYPE lolz [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><sst><si><t>&b;</t></si></sst>'
        row = '<row r="1"><c r="A1" t="s"><v>0</v></c></row>'
        refusal = self.refusal(read_bytes, with_shared_strings(bomb, row + row))
        assert (refusal.code, "document type" in refusal.en) == ("broken-workbook", True)

    def test_of_a_shared_string_that_is_not_there(self, read_bytes: Read) -> None:
        row = '<row r="1"><c r="A1" t="s"><v>7</v></c></row>'
        refusal = self.refusal(read_bytes, with_shared_strings(f"<sst {NS}></sst>", row))
        assert refusal.code == "broken-workbook"

    def test_of_formulas_without_results(self, read_bytes: Read) -> None:
        refusal = self.refusal(read_bytes, workbook([["a"], ["=1+1"]]))
        assert (refusal.code, refusal.where) == ("formula-without-value", "file row 2")

    def test_of_an_empty_sheet(self, read_bytes: Read) -> None:
        assert self.refusal(read_bytes, workbook([])).code == "empty-file"

    def test_of_cells_left_of_the_header(self, read_bytes: Read) -> None:
        refusal = self.refusal(read_bytes, workbook([[None, "a"], ["x", 1]]))
        assert refusal.code == "cell-outside-header"

    def test_of_merged_headers_by_the_name_they_lack(self, read_bytes: Read) -> None:
        assert self.refusal(read_bytes, workbook([["a", None, "c"], [1, 2, 3]])).code == "empty-header"
