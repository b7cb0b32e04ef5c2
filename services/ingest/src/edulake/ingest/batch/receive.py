"""Receiving: the body goes to a staged file while it arrives; nothing incomplete goes on."""

import asyncio
import errno
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from edulake.common.errors import BadRequest, UnsupportedMedia
from edulake.common.gm import sm3_hex
from edulake.ingest.batch.multipart import Form, FormReader, too_large
from edulake.ingest.batch.problems import (
    MissingPart,
    NotMultipart,
    Stalled,
    StorageFull,
    Truncated,
    refused,
)
from edulake.ingest.settings import IngestSettings
from edulake.ingest.source.readers.limits import Refusal
from edulake.ingest.source.readers.lines import flat, parse_exact
from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

#: What surrounds the file in a multipart body: boundaries, headers, small fields.
FORM_SLACK_BYTES = 64 << 10


@dataclass(frozen=True)
class Staged:
    """A delivery on this machine's disk: its bytes, how they are named, and their SM3 (hex).

    `is_push`: some rows of a period, that add to what the source sent before; a file is all of it.
    `confirm_rows`: how many rows the source says the file has, so that it need not be asked about their number.
    """

    path: Path
    filename: str
    digest: str
    size_bytes: int
    period: str
    is_push: bool = False
    confirm_rows: int | None = None


@asynccontextmanager
async def staging(settings: IngestSettings) -> AsyncIterator[Path]:
    """A folder for one delivery, gone afterwards; a full disk becomes a problem."""
    folder = settings.staging / uuid4().hex
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, mode=0o700)
        yield folder
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise StorageFull(
                "存储空间不足，未接收", "no room to store the delivery", headers={"Retry-After": "60"}
            ) from error
        raise
    finally:
        await asyncio.to_thread(discard, folder)


def discard(folder: Path) -> None:
    """Remove a staging folder and the files in it."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        folder.rmdir()


async def receive_file(request: Request, folder: Path, settings: IngestSettings) -> Staged:
    """Stream the multipart body of `request` to disk. Raises a problem for anything incomplete."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise NotMultipart(
            "请用 multipart/form-data 上传 file 与 period",
            "upload `file` and `period` as multipart/form-data",
            where="header.content-type",
        )
    target = folder / "original"
    reader = FormReader(options[b"boundary"], target, settings.upload_max_bytes)
    try:
        async for chunk in bounded(request, settings, settings.upload_max_bytes + FORM_SLACK_BYTES):
            reader.feed(chunk)
        if not await asyncio.to_thread(reader.finish):
            raise _truncated("缺少结束边界", "the closing boundary is missing")
    finally:
        reader.close()
    return _staged(target, reader.form)


def _staged(path: Path, form: Form) -> Staged:
    if form.filename is None:
        raise MissingPart("缺少 file 部分", "the part `file` is missing", where="form.file")
    if "period" not in form.fields:
        raise MissingPart("缺少 period 部分", "the part `period` is missing", where="form.period")
    return Staged(
        path,
        form.filename,
        form.digest,
        form.size_bytes,
        form.fields["period"],
        confirm_rows=_count_of(form.fields.get("confirm_rows")),
    )


def _count_of(field: str | None) -> int | None:
    """A number of rows that a source states. Raises MissingPart."""
    if field is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", field):
        raise MissingPart(
            "confirm_rows 应为这份文件的行数，如 2728",
            "confirm_rows is the file's number of rows, such as 2728",
            where="form.confirm_rows",
        )
    return int(field)


async def bounded(request: Request, settings: IngestSettings, max_bytes: int) -> AsyncIterator[bytes]:
    """The body piece by piece, within bytes and time, and exactly as long as it said it would be."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large(settings.upload_max_bytes)
    received = 0
    stream = request.stream()
    deadline = asyncio.get_running_loop().time() + settings.upload_total_s
    while chunk := await _next(stream, settings, deadline):
        received += len(chunk)
        if received > max_bytes:
            raise too_large(settings.upload_max_bytes)
        yield chunk
    if declared.isdigit() and int(declared) != received:
        raise _truncated(
            f"声明 {declared} 字节，收到 {received} 字节", f"{declared} bytes declared, {received} received"
        )


async def _next(stream: AsyncIterator[bytes], settings: IngestSettings, deadline: float) -> bytes:
    """The next piece that holds something, or b"" at the end."""
    left_s = deadline - asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(min(settings.upload_idle_s, left_s)):
            async for chunk in stream:
                if chunk:
                    return chunk
    except TimeoutError:
        raise Stalled(
            f"{settings.upload_idle_s:g} 秒没有收到数据，或总时间超过 {settings.upload_total_s:g} 秒",
            "nothing arrived for too long, or the upload took too long",
            mend_zh="检查网络后重新上传；重复上传不会产生重复批次",
            mend_en="upload again; a repeated upload makes no second batch",
            headers={"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise _truncated("连接中断", "the connection was lost") from None
    return b""


def _truncated(zh: str, en: str) -> Truncated:
    return Truncated(
        zh,
        en,
        mend_zh="重新上传整个文件；重复上传不会产生重复批次",
        mend_en="upload the whole file again; a repeated upload makes no second batch",
        where="body",
    )


async def receive_rows(request: Request, folder: Path, settings: IngestSettings) -> Staged:
    """Stage pushed rows `{"period": …, "rows": [{…}]}` as canonical JSONL, the same way a file goes."""
    kind, _ = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"application/json":
        raise UnsupportedMedia(
            "应为 application/json", "expected application/json", where="header.content-type"
        )
    body = bytearray()
    async for chunk in bounded(request, settings, settings.push_max_bytes):
        body += chunk
    return await asyncio.to_thread(_stage_rows, bytes(body), folder / "original", settings.push_rows_max)


def _stage_rows(body: bytes, target: Path, rows_max: int) -> Staged:
    document = _document(body)
    rows = document["rows"]
    if len(rows) > rows_max:
        raise refused(
            Refusal("too-many-rows", f"超过 {rows_max} 行", f"more than {rows_max} rows", where="body.rows")
        )
    try:
        lines = [
            json.dumps(flat(row, f"body.rows.{index}"), ensure_ascii=False, sort_keys=True)
            for index, row in enumerate(rows)
        ]
    except Refusal as refusal:
        raise refused(refusal) from refusal
    content = "".join(line + "\n" for line in lines).encode()
    target.write_bytes(content)
    return Staged(target, "rows.jsonl", sm3_hex(content), len(content), document["period"], is_push=True)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = parse_exact(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("不是合法的 JSON", "not valid JSON", where="body") from error
    if not isinstance(document, dict) or set(document) != {"period", "rows"}:
        raise MissingPart("应为 {period, rows}", "expected exactly {period, rows}", where="body")
    if not isinstance(document["rows"], list) or not document["rows"]:
        raise MissingPart("rows 应为非空数组", "rows must be a non-empty array", where="body.rows")
    if not isinstance(document["period"], str):
        raise MissingPart("period 应为文本", "period must be text", where="body.period")
    return document
