"""Who asks: the subject, the signed context that carries it between services, and route policies.

Behind the gateway each hop carries a fresh context of the originating subject, made for one
audience and valid for at most a minute. A service refuses a call without one, and refuses to
start when a route names no policy.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import httpx
import orjson
from edulake.common.errors import Unauthorized
from edulake.common.gm import hmac_sm3
from edulake.common.settings import Settings
from edulake.common.telemetry import traceparent
from fastapi import Depends, Request
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel, ValidationError

HEADER = "X-EduLake-Context"
LIFETIME_S = 60
LEEWAY_S = 5

ROLES = {
    "system_admin": "系统管理员",
    "security_admin": "安全管理员",
    "audit_admin": "审计管理员",
    "steward": "数据治理工程师",
    "owner": "数据责任人",
    "approver": "审批人",
    "source_contact": "报送联系人",
    "applicant": "申请人",
    "service": "内部服务",
}

#: Three offices that watch each other; no two of them in one hand (GB/T 22239-2019 §8.1.5).
ADMINISTRATORS = ("system_admin", "security_admin", "audit_admin")


class Subject(BaseModel, frozen=True):
    """A person, a client program or one of our services."""

    id: str
    kind: Literal["person", "client", "service"]
    name: str
    roles: frozenset[str] = frozenset()
    organisation: str | None = None
    district: str | None = None
    #: Of a client: the person who owns it, or its own id where nobody does. None: not told; then nothing
    #: that two different people must do may be done by it.
    accountable: str | None = None

    @property
    def answers(self) -> str | None:
        """Who answers for what this subject does: a person himself, a program's owner; None: not known."""
        return self.accountable if self.kind == "client" else self.id

    def has(self, *roles: str) -> bool:
        """True when the subject holds one of the roles."""
        return bool(self.roles.intersection(roles))


class ContextSigner:
    """Makes contexts for other services."""

    def __init__(self, key: bytes, issuer: str) -> None:
        self._key = key
        self._issuer = issuer

    def sign(self, subject: Subject, audience: str) -> str:
        """A header value that lets `audience` know, for a minute, on whose behalf it is called."""
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "exp": int(time.time()) + LIFETIME_S,
            "sub": {**subject.model_dump(), "roles": sorted(subject.roles)},
        }
        body = base64.urlsafe_b64encode(orjson.dumps(claims))
        return f"{body.decode()}.{_mac(self._key, body)}"


class ContextVerifier:
    """Reads contexts made for this service."""

    def __init__(self, key: bytes, audience: str) -> None:
        self._key = key
        self._audience = audience

    def verify(self, header: str | None) -> Subject:
        """The subject of a context; raises Unauthorized when it is absent, forged, stale or for another."""
        body, _, mac = (header or "").partition(".")
        if not hmac.compare_digest(_mac(self._key, body.encode()).encode(), mac.encode()):
            raise _refused("no signed internal context")
        try:
            claims = orjson.loads(base64.urlsafe_b64decode(body))
            subject = Subject.model_validate(claims["sub"])
            audience, expires = claims["aud"], int(claims["exp"])
        except (ValueError, KeyError, TypeError, binascii.Error, ValidationError) as error:
            raise _refused("unreadable internal context") from error
        if audience != self._audience or expires > time.time() + LIFETIME_S + LEEWAY_S:
            raise _refused("internal context for another audience")
        if expires + LEEWAY_S < time.time():
            raise _refused("internal context has expired")
        return subject


def _mac(key: bytes, body: bytes) -> str:
    return hmac_sm3(key, b"context:" + body).hex()


def _refused(reason: str) -> Unauthorized:
    return Unauthorized(
        "缺少有效的内部身份", reason, mend_zh="请经网关访问", mend_en="call through the gateway"
    )


def known_subject(request: Request) -> Subject:
    """The subject of the signed context of a request; Unauthorized without one."""
    verifier: ContextVerifier = request.app.state.verifier
    return verifier.verify(request.headers.get(HEADER))


def stating(words: str, check: Callable[..., Any]) -> Any:
    """A dependency that decides, and says by which policy (`edulake.common.policy` makes the usual ones)."""
    check.policy = words  # type: ignore[attr-defined]
    return Depends(check)


def public(words: str = "public") -> Any:
    """A route dependency that says in the code: nobody needs to be known here."""

    def check() -> None:
        return None

    return stating(words, check)


def policy_of(route: APIRoute | RouteContext) -> str | None:
    """The words of a route's policy, or None when it names none."""
    pending = [route.dependant]
    while pending:
        dependant = pending.pop()
        words = getattr(dependant.call, "policy", None)
        if words:
            return str(words)
        pending.extend(dependant.dependencies)
    return None


def refuse_routes_without_policy(routes: Iterable[Any]) -> None:
    """Raise RuntimeError naming every route that states no policy, those of included routers too."""
    bare = [
        f"{sorted(route.methods or ())} {route.path}"
        for route in iter_route_contexts(list(routes))
        if isinstance(route.original_route, APIRoute) and not policy_of(route)
    ]
    if bare:
        raise RuntimeError("routes without a policy: " + "; ".join(bare))


class InternalClient:
    """Calls to our other services, each signed for its audience on behalf of a subject."""

    def __init__(
        self, settings: Settings, me: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._signer = ContextSigner(settings.internal_key, me)
        limits = httpx.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=4)
        self._http = httpx.AsyncClient(
            timeout=settings.upstream_timeout_s, limits=limits, transport=transport, trust_env=False
        )

    async def request(
        self, method: str, service: str, path: str, *, subject: Subject, **options: Any
    ) -> httpx.Response:
        """One call; httpx errors pass through. `path` begins with a slash."""
        headers = {
            **options.pop("headers", {}),
            HEADER: self._signer.sign(subject, service),
            "traceparent": traceparent(),
        }
        return await self._http.request(
            method, self._settings.service_url(service) + path, headers=headers, **options
        )

    async def close(self) -> None:
        await self._http.aclose()


def service_client(settings: Settings, me: str) -> InternalClient:
    return InternalClient(settings, me)


def service_subject(name: str) -> Subject:
    """The subject a service uses when it acts for itself."""
    return Subject(id=f"service:{name}", kind="service", name=name, roles=frozenset({"service"}))
