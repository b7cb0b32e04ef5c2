"""What every HTTP process answers for itself: health, metrics, and one trace per request."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edulake.common.bus.lag import RELAY_CURSOR, standings, stuck
from edulake.common.bus.limits import BusLimits
from edulake.common.errors import Unavailable
from edulake.common.policy import allow
from edulake.common.problems import answer_defect
from edulake.common.telemetry import adopt_trace, logger
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from redis.exceptions import RedisError
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from edulake.common.service import Resources

log = logger(__name__)
REQUESTS = Counter(
    "edulake_http_requests_total", "Requests answered", ["service", "method", "route", "status"]
)
SECONDS = Histogram("edulake_http_request_seconds", "Time to the end of the answer", ["service", "route"])
QUIET = {"/livez", "/readyz", "/metrics"}
#: A background task that failed so often in a row, the last time so lately, is told.
FAILURES_TOLD, FAILED_LATELY_S = 3, 30.0


class EventsStuck(Unavailable):
    code, title_zh, title_en = "events-stuck", "事件处理停滞", "Events are not being handled"


@dataclass(frozen=True)
class Reads:
    """The group a service reads events for. `is_carried`: by Kafka; `is_needed`: stuck means not ready."""

    group: str
    limits: BusLimits
    is_carried: bool = False
    is_needed: bool = True


class TraceMiddleware:
    """Adopts or begins a trace, counts the answer, and logs it with its route template."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        trace = adopt_trace(headers.get(b"traceparent", b"").decode("latin-1"))
        began = time.perf_counter()
        status, begun = 500, False

        async def send_traced(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-trace-id", trace.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_traced)
        except Exception as error:
            if begun:  # the answer cannot be taken back; cutting the connection tells the caller
                raise
            await answer_defect(error, scope, receive, send_traced)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        REQUESTS.labels(self.service, scope["method"], route, status).inc()
        SECONDS.labels(self.service, route).observe(seconds)
        if route not in QUIET:
            log.info(
                "request answered",
                service=self.service,
                method=scope["method"],
                route=route,
                status=status,
                ms=round(seconds * 1000, 1),
            )


def health_router() -> APIRouter:
    """`/livez` asks nobody; `/readyz` asks the database, also for events that wait; `/metrics` is for Prometheus."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", dependencies=[allow("health", "read")], summary="进程存活")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", dependencies=[allow("health", "read")], summary="可以接受请求")
    async def readyz(request: Request) -> dict[str, str]:
        state = request.app.state
        resources = getattr(state, "resources", None)
        if resources is None:
            raise Unavailable("服务正在启动", "the service is starting")
        if state.needs_database:
            await resources.database.ping()
        told = {
            "status": "ok",
            "redis": await _redis_state(resources.redis),
            "events": await _events_state(state, resources),
            "background": _failing(resources.failing),
        }
        return {name: words for name, words in told.items() if words}

    @router.get("/metrics", dependencies=[allow("health", "read")], include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _redis_state(redis: "object") -> str:
    """Redis is told, not required: losing it must not take a service out of rotation."""
    try:
        await redis.ping()  # type: ignore[attr-defined]
    except (RedisError, OSError):
        return "unreachable"
    return "ok"


async def _events_state(state: State, resources: "Resources") -> str:
    """What the service has still to read, in words; EventsStuck (503) when its reader stands still.

    A long backlog that moves keeps nobody from asking. A process is given the time of `stuck_s` first: what
    stood still before it began may be mended by it, and a suite must be able to start.
    """
    reads: Reads | None = state.reads
    if reads is None:
        return ""
    names = [reads.group, RELAY_CURSOR] if reads.is_carried else [reads.group]
    async with resources.database.read() as session:
        found = await standings(session, names)
    has_tried = time.monotonic() - resources.began >= reads.limits.stuck_s
    still = stuck(found, reads.group, reads.limits.stuck_s)
    if still and has_tried and reads.is_needed and reads.limits.stuck_is_unready:
        raise EventsStuck(
            *still.told,
            mend_zh="按运行手册“事件处理停滞”一节排查",
            mend_en="see the runbook, events are not being handled",
        )
    mine = [one for one in found if one.consumer == reads.group and one.events]
    return " / ".join(mine[0].told) if mine else ""


def _failing(failing: Mapping[str, tuple[int, float]]) -> str:
    lately = time.monotonic() - FAILED_LATELY_S
    return "; ".join(
        f"{task} 连续失败 {times} 次 / failed {times} times in a row"
        for task, (times, last) in failing.items()
        if times >= FAILURES_TOLD and last >= lately
    )
