"""`GET /events/published`: the stream of published-data events (SSE)."""

from edulake.common.errors import MethodNotAllowed
from edulake.share_gateway.exchange import Caller, Exchange
from starlette.types import Message


async def subscribe(x: Exchange) -> None:
    """Hand the connection to the event stream with a caller whose rights stay live."""
    if x.method != "GET":
        raise MethodNotAllowed("只支持 GET", "only GET is offered", headers={"Allow": "GET"})

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            x.is_begun = True
            message["headers"] = [*message["headers"], (b"x-trace-id", x.trace.encode())]
        await x.send(message)

    await x.plane.events.stream(x.scope, x.receive, send, Caller(x.principal, x.plane))
