"""The gateway as one ASGI application: every request passes the pipeline, every error ends here."""

import time
from typing import Any

from edulake.common.errors import Problem
from edulake.common.telemetry import logger, new_trace
from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.pipeline import run
from edulake.share_gateway.plane import Plane
from edulake.share_gateway.problems import AuditUnavailable
from edulake.share_gateway.stages.audit import count_refusal
from edulake.share_gateway.stages.respond import refuse
from edulake.share_gateway.upstream.body import CallerLeftError
from edulake.share_gateway.upstream.proxy import BrokenAnswerError
from fastapi import FastAPI
from prometheus_client import Counter, Histogram
from starlette.types import Message, Receive, Scope, Send

log = logger(__name__)
ANSWERS = Counter("edulake_gateway_answers_total", "Answers by kind of route and status", ["kind", "status"])
SECONDS = Histogram(
    "edulake_gateway_seconds",
    "Time to the end of an answer",
    ["kind"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def _last(send: Send) -> Send:
    """Every answer of a process that ends asks the caller to connect anew, which leads to another process."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return closing


class Gateway:
    """Raw ASGI; `service` is the inner FastAPI application that owns lifespan, health and administration."""

    def __init__(self, service: FastAPI) -> None:
        self.service = service
        #: Label look-ups are dear; the few (kind, status) pairs are kept.
        self._counters: dict[tuple[str, int], Any] = {}
        self._timers: dict[str, Any] = {}
        self._told: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.service(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            plane: Plane = self.service.state.plane
            if plane.is_stopping:
                send = _last(send)
            await self._answer(Exchange(plane, scope, receive, send, new_trace()))

    async def _answer(self, x: Exchange) -> None:
        began = time.perf_counter()
        try:
            await run(x)
        except Problem as problem:
            await self._refuse(x, problem)
        except (BrokenAnswerError, CallerLeftError) as error:
            x.status = 499
            log.info("answer broken off", reason=type(error).__name__)
        except Exception as error:
            log.exception("request ended in a defect", error=type(error).__name__)
            await self._refuse(x, Problem("请将 trace_id 告知运维", "tell the operators the trace id"))
        finally:
            if x.flight is not None:
                x.flight.land(None)
            kind = x.route.kind.value if hasattr(x, "route") else "refused"
            self._measure(kind, x.status, time.perf_counter() - began)

    async def _refuse(self, x: Exchange, problem: Problem) -> None:
        x.status = problem.status
        if problem.status >= 500 and self._is_news(problem.code):
            log.warning("request failed", code=problem.code, status=problem.status)
        if hasattr(x, "api"):
            try:
                count_refusal(x, problem.status)
            except AuditUnavailable:
                log.warning("refusal not counted", code=problem.code)
        if not x.is_begun:
            await refuse(x, problem)

    def _is_news(self, code: str) -> bool:
        """A lost dependency fails thousands of requests a second; one line a second and code is enough."""
        moment = time.monotonic()
        if moment - self._told.get(code, float("-inf")) < 1.0:
            return False
        self._told[code] = moment
        return True

    def _measure(self, kind: str, status: int, seconds: float) -> None:
        counter = self._counters.get((kind, status))
        if counter is None:
            counter = self._counters[kind, status] = ANSWERS.labels(kind, status)
            self._timers.setdefault(kind, SECONDS.labels(kind))
        counter.inc()
        self._timers[kind].observe(seconds)
