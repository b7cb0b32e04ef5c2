"""Who stands before the page: the cookie is resolved by auth at every request, nothing is kept here."""

import hmac
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from edulake.common.errors import Forbidden, Unavailable
from edulake.common.identity import Subject, service_subject
from edulake.portal.clients.calls import Calls
from fastapi import Request
from pydantic import BaseModel, Field

COOKIE = "__Host-edulake"
MAX_COOKIE_CHARS = 256


class Visit(BaseModel, frozen=True):
    """A person's session: who it is and the token the forms must carry."""

    subject: Subject
    csrf: str = Field(repr=False)


@dataclass
class LoginNeeded(Exception):
    """There is no session; the person is sent to log in and comes back to `return_to`."""

    return_to: str

    @property
    def address(self) -> str:
        return f"/login?return_to={quote(self.return_to, safe='')}"


async def resolve(request: Request, calls: Calls) -> Visit:
    """The visit of a request. Raises LoginNeeded, or Unavailable when auth does not answer."""
    cookie = request.cookies.get(COOKIE, "")
    if not cookie or len(cookie) > MAX_COOKIE_CHARS:
        raise LoginNeeded(_return_to(request))
    reply = await calls.ask(
        "POST", "auth", "/internal/sessions/resolve", service_subject("portal"), json={"cookie": cookie}
    )
    if reply.trouble is None:
        return Visit.model_validate(reply.data)
    if reply.trouble.is_silence:
        raise Unavailable("身份服务暂时没有应答，请稍后刷新重试", "auth does not answer")
    raise LoginNeeded(_return_to(request))


def require_token(visit: Visit, token: str) -> None:
    """Refuse a form that was not made by a page of this session."""
    if not hmac.compare_digest(visit.csrf.encode(), token.encode()):
        raise Forbidden(
            "页面已过期或表单不是由本系统发出",
            "the form's token is not this session's",
            mend_zh="返回上一页刷新后重新提交",
            mend_en="reload the page and send the form again",
        )


def _return_to(request: Request) -> str:
    """The page to come back to; after a form or a live fragment, the page that held it."""
    if request.method == "GET" and "hx-request" not in request.headers:
        return _local(str(request.url))
    return _local(request.headers.get("hx-current-url") or request.headers.get("referer") or "/")


def _local(address: str) -> str:
    parts = urlsplit(address)
    path = parts.path if parts.path.startswith("/") and not parts.path.startswith("//") else "/"
    return f"{path}?{parts.query}" if parts.query else path
