"""Static files: read once, named by their digest, served for a year and compressed.

htmx comes from its wheel; nothing of others is copied into the repository.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from edulake.common.errors import NotFound
from edulake.common.policy import allow
from fastapi import APIRouter, Request, Response

_SOURCES = {
    "portal.css": (files("edulake.portal") / "static" / "portal.css", "text/css; charset=utf-8"),
    "portal.js": (files("edulake.portal") / "static" / "portal.js", "text/javascript; charset=utf-8"),
    "icon.svg": (files("edulake.portal") / "static" / "icon.svg", "image/svg+xml"),
    "htmx.js": (
        files("js_lib_htmx") / "static" / "htmx" / "htmx.min.js",
        "text/javascript; charset=utf-8",
    ),
}
router = APIRouter(dependencies=[allow("page.file", "read")], include_in_schema=False)


@dataclass(frozen=True)
class Static:
    """A file as it is sent."""

    digest: str
    plain: bytes
    packed: bytes
    media_type: str


@cache
def load(name: str) -> Static:
    """The file of this name; KeyError when there is none."""
    source, media_type = _SOURCES[name]
    plain = source.read_bytes()
    digest = hashlib.sha256(plain).hexdigest()[:12]
    return Static(digest, plain, gzip.compress(plain, mtime=0), media_type)


def address(name: str) -> str:
    """Where a page finds the file; the address changes with the content."""
    return f"/static/{load(name).digest}/{name}"


@router.get("/static/{digest}/{name}")
def serve(digest: str, name: str, request: Request) -> Response:
    if name not in _SOURCES or load(name).digest != digest:
        raise NotFound("没有这个文件", "no such file")
    found = load(name)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(found.plain, media_type=found.media_type, headers=headers)
    return Response(
        found.packed, media_type=found.media_type, headers={**headers, "Content-Encoding": "gzip"}
    )
