"""A form that carries a file, read as it arrives: the small fields first, then the file piece by piece.

The session's token stands before the file, so that a form of others is refused before its file is taken.
No piece is kept: what the browser sends goes on to ingest at the pace ingest takes it.
"""

import secrets
from collections import deque
from collections.abc import AsyncIterator

from edulake.common.errors import BadRequest, UnsupportedMedia
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

FILE_FIELD = "file"
FIELD_MAX_BYTES = 2000
PARTS_MAX = 20


class Upload:
    """One multipart body. `fields` holds what came before the file; `filename` is empty without one."""

    def __init__(self, request: Request) -> None:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise UnsupportedMedia("表单应带文件上传", "expected multipart/form-data")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._stream = request.stream()
        self._pieces: deque[bytes] = deque()
        self._is_complete = False
        self._parts = 0
        self._name = ""
        self._value = b""
        self._header: list[bytes] = [b"", b""]
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": lambda data, start, end: self._on_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._on_header(1, data[start:end]),
                "on_header_end": self._on_header_end,
                "on_part_data": lambda data, start, end: self._on_data(data[start:end]),
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    async def read_fields(self) -> None:
        """Read on until the file begins or the form ends. Raises BadRequest when it breaks off."""
        while self.filename is None and not self._is_complete:
            await self._read()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file. Raises BadRequest when the form breaks off, so that no half file goes on as whole."""
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self._is_complete:
                return
            await self._read()

    async def skip(self) -> None:
        """Take the rest and forget it: a browser hears the answer only after it has sent everything."""
        async for _ in self.pieces():
            pass

    async def _read(self) -> None:
        try:
            chunk = await anext(self._stream, b"")
        except ClientDisconnect:
            chunk = b""
        if not chunk:
            raise _broken("上传中断，文件没有收完", "the upload broke off")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _broken("表单无法读取", "the form cannot be read") from error

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise _broken("表单内容过多", "too many parts")
        self._name, self._value = "", b""

    def _on_header(self, side: int, data: bytes) -> None:
        self._header[side] += data

    def _on_header_end(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == FILE_FIELD:
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")

    def _on_data(self, data: bytes) -> None:
        if self._name == FILE_FIELD:
            self._pieces.append(data)
            return
        self._value += data
        if len(self._value) > FIELD_MAX_BYTES:
            raise _broken("表单内容过长", "a field is too long")

    def _on_part_end(self) -> None:
        if self._name != FILE_FIELD and self.filename is None:
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._is_complete = True


class Onward:
    """The same file as a form for ingest: `period`, then `file`."""

    def __init__(self, upload: Upload, period: str) -> None:
        self._upload = upload
        self._period = period
        self._boundary = secrets.token_hex(16)

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._part("period") + self._period.encode() + b"\r\n"
        name = (self._upload.filename or "").replace("\r", " ").replace("\n", " ").replace('"', "%22")
        yield self._part(f'{FILE_FIELD}"; filename="{name}')
        async for piece in self._upload.pieces():
            yield piece
        yield f"\r\n--{self._boundary}--\r\n".encode()

    def _part(self, name: str) -> bytes:
        return f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()


def _broken(zh: str, en: str) -> BadRequest:
    return BadRequest(zh, en, mend_zh="返回上一页重新上传；重复上传不会产生重复批次", mend_en="send it again")
