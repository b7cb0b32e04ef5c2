"""What a process without an HTTP service shows of itself: its metrics, on a port of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

from edulake.common.settings import Settings
from edulake.common.telemetry import logger
from prometheus_client import start_http_server

log = logger(__name__)


@contextmanager
def metrics_shown(settings: Settings) -> Iterator[None]:
    """Show /metrics while the block runs, where the settings name a port. OSError when it is taken."""
    if not settings.worker_metrics_port:
        yield
        return
    server, thread = start_http_server(settings.worker_metrics_port, settings.bind)
    log.info("metrics shown", port=settings.worker_metrics_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
