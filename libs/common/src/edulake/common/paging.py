"""Keyset pages: a cursor names the last row seen, so pages neither skip nor repeat rows.

A cursor is signed: a caller cannot make one up to reach a row or a column it may not use.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import orjson
from edulake.common.errors import BadRequest
from edulake.common.gm import hmac_sm3
from fastapi import Query
from pydantic import BaseModel

Limit = Annotated[int, Query(ge=1, le=200, description="每页条数 / rows a page")]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="上一页返回的 next / `next` of the last page")
]


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page; `next` is absent on the last."""

    items: list[T]
    next: str | None = None


class BadCursor(BadRequest):
    code, title_zh, title_en = "bad-cursor", "分页游标无效", "Invalid page cursor"


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac_sm3(key, b"cursor:" + body)[:16]


def encode_cursor(values: list[Any], key: bytes) -> str:
    """Sign the sort values of a page's last row."""
    body = orjson.dumps(values, default=_plain)
    return base64.urlsafe_b64encode(_mac(body, key) + body).decode().rstrip("=")


def decode_cursor(cursor: str, key: bytes, *read: Callable[[Any], Any]) -> list[Any]:
    """The sort values of a cursor, each through its reader; BadCursor when it is not ours or another list's."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (ValueError, binascii.Error):
        raw = b""
    mac, body = raw[:16], raw[16:]
    if not body or not hmac.compare_digest(mac, _mac(body, key)):
        raise _bad("游标不是本系统签发的", "this cursor was not issued here")
    try:
        return [one(value) for one, value in zip(read, orjson.loads(body), strict=True)]
    except (TypeError, ValueError) as error:
        raise _bad("游标属于另一个列表或另一种排序", "the cursor is of another list or order") from error


def _bad(chinese: str, english: str) -> BadCursor:
    return BadCursor(
        chinese,
        english,
        mend_zh="从第一页重新开始",
        mend_en="start again from the first page",
        where="query.cursor",
    )


def page_of(rows: list[T], limit: int, sort_values: Any, key: bytes) -> Page[T]:
    """Cut `limit + 1` fetched rows into a page; `sort_values(row)` gives the last row's sort values."""
    more = len(rows) > limit
    kept = rows[:limit]
    return Page(items=kept, next=encode_cursor(sort_values(kept[-1]), key) if more else None)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
