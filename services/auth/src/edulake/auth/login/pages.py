"""The few pages auth shows itself: plain HTML, no script, no outside asset, strict CSP."""

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from edulake.auth.login.errors import LoginRefused
from fastapi.responses import HTMLResponse

_STYLE = """
:root{color-scheme:light}
body{margin:0;background:#fff;color:#111827;font:14px/1.6 system-ui,"PingFang SC","Microsoft YaHei",
"Noto Sans CJK SC",sans-serif}
main{max-width:640px;margin:48px auto;padding:0 24px}
h1{font-size:22px;margin:0 0 8px}
.brand{color:#1456d0;font-weight:600}
.en,.hint{color:#4b5563}
.warn{border:3px solid #b91c1c;color:#7f1d1d;background:#fef2f2;padding:16px;margin:24px 0;font-size:16px}
.warn strong{display:block;font-size:20px}
.caution{border-left:4px solid #b45309;color:#78350f;background:#fffbeb;padding:12px 16px}
.caution strong{display:block}
ul{list-style:none;padding:0;display:grid;gap:8px}
button,a.button,a.choice{display:block;box-sizing:border-box;width:100%;padding:12px 16px;border:1px solid #1456d0;
border-radius:4px;background:#fff;color:#1456d0;font:inherit;text-align:left;text-decoration:none;cursor:pointer}
a.button{display:inline-block;width:auto;background:#1456d0;color:#fff}
button:hover,a.choice:hover{background:#eff4fd}
button:focus-visible,a:focus-visible{outline:3px solid #1456d0;outline-offset:2px}
button small,a.choice small{color:#4b5563;display:block}
""".strip()
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: What the document of a page says of its refusals: they are pages too.
PAGE_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": "说明页 / a page that says why", "content": {"text/html": {}}}
    for status in ("4XX", "502", "503")
}
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    """A whole page; `body` is HTML in which every value is already escaped."""
    document = (
        f'<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} · EduLake 教育数据湖</title><style>{_STYLE}</style></head>"
        f'<body><main><p class="brand">EduLake 教育数据湖</p>{body}</main></body></html>'
    )
    return HTMLResponse(document, status_code=status, headers=SECURITY_HEADERS)


@dataclass(frozen=True)
class Words:
    """What a page says, in both languages."""

    title_zh: str
    title_en: str
    detail_zh: str
    detail_en: str


def refusal_page(words: Words, *, trace: str, status: int, again: str = "/login") -> HTMLResponse:
    """Why a login did not come about and what to do next; `again` is empty where logging in again is no use."""
    button = f'<p><a class="button" href="{escape(again)}">重新登录</a></p>' if again else ""
    body = (
        f'<h1>{escape(words.title_zh)}</h1><p class="en" lang="en">{escape(words.title_en)}</p>'
        f'<p>{escape(words.detail_zh)}</p><p class="en" lang="en">{escape(words.detail_en)}</p>{button}'
        f'<p class="hint">如问题持续，请将编号告知运维：<code>{escape(trace)}</code></p>'
    )
    return page(words.title_zh, body, status=status)


def login_refusal_page(refused: LoginRefused, *, trace: str) -> HTMLResponse:
    """The page of a refused login; logging in again leads where the person wanted to go."""
    words = Words(refused.title_zh, refused.title_en, refused.detail_zh, refused.detail_en)
    again = f"/login?return_to={quote(refused.return_to, safe='')}" if refused.again else ""
    answer = refusal_page(words, trace=trace, status=refused.status, again=again)
    if refused.retry_after_s:
        answer.headers["Retry-After"] = str(refused.retry_after_s)
    return answer


def logged_out_page(provider_title: str, *, there_too: bool) -> HTMLResponse:
    """What has ended; where the provider's own session may be alive, that is said and what to do."""
    title = escape(provider_title)
    if there_too:
        words = (
            f"<p>您已退出本系统和{title}。</p>"
            '<p class="en" lang="en">You have signed out of this system and of the identity provider.</p>'
        )
    else:
        words = (
            f'<p>您已退出本系统。</p><p class="caution" role="alert"><strong>{title}的登录可能仍然有效</strong>'
            "在本机再次登录可能不需要密码。如在公共或他人的电脑上，请另到统一认证退出，或关闭浏览器的全部窗口。</p>"
            '<p class="en" lang="en">You have signed out of this system. Your session at the identity provider may '
            "still be alive: on a shared computer sign out there too, or close all windows of the browser.</p>"
        )
    return page("您已退出", f'<h1>您已退出</h1>{words}<p><a class="button" href="/login">重新登录</a></p>')


def choose_kind_page(return_to: str) -> HTMLResponse:
    """Natural and legal persons log in at different pages of the provider."""
    back = escape(quote(return_to, safe=""))
    kinds = (("natural", "自然人登录", "个人账号"), ("legal", "法人登录", "法人一证通或电子营业执照"))
    links = "".join(
        f'<li><a class="choice" href="/login?as={kind}&amp;return_to={back}">{title}<small>{what}</small></a></li>'
        for kind, title, what in kinds
    )
    return page("选择登录方式", f"<h1>选择登录方式</h1><ul>{links}</ul>")


def choose_person_page(people: list[tuple[str, str, str]], hidden: dict[str, str]) -> HTMLResponse:
    """The development issuer's login page: (sub, name, what the person is) a button each."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    buttons = "".join(
        f'<li><button name="sub" value="{escape(sub)}">{escape(name)}<small>{escape(what)}</small></button></li>'
        for sub, name, what in people
    )
    body = (
        "<h1>选择一个测试身份登录</h1>"
        '<p class="warn" role="alert"><strong>⚠ 仅供开发与演示，没有密码！</strong>'
        "这是“一网通办”统一身份认证的替身。任何能打开本页的人都可以以任何身份登录，"
        "切勿用于真实数据。生产环境拒绝启动本页。</p>"
        f'<form method="post" action="/dev-issuer/authorize">{fields}<ul>{buttons}</ul></form>'
        '<p class="en" lang="en">Development stand-in: no password, never for real data.</p>'
    )
    return page("开发登录", body)
