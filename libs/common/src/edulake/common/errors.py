"""Problems that carry their own status and words (RFC 9457, `application/problem+json`).

Every text stands in Chinese and English, says what is wrong, where, and how to mend it,
and never holds a personal value. A 5xx means a defect or a lost dependency, never bad input.
"""

from typing import Any, ClassVar

import orjson

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """Something a caller can understand; subclasses fix status, code and title."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title_zh: ClassVar[str] = "系统内部错误"
    title_en: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail_zh: str = "",
        detail_en: str = "",
        *,
        mend_zh: str = "",
        mend_en: str = "",
        where: str | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail_en or self.title_en)
        self.detail_zh = detail_zh
        self.detail_en = detail_en
        self.mend_zh = mend_zh
        self.mend_en = mend_en
        self.where = where
        self.headers = headers or {}
        self.extra = extra

    def document(self, trace_id: str) -> dict[str, Any]:
        """The problem as a JSON-ready mapping; members without a value are left out."""
        members = {
            "type": f"urn:edulake:problem:{self.code}",
            "title": f"{self.title_zh} / {self.title_en}",
            "status": self.status,
            "detail": _both(self.detail_zh, self.detail_en),
            "mend": _both(self.mend_zh, self.mend_en),
            "where": self.where,
            "trace_id": trace_id,
            **self.extra,
        }
        return {name: value for name, value in members.items() if value not in (None, "")}


def _both(chinese: str, english: str) -> str:
    return " / ".join(text for text in (chinese, english) if text)


def problem_body(problem: Problem, trace_id: str) -> bytes:
    """The problem as bytes, for code that answers without a framework."""
    return orjson.dumps(problem.document(trace_id), default=str)


class BadRequest(Problem):
    status, code, title_zh, title_en = 400, "bad-request", "请求有误", "Bad request"


class Unauthorized(Problem):
    status, code, title_zh, title_en = 401, "unauthorized", "未通过身份验证", "Not authenticated"

    def __init__(self, *args: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.headers.setdefault("WWW-Authenticate", "Bearer")


class Forbidden(Problem):
    status, code, title_zh, title_en = 403, "forbidden", "无权访问", "Not allowed"


class NotFound(Problem):
    status, code, title_zh, title_en = 404, "not-found", "未找到", "Not found"


class MethodNotAllowed(Problem):
    status, code, title_zh, title_en = 405, "method-not-allowed", "不支持该方法", "Method not allowed"


class Conflict(Problem):
    status, code, title_zh, title_en = 409, "conflict", "与现有状态冲突", "Conflicts with the present state"


class TooLarge(Problem):
    status, code, title_zh, title_en = 413, "too-large", "内容过大", "Too large"


class UnsupportedMedia(Problem):
    status, code, title_zh, title_en = 415, "unsupported-media", "不支持的格式", "Unsupported format"


class Unprocessable(Problem):
    status, code, title_zh, title_en = 422, "unprocessable", "内容无法处理", "Content cannot be processed"


class TooManyRequests(Problem):
    status, code, title_zh, title_en = 429, "too-many-requests", "请求过多", "Too many requests"


class Unavailable(Problem):
    status, code, title_zh, title_en = 503, "unavailable", "服务暂时不可用", "Temporarily unavailable"

    def __init__(self, *args: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.headers.setdefault("Retry-After", "2")
