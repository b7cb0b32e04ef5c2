"""One request on its way through the stages, and who makes it."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edulake.common.identity import Subject
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from edulake.share_gateway.cache.answers import Flight
    from edulake.share_gateway.engine.definition import CompiledApi
    from edulake.share_gateway.engine.query import Call
    from edulake.share_gateway.grant.access import Access
    from edulake.share_gateway.limits.leases import Allowance
    from edulake.share_gateway.plane import Plane
    from edulake.share_gateway.upstream.routes import Route


#: In the scope of a request: a function that writes a complete answer at once, or returns False.
WHOLE = "edulake.whole"


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified access token. Times are seconds since the epoch, as the issuer wrote them."""

    subject: Subject
    client_id: str
    token_id: str
    issued_at: int
    expires_at: int


class Caller:
    """A principal on a long connection: the rights are asked again, not remembered."""

    __slots__ = ("_plane", "principal")

    def __init__(self, principal: Principal, plane: "Plane") -> None:
        self.principal = principal
        self._plane = plane

    @property
    def subject(self) -> Subject:
        return self.principal.subject

    @property
    def client_id(self) -> str:
        return self.principal.client_id

    def is_welcome(self) -> bool:
        """False once the token has expired or was revoked, when nobody can tell, or the process ends."""
        if time.time() >= self.principal.expires_at or self._plane.is_stopping:
            return False
        return self._plane.access.is_fresh() and not self._plane.access.is_revoked(self.principal)

    def datasets(self) -> frozenset[str]:
        """Datasets that the caller holds a grant for at this moment."""
        return self._plane.access.datasets_of(self.client_id, time.time())


class Exchange:
    """What the stages read and write; one object a request, no dictionary behind it."""

    __slots__ = (
        "access",
        "allowance",
        "api",
        "body",
        "cache_key",
        "call",
        "client_ip",
        "flight",
        "headers",
        "is_begun",
        "path",
        "plane",
        "principal",
        "query",
        "receive",
        "records",
        "route",
        "scope",
        "send",
        "status",
        "trace",
        "version",
    )

    path: str
    query: bytes
    headers: dict[bytes, bytes]
    client_ip: str
    principal: Principal
    api: "CompiledApi"
    access: "Access"
    call: "Call"
    version: int
    route: "Route"

    def __init__(self, plane: "Plane", scope: Scope, receive: Receive, send: Send, trace: str) -> None:
        self.plane = plane
        self.scope = scope
        self.receive = receive
        self.send = send
        self.trace = trace
        self.allowance: Allowance | None = None
        self.body: bytes | None = None
        self.cache_key: bytes = b""
        self.flight: Flight | None = None
        self.is_begun = False
        #: What stands for each personal record in the answer.
        self.records: tuple[bytes, ...] = ()
        #: What was answered, or is to be.
        self.status = 200

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method
