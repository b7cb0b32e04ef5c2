"""Why a login did not come about; shown as a page, because a person stands before it.

Sorted by who can mend it: the person (400, 401, 403, 429), the operator of either side (502, waiting is no
use), or time (503 with Retry-After). The words are constant: nothing that came from outside is repeated.
"""

from typing import ClassVar

#: What a person is asked to wait when the provider says nothing itself.
RETRY_AFTER_S = 10


class LoginRefused(Exception):
    """`reason` is a constant phrase for the log, never a value that somebody sent."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    title_zh: ClassVar[str] = "登录未完成"
    title_en: ClassVar[str] = "Login was not completed"
    detail_zh: ClassVar[str] = ""
    detail_en: ClassVar[str] = ""
    #: Whether logging in again is what to do next.
    again: ClassVar[bool] = True
    #: Whether only the operator can mend it, so that the log says so loudly.
    is_ours: ClassVar[bool] = False

    def __init__(self, reason: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        #: Where the person wanted to go, once the login is known.
        self.return_to = "/"


class BadResponse(LoginRefused):
    """The answer in the address does not belong to a login this browser began."""

    code = "bad-response"
    detail_zh = "登录链接已失效、已被使用，或不是由本浏览器发起。请重新登录。"
    detail_en = (
        "The login link has expired, was used before, or was not begun in this browser. Please log in again."
    )


class CodeRefused(LoginRefused):
    """The provider does not honour what the browser came back with (RFC 6749 §5.2 `invalid_grant`)."""

    code = "code-refused"
    title_zh, title_en = "登录凭证已失效", "The login has run out"
    detail_zh = (
        "统一认证不再承认本次登录：凭证已过期、已被使用，或不属于这次登录。这不是系统故障，请重新登录。"
    )
    detail_en = (
        "The provider no longer honours this login: it has expired, was used before or belongs to "
        "another login. Nothing is out of order; please log in again."
    )


class Cancelled(LoginRefused):
    """The provider ended the login, most often because the person did."""

    code = "cancelled"
    detail_zh = "统一认证未完成登录，或您已取消。"
    detail_en = "The provider ended the login, or you cancelled it."


class NotBelieved(LoginRefused):
    """The provider's word does not pass our checks."""

    code, status = "not-believed", 401
    title_zh, title_en = "身份未通过验证", "The identity was not verified"
    detail_zh = "统一认证返回的身份信息未通过安全校验，本次登录已终止。"
    detail_en = "What the identity provider sent did not pass the security checks; this login was ended."


class NotAdmitted(LoginRefused):
    """The person is known and not let in."""

    code, status = "not-admitted", 403
    title_zh, title_en = "尚未获准使用", "Not admitted"
    detail_zh = "您的身份已核验，但尚未获准使用本系统。请联系本单位的系统管理员办理准入。"
    detail_en = "Your identity is verified, but you are not admitted yet. Ask your system administrator."


class AccountInactive(LoginRefused):
    """The account is not in force at the provider."""

    code, status = "account-inactive", 403
    title_zh, title_en = "账号未激活或已停用", "The account is not active"
    detail_zh = "您在统一认证的账号当前不是激活状态。请先在统一认证恢复账号，再重新登录。"
    detail_en = (
        "Your account at the identity provider is not active. Have it restored there, then log in again."
    )


class LevelTooLow(LoginRefused):
    """The person's real name was not proven as surely as this installation asks."""

    code, status = "level-too-low", 403
    title_zh, title_en = "实名等级不足", "The real-name level is too low"
    detail_zh = "本系统要求更高的实名认证等级。请在统一认证提升实名等级后重新登录。"
    detail_en = (
        "This system asks for a higher real-name level. Raise it at the identity provider, then log in again."
    )


class TooManyStarts(LoginRefused):
    code, status = "too-many-logins", 429
    title_zh, title_en = "登录请求过多", "Too many logins were begun"
    detail_zh, detail_en = "请稍后再试。", "Please wait a little."


class Misconfigured(LoginRefused):
    """We and the provider are not set up for each other: neither waiting nor the person can mend it."""

    code, status, again, is_ours = "misconfigured", 502, False, True
    title_zh, title_en = "登录服务设置有误", "Login is not set up correctly"
    detail_zh = (
        "本系统与统一认证之间的设置不一致。这不是您的问题，重试无法解决；请联系运维人员，并告知下方编号。"
    )
    detail_en = (
        "This system and the identity provider are not set up for each other. It is not your fault and trying "
        "again does not help: tell the operator the number below."
    )


class ProviderBroken(LoginRefused):
    """The provider's answer cannot be read."""

    code, status, is_ours = "provider-broken", 502, True
    title_zh, title_en = "统一认证的应答无法识别", "The identity provider's answer cannot be read"
    detail_zh = "统一认证返回了无法识别的内容。请重新登录；如仍不成功，请联系运维人员，并告知下方编号。"
    detail_en = (
        "The identity provider sent something unreadable. Log in again, and tell the operator if it persists."
    )


class ProviderDown(LoginRefused):
    """The provider does not answer, or says itself that it cannot."""

    code, status = "provider-down", 503
    title_zh, title_en = "统一认证暂时不可用", "The identity provider is not available"
    detail_zh = "统一认证没有应答；已登录的人员不受影响。请过一会儿重新登录。"
    detail_en = "The identity provider does not answer; whoever is logged in is not affected. Please try again shortly."

    def __init__(self, reason: str, *, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(reason, retry_after_s=retry_after_s)


#: By code, for the page a browser is sent to when the address it came to must not stay in its history.
REFUSALS: dict[str, type[LoginRefused]] = {
    kind.code: kind
    for kind in (
        *(BadResponse, CodeRefused, Cancelled, NotBelieved, NotAdmitted, AccountInactive, LevelTooLow),
        *(Misconfigured, ProviderBroken, ProviderDown),
    )
}
