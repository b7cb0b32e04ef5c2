"""The one shape of an HTTP service: resources, health, problems, traces, policies.

`create_service` builds the application; nothing happens at import. Liveness asks nobody, readiness
asks the dependencies. A background task that fails is logged, counted and started again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from edulake.common import faults
from edulake.common.bus.limits import BusLimits
from edulake.common.db import Database
from edulake.common.identity import ContextVerifier, refuse_routes_without_policy
from edulake.common.problems import REFUSALS, install_problem_handlers
from edulake.common.settings import Settings
from edulake.common.standards import Standards
from edulake.common.telemetry import configure_logging, logger
from edulake.common.web import Reads, TraceMiddleware, health_router
from fastapi import APIRouter, Depends, FastAPI, Request
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from edulake.common.bus import Bus, Handlers
    from edulake.common.gm import KeyProvider

log = logger(__name__)
BACKGROUND_FAILURES = Counter(
    "edulake_background_failures_total", "Background tasks that failed and were started again", ["task"]
)
#: The pause before a background task that failed is started again; it doubles while it fails.
FIRST_PAUSE_S = 0.2


@dataclass
class Resources:
    """What a process holds open; built once, closed at the end."""

    settings: Settings
    database: Database
    redis: "Redis"
    bus: "Bus"
    standards: Standards
    keys: "KeyProvider"
    name: str
    #: When this process opened them, by the monotonic clock.
    began: float = field(default_factory=time.monotonic)
    #: Background tasks that fail: how often in a row, and when last (monotonic).
    failing: dict[str, tuple[int, float]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


Background = Callable[[Resources, asyncio.Event], Awaitable[None]]
Own = Callable[[Resources], AbstractAsyncContextManager[None]]


def _resources(request: Request) -> Resources:
    found: Resources = request.app.state.resources
    return found


Res = Annotated[Resources, Depends(_resources)]


def open_redis(settings: Settings) -> "Redis":
    """A client that answers or fails within the configured time and never retries by itself."""
    timeout = settings.redis_timeout_ms / 1000
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )


@asynccontextmanager
async def open_resources(settings: Settings, name: str, role: str) -> AsyncIterator[Resources]:
    """Open what a process needs, for services and for workers without a port."""
    from edulake.common.bus import open_bus  # the bus needs this module's Resources
    from edulake.common.gm import open_keys

    faults.configure(settings)
    standards = await asyncio.to_thread(Standards.load, settings.standards_dir)
    database = Database(
        settings.database_for(role),
        pool_size=settings.database_pool_size,
        statement_timeout_ms=settings.database_timeout_ms,
    )
    redis = open_redis(settings)
    try:
        yield Resources(
            settings=settings,
            database=database,
            redis=redis,
            bus=open_bus(settings, database),
            standards=standards,
            keys=open_keys(settings),
            name=name,
        )
    finally:
        await redis.aclose()
        await database.close()


async def keep_running(
    name: str,
    work: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    *,
    longest_pause_s: float = 10.0,
    failing: dict[str, tuple[int, float]] | None = None,
) -> None:
    """Run a background task until told to stop; start it again, slower each time, when it fails.

    A run that lasted longer than the longest pause was healthy: after it the pauses are short again, and the
    failures are counted anew. They are noted in `failing`.
    """
    pause_s, times = FIRST_PAUSE_S, 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            await work()
            return
        except Exception:
            if time.monotonic() - began > longest_pause_s:
                pause_s, times = FIRST_PAUSE_S, 0
            times += 1
            if failing is not None:
                failing[name] = (times, time.monotonic())
            BACKGROUND_FAILURES.labels(name).inc()
            log.exception("background task failed", task=name, again_in_s=pause_s)
        try:
            await asyncio.wait_for(stop.wait(), pause_s)
        except TimeoutError:
            pause_s = min(pause_s * 2, longest_pause_s)


@asynccontextmanager
async def background_tasks(
    resources: Resources, handlers: "Handlers", background: Sequence[Background]
) -> AsyncIterator[None]:
    """Run the event consumer and other tasks for as long as the block lasts."""
    from edulake.common.bus.watch import watch  # the bus needs this module's Resources

    stop = asyncio.Event()
    work: dict[str, Callable[[], Awaitable[None]]] = {}
    if handlers:
        work["consumer"] = partial(resources.bus.consume, resources.name, handlers, resources, stop)
        # Beside the consumer, so that its lag is told also while it fails.
        work["lag"] = partial(watch, resources.database, BusLimits(), resources.name, stop)
    for task in background:
        work[task.__name__] = partial(task, resources, stop)
    running = [
        asyncio.create_task(keep_running(name, run, stop, failing=resources.failing), name=name)
        for name, run in work.items()
    ]
    try:
        yield
    finally:
        stop.set()
        if running:
            _, late = await asyncio.wait(running, timeout=resources.settings.shutdown_timeout_s)
            for unfinished in late:
                unfinished.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def create_service(
    *,
    name: str,
    title: str,
    settings: Settings,
    routers: Sequence[APIRouter],
    handlers: "Handlers | None" = None,
    background: Sequence[Background] = (),
    lifespan_resources: Own | None = None,
    role: str | None = None,
    database: bool = True,
) -> FastAPI:
    """Build a service. Raises RuntimeError when a route names no policy.

    `name` is the service's name and audience, its consumer group on the bus and, unless `role` says
    otherwise, the end of its database role. A service without `database` keeps nothing: its pool is
    never opened (connections are made at first use) and its readiness does not ask for one.
    """
    configure_logging(settings.log_level)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            resources = await stack.enter_async_context(
                open_resources(settings, name, role or f"edulake_{name}")
            )
            app.state.resources = resources
            app.state.needs_database = database
            is_carried = settings.bus == "kafka"
            app.state.reads = Reads(name, BusLimits(), is_carried=is_carried) if handlers else None
            app.state.verifier = ContextVerifier(settings.internal_key, name)
            if lifespan_resources:
                await stack.enter_async_context(lifespan_resources(resources))
            await stack.enter_async_context(background_tasks(resources, handlers or {}, background))
            log.info("service started", service=name, port=settings.port)
            yield

    # A redirect to the other spelling of an address would name the host of the hop from the gateway.
    app = FastAPI(
        title=title,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=REFUSALS,
        redirect_slashes=False,
    )
    app.include_router(health_router())
    for router in routers:
        app.include_router(router)
    refuse_routes_without_policy(app.routes)
    install_problem_handlers(app)
    app.add_middleware(TraceMiddleware, service=name)
    return app
