"""A multipart form read as it arrives: one file goes to disk, small fields stay in memory."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from edulake.common.gm import Sm3
from edulake.ingest.batch.problems import BadForm, MissingPart, UploadTooLarge
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

FILE_FIELD = "file"
FIELD_MAX_BYTES = 1000
PARTS_MAX = 20
NAME_MAX_CHARS = 200


@dataclass
class Form:
    """What arrived: the file's name, size in bytes and SM3 (hex), and the other fields."""

    filename: str | None = None
    size_bytes: int = 0
    digest: str = ""
    fields: dict[str, str] = field(default_factory=dict)


class FormReader:
    """Feeds a streaming parser; the file part is written to `target` and digested on its way."""

    def __init__(self, boundary: bytes, target: Path, max_bytes: int) -> None:
        self.form = Form()
        self._max_bytes = max_bytes
        self._file: IO[bytes] = target.open("wb")
        self._hash = Sm3()
        self._is_complete = False
        self._parts = 0
        self._header: list[bytes] = [b"", b""]
        self._name = ""
        self._value = b""
        self._write: Callable[[bytes], None] = self._write_field
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": lambda data, start, end: self._on_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._on_header(1, data[start:end]),
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": lambda data, start, end: self._write(data[start:end]),
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Take what arrived; raises BadForm, UploadTooLarge, or OSError when the disk is full."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadForm("multipart 格式有误", "the multipart body is malformed") from error

    def finish(self) -> bool:
        """Flush to the disk; False when the closing boundary never came."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self.form.digest = self._hash.digest().hex()
        return self._is_complete

    def close(self) -> None:
        self._file.close()

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise BadForm("表单部分过多", f"more than {PARTS_MAX} parts")
        self._name, self._value, self._header = "", b"", [b"", b""]

    def _on_header(self, side: int, data: bytes) -> None:
        self._header[side] += data

    def _on_header_end(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == FILE_FIELD and b"filename" in options:
            if self.form.filename is not None:
                raise BadForm("一次只能报送一个文件", "one file at a time", where="form.file")
            self.form.filename = plain_name(options[b"filename"].decode("utf-8", "replace"))

    def _on_headers_finished(self) -> None:
        is_file = self._name == FILE_FIELD
        if is_file and self.form.filename is None:
            raise MissingPart("file 部分没有文件名", "the file part has no filename", where="form.file")
        self._write = self._write_file if is_file else self._write_field

    def _write_file(self, data: bytes) -> None:
        self.form.size_bytes += len(data)
        if self.form.size_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        self._hash.update(data)
        self._file.write(data)

    def _write_field(self, data: bytes) -> None:
        self._value += data
        if len(self._value) > FIELD_MAX_BYTES:
            raise BadForm("表单字段过长", "a form field is too long", where="form")

    def _on_part_end(self) -> None:
        if self._name and self._name != FILE_FIELD:
            self.form.fields[self._name] = self._value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._is_complete = True


def plain_name(name: str) -> str:
    """A file name without folders and control characters, for showing only."""
    bare = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(character for character in bare if character.isprintable())[:NAME_MAX_CHARS] or "unnamed"


def too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"超过上限 {max_bytes} 字节",
        f"larger than {max_bytes} bytes",
        mend_zh="按期次或区拆分后报送",
        mend_en="split it by period or district",
        where="form.file",
    )
