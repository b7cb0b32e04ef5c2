"""What the gateway itself refuses, each with its status, code and words."""

from typing import Any

from edulake.common.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    Problem,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)


class BadTarget(BadRequest):
    code, title_zh, title_en = "bad-target", "请求地址不规范", "The request target is not canonical"


class BadMessage(BadRequest):
    code, title_zh, title_en = "bad-message", "HTTP 报文不规范", "The HTTP message is not acceptable"


class TargetTooLong(Problem):
    status, code, title_zh, title_en = (
        414,
        "target-too-long",
        "请求地址过长",
        "The request target is too long",
    )


class HeadersTooLarge(Problem):
    status, code, title_zh, title_en = 431, "headers-too-large", "请求头过大", "Request headers are too large"


class BodyTimeout(Problem):
    status, code, title_zh, title_en = (
        408,
        "body-timeout",
        "请求内容接收超时",
        "The request body came too slowly",
    )


class MisdirectedHost(Problem):
    status, code, title_zh, title_en = 400, "unknown-host", "未知的主机名", "This host is not served here"


class BadToken(Unauthorized):
    code, title_zh, title_en = "bad-token", "访问令牌无效", "The access token is not valid"

    def __init__(self, *args: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.headers["WWW-Authenticate"] = 'Bearer realm="edulake", error="invalid_token"'


class UnknownApi(NotFound):
    code, title_zh, title_en = "unknown-api", "接口不存在", "No such API"


class NoGrant(Forbidden):
    code, title_zh, title_en = "no-grant", "没有有效的授权", "No valid grant"


class QuotaExceeded(TooManyRequests):
    code, title_zh, title_en = "quota-exceeded", "超出调用额度", "Quota exceeded"


class CallerTooFast(TooManyRequests):
    code, title_zh, title_en = "caller-too-fast", "调用过于频繁", "Calls come too fast"


class IssuerUnknown(Unavailable):
    code, title_zh, title_en = "issuer-keys-unknown", "暂时无法核验令牌", "Tokens cannot be verified now"


class AccessUnknown(Unavailable):
    code, title_zh, title_en = "access-unknown", "暂时无法核验授权", "Access rights cannot be confirmed now"


class VersionsUnknown(Unavailable):
    code, title_zh, title_en = (
        "versions-unknown",
        "暂时无法确认已发布版本",
        "The published versions cannot be confirmed now",
    )


class Stopping(Unavailable):
    code, title_zh, title_en = "stopping", "进程正在停止", "This process is about to end"


class QuotaUnknown(Unavailable):
    code, title_zh, title_en = "quota-unknown", "暂时无法核验额度", "The quota cannot be confirmed now"


class AuditUnavailable(Unavailable):
    code, title_zh, title_en = "audit-unavailable", "审计暂不可写", "The audit record cannot be written now"


class NotPublished(Unavailable):
    code, title_zh, title_en = "not-published", "数据尚未发布", "The data is not published yet"


class UpstreamDown(Unavailable):
    code, title_zh, title_en = "upstream-down", "后端服务暂不可用", "The service behind is not reachable"


class UploadsBusy(Unavailable):
    code, title_zh, title_en = "uploads-busy", "同时上传过多", "Too many uploads at a time"


class UpstreamSlow(Problem):
    status, code, title_zh, title_en = (
        504,
        "upstream-slow",
        "后端服务超时",
        "The service behind did not answer in time",
    )
