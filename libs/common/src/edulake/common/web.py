"""What every HTTP process answers for itself: health, metrics, and one trace per request."""

import time

from edulake.common.errors import Unavailable
from edulake.common.policy import allow
from edulake.common.problems import answer_defect
from edulake.common.telemetry import adopt_trace, logger
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from redis.exceptions import RedisError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logger(__name__)
REQUESTS = Counter(
    "edulake_http_requests_total", "Requests answered", ["service", "method", "route", "status"]
)
SECONDS = Histogram("edulake_http_request_seconds", "Time to the end of the answer", ["service", "route"])
QUIET = {"/livez", "/readyz", "/metrics"}


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
    """`/livez` asks nobody; `/readyz` asks the database; `/metrics` is for Prometheus."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", dependencies=[allow("health", "read")], summary="进程存活")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", dependencies=[allow("health", "read")], summary="可以接受请求")
    async def readyz(request: Request) -> dict[str, str]:
        resources = getattr(request.app.state, "resources", None)
        if resources is None:
            raise Unavailable("服务正在启动", "the service is starting")
        if request.app.state.needs_database:
            await resources.database.ping()
        return {"status": "ok", "redis": await _redis_state(resources.redis)}

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
