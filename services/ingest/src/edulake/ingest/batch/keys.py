"""`Idempotency-Key`: how a source says that two requests are one delivery, or that two alike are two.

Rules: draft-ietf-httpapi-idempotency-key-header-07 (the same key with the same content is the first
answer, with other content it is 422). A request whose twin is still on its way waits for it instead of
being refused with 409, so a sender needs no second try.
"""

import re

from edulake.common.errors import BadRequest, Unprocessable

KEY_MAX = 255
#: Printable ASCII; what a string of a structured header (RFC 9651) escapes is left out.
_KEY = re.compile(rf"[!#-\[\]-~]{{1,{KEY_MAX}}}")


class BadKey(BadRequest):
    code, title_zh, title_en = (
        "bad-idempotency-key",
        "Idempotency-Key 有误",
        "Idempotency-Key is not well-formed",
    )


class KeyReused(Unprocessable):
    code, title_zh, title_en = (
        "idempotency-key-reused",
        "该键已用于另一份报送",
        "The key names another delivery",
    )


def read_key(field: str | None) -> str | None:
    """The key of a request's header field, quoted as the draft has it or bare; None without one. Raises BadKey."""
    if field is None:
        return None
    given = field.strip()
    key = given[1:-1] if len(given) >= 2 and given[0] == given[-1] == '"' else given
    if not _KEY.fullmatch(key):
        raise BadKey(
            f"Idempotency-Key 应为 1–{KEY_MAX} 个可见 ASCII 字符，不含空格、引号和反斜线",
            f"Idempotency-Key is 1-{KEY_MAX} visible ASCII characters without blanks, quotes or backslashes",
            mend_zh="为每份报送生成一个新的 UUID，重试时使用同一个",
            mend_en="make a new UUID for each delivery and use the same one to try again",
            where="header.idempotency-key",
        )
    return key


def refuse_reused(batch_id: str) -> KeyReused:
    """What to say when a key comes with another content than that of the batch it made."""
    return KeyReused(
        f"该 Idempotency-Key 已用于批次 {batch_id}，其数据集、期次或内容与本次不同",
        f"this Idempotency-Key made batch {batch_id}, of another dataset, period or content",
        mend_zh="新的报送请使用新的键；重试请发送原来的内容",
        mend_en="use a new key for a new delivery; send the former content to try again",
        where="header.idempotency-key",
        batch_id=batch_id,
    )
