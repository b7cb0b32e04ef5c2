"""What a delivered file is: told by its bytes, never by its name alone, and never by guessing."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edulake.ingest.source.readers.limits import Refusal

Format = Literal["csv", "xlsx", "jsonl"]
Encoding = Literal["utf-8", "utf-8-sig", "gb18030"]
CHUNK_BYTES = 1 << 20
#: First bytes of things people deliver by mistake, with what they are called.
STRANGERS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "旧版 .xls 或加密的 Office 文件",
        "an old .xls or an encrypted file",
    ),
    (b"%PDF", "PDF", "a PDF"),
    (b"\x1f\x8b", "gzip 压缩包", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z 压缩包", "a 7z archive"),
    (b"Rar!", "RAR 压缩包", "a RAR archive"),
    (b"PAR1", "Parquet", "a Parquet file"),
    (b"SQLite format 3", "SQLite 数据库", "a SQLite database"),
    (b"\x89PNG", "图片", "a picture"),
    (b"\xff\xd8\xff", "图片", "a picture"),
)
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
#: Below this share of GB 2312 characters a text that only GB18030 can decode is something else
#: (Big5, Latin-1, noise): real Chinese text is over 97 %.
GB2312_MIN_SHARE = 0.7
SPACES = b" \t\r\n"


def format_of(path: Path) -> Format:
    """The format of a file, by its bytes alone: the same bytes are always read the same way."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.removeprefix(codecs.BOM_UTF8).strip(SPACES):
        raise Refusal("empty-file", "文件是空的", "the file is empty")
    for magic, zh, en in STRANGERS:
        if head.startswith(magic):
            raise _stranger(zh, en)
    if head.startswith(b"PK"):
        return "xlsx"
    start = head.removeprefix(codecs.BOM_UTF8).lstrip(SPACES)[:1]
    if start == b"[":
        raise _stranger("JSON 数组", "a JSON array")
    return "jsonl" if start == b"{" else "csv"


def _stranger(zh: str, en: str) -> Refusal:
    return Refusal(
        "unsupported-format",
        f"文件内容是{zh}，不能接收",
        f"the file is {en}, which is not accepted",
        "另存为 CSV（UTF-8）、XLSX 或 JSONL（每行一个对象）后再报送",
        "save it as CSV (UTF-8), XLSX or JSONL and deliver again",
    )


def encoding_of(path: Path) -> Encoding:
    """The encoding in which every byte of the text can be read back; Refusal when there is none."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(UTF16_MARKS):
        raise _encoding("UTF-16/UTF-32")
    for chunk in chunks(path):
        if b"\0" in chunk:
            raise Refusal(
                "binary-content",
                "文件含有 NUL 字节：是二进制内容或 UTF-16 文本",
                "the file holds NUL bytes: binary content or UTF-16 text",
                *_MEND,
            )
    if _decodes(path, "utf-8"):
        return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"
    if not _decodes(path, "gb18030") or _gb2312_share(path) < GB2312_MIN_SHARE:
        raise _encoding("UTF-8、GB18030 以外 / neither UTF-8 nor GB18030")
    return "gb18030"


_MEND = ("另存为 UTF-8 编码的 CSV 后再报送", "save it as CSV in UTF-8 and deliver again")


def _encoding(name: str) -> Refusal:
    return Refusal(
        "unsupported-encoding",
        f"文件编码不受支持（{name}）；只接受 UTF-8（可带 BOM）和 GB18030/GBK，且不做有损解码",
        f"unsupported text encoding ({name}); only UTF-8 and GB18030 are read, never with loss",
        *_MEND,
    )


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a mebibyte at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _decodes(path: Path, encoding: str) -> bool:
    """True when the whole file decodes; a replacement character means it was damaged before it came."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        for chunk in chunks(path):
            if "\ufffd" in decoder.decode(chunk):
                raise Refusal(
                    "lossy-text",
                    "文件里有替换字符 U+FFFD：原来的字在导出时已经丢失",
                    "the file holds U+FFFD: characters were lost before it was delivered",
                    "从源系统重新导出（UTF-8）",
                    "export it again from the source system, in UTF-8",
                )
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _gb2312_share(path: Path) -> float:
    """Share of GB 2312 characters among the non-ASCII ones; 1.0 when there are none."""
    decoder = codecs.getincrementaldecoder("gb18030")("strict")
    text = "".join(decoder.decode(chunk) for chunk in _first(path, 4))
    foreign = [character for character in text if character > "\x7f"]
    known = sum(len(character.encode("gb2312", "ignore")) == 2 for character in foreign)
    return known / len(foreign) if foreign else 1.0


def _first(path: Path, count: int) -> Iterator[bytes]:
    for index, chunk in enumerate(chunks(path)):
        if index == count:
            return
        yield chunk
