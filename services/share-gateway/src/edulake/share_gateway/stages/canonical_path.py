"""One spelling for every address, decided before anything is routed.

A gateway that checks one spelling and forwards another is open (Envoy CVE-2021-29492, APISIX
CVE-2021-43557, Traefik CVE-2025-32431). So nothing is normalised here: a target that is not
already in its only canonical spelling is refused with 400, and what passes is forwarded byte for
byte. Refused: dot segments, empty segments, `\\ ; #`, encoded delimiters or controls (`%2f %5c %00
%25 …`), an escape of a character that needs none, bad UTF-8, and reserved first segments in
another case or in look-alike letters.
"""

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.problems import BadTarget, TargetTooLong, UnknownApi

PATH_MAX_BYTES = 2048
QUERY_MAX_BYTES = 8192
#: First path segments that belong to a service or to the data plane.
RESERVED = frozenset(
    [
        "share",
        "api",
        "internal",
        "events",
        "oauth",
        ".well-known",
        "login",
        "logout",
        "dev-issuer",
        "livez",
        "readyz",
        "metrics",
    ]
)
#: What nearly every honest target looks like; anything else takes the careful way.
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?|/")
_SEGMENT = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+")
_QUERY = re.compile(rb"(?:[!\"$&-\[\]-~]|%[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_FORBIDDEN = frozenset(b"/\\;#%?") | frozenset(range(0x20)) | {0x7F}
_FORBIDDEN_LETTERS = frozenset("/\\;#%?")
_RESERVED_BYTES = frozenset(word.encode() for word in RESERVED)


def canonical_path(x: Exchange) -> None:
    """Set `x.path` (ASCII, as sent) and `x.query` (bytes, as sent), or refuse."""
    raw: bytes = x.scope["raw_path"]
    query: bytes = x.scope["query_string"]
    if len(raw) > PATH_MAX_BYTES or len(query) > QUERY_MAX_BYTES:
        raise TargetTooLong("地址超过长度上限", "the path or the query is too long")
    if not _PLAIN.fullmatch(raw):
        _examine(raw)
    first = raw[1:].partition(b"/")[0]
    if first and first not in _RESERVED_BYTES:
        _refuse_look_alike(first)
    if query and not _query_is_plain(query):
        raise BadTarget(
            "查询串含有不允许的字符", "the query holds a character that is not allowed", where="query"
        )
    x.path = raw.decode("ascii")
    x.query = query


def _examine(raw: bytes) -> None:
    if raw[:1] != b"/":
        raise _refuse("must begin with a slash")
    segments = raw[1:].split(b"/")
    if segments[-1] == b"":
        segments.pop()
    for segment in segments:
        _examine_segment(segment)


def _examine_segment(segment: bytes) -> None:
    if not _SEGMENT.fullmatch(segment):
        raise _refuse("empty segment or a character that is not allowed")
    for escape in _ESCAPE.findall(segment):
        byte = int(escape, 16)
        if byte in _FORBIDDEN or byte in _UNRESERVED:
            raise _refuse("an escape that is not allowed")
    try:
        plain = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise _refuse("not UTF-8") from None
    folded = unicodedata.normalize("NFKC", plain)
    if set(folded) <= {".", " "} or not _FORBIDDEN_LETTERS.isdisjoint(folded):
        raise _refuse("a dot segment or a look-alike of a delimiter")
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") for letter in plain):
        raise _refuse("an invisible character")


def _refuse_look_alike(segment: bytes) -> None:
    """`/API/…`, `/api./…`, `/ａｐｉ/…`: no second spelling of a reserved word goes anywhere."""
    plain = unquote_to_bytes(segment).decode("utf-8")
    folded = unicodedata.normalize("NFKC", plain).casefold().strip(" .")
    if (folded in RESERVED or f".{folded}" in RESERVED) and plain not in RESERVED:
        raise UnknownApi("地址不存在", "no such address")


def _query_is_plain(query: bytes) -> bool:
    if not _QUERY.fullmatch(query):
        return False
    if b"%" not in query:
        return True
    plain = unquote_to_bytes(query)
    if any(byte < 0x20 or byte == 0x7F for byte in plain):
        return False
    try:
        plain.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse(reason: str) -> BadTarget:
    return BadTarget(
        "请求地址不是规范写法",
        reason,
        mend_zh="使用接口文档中的地址原样调用",
        mend_en="use the address exactly as documented",
        where="path",
    )
