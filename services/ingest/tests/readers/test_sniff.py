"""What a file is, told by its bytes."""

import tempfile
from pathlib import Path

import pytest
from edulake.ingest.source.readers.limits import Refusal
from edulake.ingest.source.readers.sniff import CHUNK_BYTES, encoding_of, format_of
from hypothesis import given, settings
from hypothesis import strategies as st

#: GB 2312 hanzi, which is what names and schools are written in.
HANZI = st.text(
    st.integers(0xB0A1, 0xF7FE)
    .filter(lambda code: 0xA1 <= code & 0xFF <= 0xFE and not 0xD7FA <= code <= 0xD7FE)
    .map(lambda code: code.to_bytes(2, "big").decode("gb2312")),
    min_size=3,
    max_size=40,
)


def told(content: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes(content)
        return encoding_of(path)


class TestEncoding:
    @given(HANZI)
    @settings(max_examples=60, deadline=None)
    def test_of_chinese_text_is_never_mistaken(self, text: str) -> None:
        assert told(text.encode()) == "utf-8"
        assert told(text.encode("utf-8-sig")) == "utf-8-sig"
        found = told(text.encode("gb18030"))
        # Few bytes can be valid in both; then UTF-8 reads them without loss as well.
        assert found == "gb18030" or text.encode("gb18030").decode("utf-8")

    def test_of_plain_ascii_is_utf_8(self) -> None:
        assert told(b"a,b\n1,2\n") == "utf-8"

    @pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
    def test_holds_where_a_character_is_cut_by_the_piece(self, encoding: str) -> None:
        for shift in range(4):
            text = "x" * (CHUNK_BYTES - 2 + shift - 2) + "上海市求真中学" * 3
            assert told(text.encode(encoding)) == encoding

    def test_of_a_file_that_ends_inside_a_character_is_refused(self) -> None:
        with pytest.raises(Refusal) as refused:
            told("上海市求真中学,宝山区".encode()[:-1])
        assert refused.value.code == "unsupported-encoding"


class TestFormat:
    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"a,b\n", "csv"),
            (b"\xef\xbb\xbfa,b\n", "csv"),
            (b'{"a": 1}', "jsonl"),
            (b'\xef\xbb\xbf\n {"a": 1}', "jsonl"),
            (b"PK\x03\x04", "xlsx"),
        ],
    )
    def test_is_told_by_the_bytes(self, tmp_path: Path, content: bytes, kind: str) -> None:
        path = tmp_path / "f"
        path.write_bytes(content)
        assert format_of(path) == kind
