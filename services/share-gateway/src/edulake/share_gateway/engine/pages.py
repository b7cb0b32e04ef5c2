"""Page tokens: where the next page begins, signed, so that nobody can point one at other rows.

A token holds the data version it was read from, the order it was read in and the number of the last row,
no value of any row, under HMAC-SM3 together with the API and its parameters. Used with another question,
or changed by a bit, it is refused (400). After a new version is published it is refused as well (409): a walk over pages is a
walk over one version, and what was rolled back or withdrawn is not handed out to those already under way.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass

import orjson
from edulake.common.errors import BadRequest, Conflict
from edulake.common.gm import KeyRing, UnknownKey

MAX_TOKEN_LENGTH = 2048
MAC_BYTES = 16
_LABEL = "page-token"


class BadPageToken(BadRequest):
    code, title_zh, title_en = "bad-cursor", "分页令牌无效", "Invalid page token"


class PageExpired(Conflict):
    code, title_zh, title_en = "page-expired", "翻页期间数据已更新", "The data was published anew meanwhile"


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of the page before: its version, the columns it was ordered by, and its number `_n`."""

    version: int
    sort: tuple[str, ...]
    number: int


def make_token(ring: KeyRing, question: bytes, position: Position) -> str:
    """A token for the page after `position`, good for this question only."""
    key = ring.current
    body = orjson.dumps([position.version, position.sort, position.number])
    mac = key.mac(_LABEL).digest(question + b"\0" + body)[:MAC_BYTES]
    return f"{key.kid}.{base64.urlsafe_b64encode(mac + body).rstrip(b'=').decode()}"


def open_token(ring: KeyRing, question: bytes, token: str) -> Position:
    """The position of a token made for this question; BadPageToken (400) for any other text."""
    kid, _, text = token.partition(".")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
        expected = ring.get(kid).mac(_LABEL).digest(question + b"\0" + body)[:MAC_BYTES]
    except (ValueError, binascii.Error, UnknownKey):
        raise bad_token() from None
    if len(token) > MAX_TOKEN_LENGTH or not hmac.compare_digest(mac, expected):
        raise bad_token()
    version, sort, number = orjson.loads(body)
    return Position(version, tuple(sort), number)


def bad_token() -> BadPageToken:
    return BadPageToken(
        "分页令牌不是为这次查询签发的",
        "this page token was not issued for this query",
        mend_zh="去掉 cursor，从第一页重新开始",
        mend_en="leave cursor out and start again from the first page",
        where="query.cursor",
    )


def page_expired(read: int, current: int) -> PageExpired:
    return PageExpired(
        f"数据已从版本 {read} 换为版本 {current}，为避免新旧混杂，须重新翻页",
        f"version {read} was replaced by {current}; pages of two versions are never mixed",
        mend_zh="去掉 cursor，从第一页重新开始",
        mend_en="leave cursor out and start again from the first page",
        where="query.cursor",
        version=current,
    )
