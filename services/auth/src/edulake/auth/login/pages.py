"""The few pages auth shows itself: plain HTML, no script, no outside asset, strict CSP."""

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from typing import Any

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
ul{list-style:none;padding:0;display:grid;gap:8px}
button,a.button{display:block;box-sizing:border-box;width:100%;padding:12px 16px;border:1px solid #1456d0;
border-radius:4px;background:#fff;color:#1456d0;font:inherit;text-align:left;text-decoration:none;cursor:pointer}
a.button{display:inline-block;width:auto;background:#1456d0;color:#fff}
button:hover{background:#eff4fd}
button:focus-visible,a:focus-visible{outline:3px solid #1456d0;outline-offset:2px}
button small{color:#4b5563;display:block}
""".strip()
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: What the document of a page says of its refusals: they are pages too.
PAGE_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": "说明页 / a page that says why", "content": {"text/html": {}}}
    for status in ("4XX", "503")
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


def refusal_page(words: Words, *, trace: str, status: int) -> HTMLResponse:
    """Why a login did not come about and what to do next."""
    body = (
        f'<h1>{escape(words.title_zh)}</h1><p class="en" lang="en">{escape(words.title_en)}</p>'
        f'<p>{escape(words.detail_zh)}</p><p class="en" lang="en">{escape(words.detail_en)}</p>'
        f'<p><a class="button" href="/login">重新登录</a></p>'
        f'<p class="hint">如问题持续，请将编号告知运维：<code>{escape(trace)}</code></p>'
    )
    return page(words.title_zh, body, status=status)


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
