"""A query string becomes a call: decoded strictly, every parameter known, once, and within its bounds.

Nothing is guessed: an unknown or empty parameter is an error, because leaving a filter out would widen
the answer without a word. No error repeats a value, which may be personal.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import unquote_to_bytes

from edulake.common.errors import BadRequest
from edulake.common.gm import KeyRing
from edulake.share_gateway.engine.definition import CompiledApi, Param
from edulake.share_gateway.engine.pages import Position, open_token

MAX_QUERY_BYTES = 8192
MAX_ITEMS = 50
_ENCODED = re.compile(rb"(?:[^%\x00-\x20\x7f-\xff]|%[0-9A-Fa-f]{2})*")
_PLAIN = re.compile(rb"[0-9A-Za-z._~,:-]*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")

Value = str | int | bool | date
Values = Mapping[str, Value | tuple[Value, ...]]


class BadParameter(BadRequest):
    code, title_zh, title_en = "bad-parameter", "查询参数有误", "Bad query parameter"


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of an API. Equal questions have equal `key`s and no others."""

    key: bytes
    values: Values
    limit: int
    after: Position | None


def read_call(api: CompiledApi, raw_query: bytes, ring: KeyRing) -> Call:
    """The call a query string makes; BadParameter (400) says which parameter is wrong and why."""
    given = _split(raw_query)
    if not api.names.issuperset(given):
        raise _bad(None, "有不认识的参数", "a parameter is not known to this API")
    for name in api.required:
        if name not in given:
            raise _bad(name, "缺少必填参数", "a required parameter is missing")
    values = {param.name: _value(param, given[param.name]) for param in api.params if param.name in given}
    limit = _limit(api, given.get("limit"))
    question = _question(api, values)
    token = given.get("cursor")
    after = open_token(ring, question, token) if token is not None else None
    return Call(question + _prefixed(str(limit), token or ""), values, limit, after)


def record_of(api: CompiledApi, call: Call) -> bytes:
    """What stands for the record that was asked for: the API's name and the parameters alone, so that it is
    the same in every version of the API and on every page."""
    return _parameters(api.name, call.values)


def records_of(api: CompiledApi, values: Mapping[str, str]) -> list[bytes]:
    """What stands for the records that these key values name, one of each group of `record_keys` that is whole:
    the same whichever API over the dataset answered them."""
    return [
        _prefixed(api.dataset, *(part for name in group for part in (name, values[name])))
        for group in api.record_keys
        if values.keys() >= set(group)
    ]


def key_values(api: CompiledApi, raw_query: bytes) -> dict[str, str] | None:
    """The values of exactly one whole group of `record_keys`, by the names of its columns; None for other questions."""
    given = _split(raw_query)
    return given if any(set(given) == set(group) for group in api.record_keys) else None


def keys_named(api: CompiledApi, call: Call) -> dict[str, str]:
    """The columns of which the call names the one value, in the texts that Postgres gives them."""
    fixed = {
        param.column: call.values[param.name]
        for param in api.params
        if param.op == "eq" and param.name in call.values
    }
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fixed.items()
    }


def question_of(api: CompiledApi, call: Call) -> bytes:
    """What a page token of this call is bound to: the API and the parameters, not the page."""
    return _question(api, call.values)


def _split(raw: bytes) -> dict[str, str]:
    if len(raw) > MAX_QUERY_BYTES:
        raise _bad(None, "查询串过长", f"the query is longer than {MAX_QUERY_BYTES} bytes")
    given: dict[str, str] = {}
    for part in raw.split(b"&"):
        if not part:
            continue
        name, equals, value = part.partition(b"=")
        decoded = _decode(name)
        if not equals or decoded in given:
            raise _bad(None, "参数须为 名称=值 且只出现一次", "write each parameter as name=value, once")
        given[decoded] = _decode(value)
    return given


def _decode(raw: bytes) -> str:
    if _PLAIN.fullmatch(raw):  # by far the most: nothing to decode, nothing to refuse
        return raw.decode("ascii")
    if not _ENCODED.fullmatch(raw):
        raise _bad(None, "查询串编码不合规", "the query is not percent-encoded")
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise _bad(None, "查询串不是 UTF-8", "the query is not UTF-8") from None
    if _CONTROL.search(text):
        raise _bad(None, "查询串含控制字符", "the query holds control characters")
    return text


def _value(param: Param, text: str) -> Value | tuple[Value, ...]:
    if not text:
        raise _bad(param.name, "参数值为空", "the value is empty; leave the parameter out instead")
    if len(text) > param.max_length:
        raise _bad(param.name, f"超过 {param.max_length} 个字符", f"more than {param.max_length} characters")
    if param.pattern is not None and not param.pattern.fullmatch(text):
        raise _bad(param.name, "格式不符", "the value does not have the form described")
    if param.op != "in":
        return _item(param, text)
    items = text.split(",")
    if len(items) > MAX_ITEMS:
        raise _bad(param.name, f"最多 {MAX_ITEMS} 个值", f"at most {MAX_ITEMS} values")
    return tuple(sorted({_item(param, item) for item in items}, key=str))


def _item(param: Param, text: str) -> Value:
    if param.codes is not None and text not in param.codes:
        raise _bad(param.name, "不在代码表中", "the value is not a code of the code table")
    try:
        return _READERS[param.type](text)
    except ValueError:
        raise _bad(param.name, f"不是 {param.type}", f"the value is not of type {param.type}") from None


def _string(text: str) -> Value:
    if not text:
        raise ValueError
    return text


def _integer(text: str) -> Value:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError
    return int(text)


def _date(text: str) -> Value:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError
    return date.fromisoformat(text)


def _boolean(text: str) -> Value:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


_READERS: Mapping[str, Callable[[str], Value]] = {
    "string": _string,
    "integer": _integer,
    "date": _date,
    "boolean": _boolean,
}


def _limit(api: CompiledApi, text: str | None) -> int:
    if text is None:
        return api.page_default
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= api.page_max:
        raise _bad("limit", f"应为 1 至 {api.page_max}", f"must be 1 to {api.page_max}")
    return int(text)


def _question(api: CompiledApi, values: Values) -> bytes:
    return _prefixed(api.version) + _parameters(api.name, values)


def _parameters(api: str, values: Values) -> bytes:
    parts = [api]
    for name, value in values.items():
        if isinstance(value, tuple):
            parts += [name, str(len(value)), *map(str, value)]
        else:
            parts += [name, "1", str(value)]
    return _prefixed(*parts)


def _prefixed(*parts: str) -> bytes:
    """The parts, each behind its length in characters: no two lists of parts give the same bytes."""
    return "".join([f"{len(part)}:{part}" for part in parts]).encode()


def _bad(name: str | None, chinese: str, english: str) -> BadParameter:
    return BadParameter(
        chinese,
        english,
        mend_zh="按接口说明改正后重试",
        mend_en="mend it by the API's description and call again",
        where=f"query.{name}" if name else "query",
    )
