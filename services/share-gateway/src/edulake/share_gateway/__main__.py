"""One gateway process: `python -m edulake.share_gateway`.

Several may run on one port. One that is told to end loses no request: it takes no new connections, says
`Connection: close` in its last answers, and gives idle connections a moment to ask once more.
"""

import asyncio
import gc
import socket
import time

import uvicorn
from edulake.share_gateway.app import create_app
from edulake.share_gateway.gateway import Gateway
from edulake.share_gateway.listening import HANDSHAKE_S, listen, turn_new_away
from edulake.share_gateway.settings import GatewaySettings
from edulake.share_gateway.strict_protocol import StrictHttpProtocol


class Server(uvicorn.Server):
    """uvicorn that takes what start-up made out of the garbage collector's rounds, and ends without loss."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, drain_s: float) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._drain_s = drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.service.state.plane.is_stopping = True
        for listener in sockets or []:
            turn_new_away(listener)
        await asyncio.sleep(min(HANDSHAKE_S, self._drain_s))
        for server in self.servers:
            server.close()
        deadline = time.monotonic() + self._drain_s
        while self._is_busy_before(deadline):  # noqa: ASYNC110 - uvicorn keeps a set, not an event
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def _is_busy_before(self, deadline: float) -> bool:
        return bool(self.server_state.connections) and time.monotonic() < deadline and not self.force_exit


def configure(settings: GatewaySettings, gateway: Gateway) -> uvicorn.Config:
    """What uvicorn is told; the limits it does not have are in StrictHttpProtocol and the stages."""
    StrictHttpProtocol.header_timeout_s = settings.header_timeout_s
    return uvicorn.Config(
        gateway,
        loop="uvloop",
        http=StrictHttpProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        backlog=settings.backlog_connections,
        limit_concurrency=settings.connections_max,
    )


def main() -> None:
    settings = GatewaySettings()
    gateway = create_app(settings)
    ports = (settings.port, settings.own_port) if settings.own_port else (settings.port,)
    server = Server(configure(settings, gateway), gateway, settings.drain_s)
    server.run(sockets=[listen(settings.bind, port) for port in ports])


if __name__ == "__main__":
    main()
