"""People use one address: a login begun under another name of this host would lose its cookie on the way back.

Programs carry tokens and may use every allowed name. Only reading is led on (307); whoever posts a form to
another name is answered there, and a form from a page of ours never is.
"""

from functools import lru_cache
from urllib.parse import urlsplit

from edulake.common.errors import Problem
from edulake.share_gateway.exchange import Exchange


class OtherAddress(Problem):
    """The page is read at the public address; `Location` says where."""

    status, code, title_zh, title_en = 307, "other-address", "请使用本站公开地址", "Use the public address"


def one_address(x: Exchange) -> None:
    """Lead a browser at another allowed host name to the same page of the public address."""
    issuer = x.plane.settings.issuer
    if not x.route.passes_cookies or x.method not in ("GET", "HEAD"):
        return
    if _name_of(x.headers[b"host"]) == _public_name(issuer):
        return
    target = x.path + ("?" + x.query.decode("ascii") if x.query else "")
    raise OtherAddress(
        "页面在公开地址上", "the page is at the public address", headers={"Location": issuer + target}
    )


@lru_cache(maxsize=16)
def _public_name(issuer: str) -> str:
    return urlsplit(issuer).hostname or ""


@lru_cache(maxsize=256)
def _name_of(host: bytes) -> str:
    """The name of an allowed Host, without its port."""
    return urlsplit("//" + host.decode("latin-1")).hostname or ""
