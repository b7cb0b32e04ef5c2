"""Lists as CSV files for spreadsheets: streamed page by page, and no cell can start a formula.

A cell of ours that a spreadsheet would run (OWASP, CSV injection) is led by an apostrophe.
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

from edulake.portal.clients.reply import Reply
from edulake.portal.desk import Desk
from edulake.portal.rendering import HEADERS
from fastapi import Response
from fastapi.responses import StreamingResponse

PAGE_ROWS = 200
#: Full-width signs too: some spreadsheets read them as plain ones.
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
Columns = Mapping[str, Callable[[dict[str, Any]], Any]]


def safe(value: Any) -> str:
    """A cell as text; numbers stay numbers, what could run as a formula does not."""
    text = "" if value is None else str(value)
    is_number = isinstance(value, int | float)
    return f"'{text}" if text.lstrip(" ").startswith(_STARTS_A_FORMULA) and not is_number else text


def line(cells: list[Any]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerow([safe(cell) for cell in cells])
    return written.getvalue().encode()


async def export(
    desk: Desk, service: str, path: str, query: Mapping[str, Any], columns: Columns, name: str, noun: str
) -> Response:
    """The whole list with its filters as a file, at most `export_rows` lines; a trouble as a page."""
    first = await desk.get(service, path, **query, limit=PAGE_ROWS)
    if first.trouble:
        return desk.trouble_page(first, noun)

    async def following(cursor: str) -> Reply:
        return await desk.get(service, path, **query, limit=PAGE_ROWS, cursor=cursor)

    headers = {**HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.csv"}
    body = _lines(first, following, columns, desk.settings.export_rows)
    return StreamingResponse(body, media_type="text/csv; charset=utf-8", headers=headers)


async def _lines(
    page: Reply, following: Callable[[str], Any], columns: Columns, rows_max: int
) -> AsyncIterator[bytes]:
    yield b"\xef\xbb\xbf" + line(list(columns))  # the mark by which spreadsheets know UTF-8
    left = rows_max
    while True:
        items = page.data["items"][:left]
        yield b"".join(line([cell(item) for cell in columns.values()]) for item in items)
        left -= len(items)
        if not page.data["next"]:
            return
        if left <= 0:
            yield line([f"只导出前 {rows_max} 行，请缩小筛选范围后再导出"])
            return
        page = await following(page.data["next"])
        if page.trouble:
            yield line([f"导出中断：{page.trouble.title}，以上不是全部内容"])
            return
