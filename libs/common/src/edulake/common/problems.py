"""One place turns what went wrong into an answer; all errors of a service pass here."""

from typing import Any

from edulake.common.db import is_connection_loss
from edulake.common.errors import (
    MEDIA_TYPE,
    BadRequest,
    Conflict,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Problem,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
    problem_body,
)
from edulake.common.telemetry import logger, trace_id
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

log = logger(__name__)

_BY_STATUS: dict[int, type[Problem]] = {
    kind.status: kind
    for kind in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        TooLarge,
        UnsupportedMedia,
        Unprocessable,
        Unavailable,
    )
}


_DOCUMENT = {
    "type": "object",
    "required": ["type", "title", "status", "trace_id"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:edulake:problem:"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "mend": {"type": "string"},
        "where": {"type": "string"},
        "trace_id": {"type": "string"},
    },
}
# What every operation's document says of its refusals (RFC 9457), instead of FastAPI's own validation error.
REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "请求被拒绝 / refused", "content": {MEDIA_TYPE: {"schema": _DOCUMENT}}},
    "503": {"description": "暂时不可用 / unavailable", "content": {MEDIA_TYPE: {"schema": _DOCUMENT}}},
}


class InvalidInput(Unprocessable):
    code, title_zh, title_en = "invalid-input", "输入不符合要求", "Input does not fit"


def respond(problem: Problem) -> Response:
    """The problem as an HTTP answer."""
    return Response(
        problem_body(problem, trace_id()),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of this application as a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


def _on_problem(_request: Request, error: Exception) -> Response:
    problem = error if isinstance(error, Problem) else Problem()
    if problem.status >= 500:
        log.warning("request failed", code=problem.code, status=problem.status)
    return respond(problem)


def _on_invalid(_request: Request, error: Exception) -> Response:
    """Say for each field where and why; the value itself may be personal and is not repeated."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{"where": ".".join(map(str, item["loc"])), "reason": item["msg"]} for item in found]
    first = errors[0] if errors else {"where": "", "reason": ""}
    problem = InvalidInput(
        f"{first['where']} 不符合要求",
        f"{first['where']}: {first['reason']}",
        mend_zh="按接口说明改正后重试",
        mend_en="mend the named fields and send again",
        where=first["where"],
        errors=errors[:50],
    )
    return respond(problem)


def _on_http(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = _BY_STATUS.get(status, Problem)
    return respond(kind())


async def answer_defect(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what nobody expected: as a problem, or as the application's own handler of Problem words it."""
    problem = _problem_of(error)
    handler = scope["app"].exception_handlers.get(Problem) if "app" in scope else None
    answer = handler(Request(scope), problem) if handler else respond(problem)
    await answer(scope, receive, send)


def _problem_of(error: Exception) -> Problem:
    if is_connection_loss(error):
        return Unavailable("数据库暂时不可用", "the database is not reachable")
    log.error("request ended in a defect", error=type(error).__name__, at=_origin(error))
    return Problem(
        "处理这个请求时程序出错",
        "the program failed on this request",
        mend_zh="请将 trace_id 告知运维",
        mend_en="tell the operators the trace id",
    )


def _origin(error: BaseException) -> str:
    """File and line of a defect; its message may hold values of people and stays out."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return f"{step.tb_frame.f_code.co_filename}:{step.tb_lineno}" if step else "unknown"
