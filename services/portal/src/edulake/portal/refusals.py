"""Errors as pages: every refusal is a page in Chinese that says what to do, never a bare text."""

from typing import Any

from edulake.common.errors import BadRequest, NotFound, Problem
from edulake.common.problems import InvalidInput
from edulake.common.telemetry import logger, trace_id
from edulake.portal.clients.reply import Trouble
from edulake.portal.rendering import HEADERS, render
from edulake.portal.session import LoginNeeded
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

log = logger(__name__)
#: What the document says of every page beside its 200.
PAGE_ANSWERS: dict[int | str, dict[str, Any]] = {
    204: {"description": "局部内容转去登录 / a live fragment asks for login"},
    303: {"description": "转去登录或结果页 / to log in, or to what came of it"},
    "4XX": {"description": "说明页 / a page that says why", "content": {"text/html": {}}},
    "503": {"description": "说明页 / a page that says why", "content": {"text/html": {}}},
}


def install_refusal_pages(app: FastAPI) -> None:
    """Take the place of the problem+json handlers on this service."""
    app.add_exception_handler(LoginNeeded, _to_login)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


def _to_login(request: Request, error: Exception) -> Response:
    """A page is sent to log in; a live fragment tells htmx to take the whole window there."""
    address = error.address if isinstance(error, LoginNeeded) else "/login"
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={**HEADERS, "HX-Redirect": address})
    return RedirectResponse(address, 303, headers=HEADERS)


def _on_problem(_request: Request, error: Exception) -> Response:
    """A refusal of the portal itself, and (by `answer_defect`) what nobody expected."""
    problem = error if isinstance(error, Problem) else Problem()
    if problem.status >= 500:
        log.warning("page refused", code=problem.code, status=problem.status)
    return _page(problem)


def _on_invalid(_request: Request, _error: Exception) -> Response:
    return _page(InvalidInput("地址或参数不符合要求", mend_zh="从导航重新进入该页面"))


def _on_http(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return _page(NotFound("没有这个页面", mend_zh="检查地址，或从下面的链接进入"))
    return _page(BadRequest("该操作不被支持", mend_zh="返回上一页，从页面上的按钮操作"), status)


def _page(problem: Problem, status: int | None = None) -> Response:
    is_defect = problem.code == Problem.code
    trouble = Trouble(
        status or problem.status,
        problem.title_zh,
        problem.detail_zh,
        "稍后重试；仍然出错时，把下面的编号告诉运维。" if is_defect else problem.mend_zh,
        trace_id(),
    )
    answer = render("shared/refusal.html", status=trouble.status, trouble=trouble)
    answer.headers.update(problem.headers)
    return answer
