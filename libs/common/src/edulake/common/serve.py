"""Start one HTTP service: `python -m edulake.common.serve catalog`."""

import importlib
import sys

import uvicorn
from edulake.common.settings import PORT_OFFSETS, Settings


def main(service: str) -> None:
    """Serve `edulake.<service>.app:create_app` on the port that follows from the gateway's.

    The gateway has a server of its own: `python -m edulake.share_gateway`.
    """
    known = sorted(PORT_OFFSETS.keys() - {"gateway"})
    if service not in known:
        raise SystemExit(
            f"unknown service {service!r}: one of {', '.join(known)}; "
            "the gateway is `python -m edulake.share_gateway`"
        )
    settings = Settings()
    create_app = importlib.import_module(f"edulake.{service}.app").create_app
    uvicorn.run(
        create_app(),
        host=settings.bind,
        port=settings.service_port(service),
        loop="uvloop",
        http="httptools",
        ws="none",  # a WebSocket upgrade ends in a 500 otherwise
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        timeout_keep_alive=5,
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
