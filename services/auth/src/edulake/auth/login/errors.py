"""Why a login did not come about; shown as a page, because a person stands before it."""

from typing import ClassVar


class LoginRefused(Exception):
    """`reason` is a constant word for the log; the texts are for the person and hold no value."""

    status: ClassVar[int] = 400
    title_zh: ClassVar[str] = "登录未完成"
    title_en: ClassVar[str] = "Login was not completed"

    def __init__(self, reason: str, detail_zh: str, detail_en: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail_zh = detail_zh
        self.detail_en = detail_en


class BadResponse(LoginRefused):
    """The answer in the address does not belong to a login this browser began."""


class NotBelieved(LoginRefused):
    """The provider's token is not believed."""

    status = 401
    title_zh, title_en = "身份未通过验证", "The identity was not verified"


class NotAdmitted(LoginRefused):
    """The person is known and not let in."""

    status = 403
    title_zh, title_en = "尚未获准使用", "Not admitted"


class TooManyStarts(LoginRefused):
    status = 429
    title_zh, title_en = "登录请求过多", "Too many logins were begun"


class ProviderDown(LoginRefused):
    """The provider does not answer, or answers what it should not."""

    status = 503
    title_zh, title_en = "统一认证暂时不可用", "The identity provider is not available"


def provider_down(reason: str) -> ProviderDown:
    return ProviderDown(reason, "请稍后重新登录。", "Please try again shortly.")


def not_believed(reason: str) -> NotBelieved:
    return NotBelieved(
        reason,
        "统一认证返回的身份信息未通过安全校验，本次登录已终止。",
        "What the identity provider sent did not pass the security checks; this login was ended.",
    )


def bad_response(reason: str) -> BadResponse:
    return BadResponse(
        reason,
        "登录链接已失效、已被使用，或不是由本浏览器发起。",
        "The login link has expired, was used before, or was not begun in this browser.",
    )
