"""Requests that this process answers itself through its FastAPI application: health and administration."""

from typing import TYPE_CHECKING

from edulake.common.errors import NotFound
from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.problems import AccessUnknown, IssuerUnknown, Stopping, VersionsUnknown
from edulake.share_gateway.stages.strict_message import is_within
from starlette.types import Message, Send

if TYPE_CHECKING:
    from edulake.share_gateway.plane import Plane

#: What proxies add to what they pass on.
_FORWARDED = (
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"forwarded",
    b"x-real-ip",
    b"via",
)


async def answer_with(x: Exchange, headers: dict[str, str]) -> None:
    """Call the own application with exactly the fields any other service would receive."""
    body = x.plane.upstreams.body_of(x)
    fields = [(b"host", x.headers[b"host"])]
    fields += [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]

    scope = {**x.scope, "headers": fields, "client": (x.client_ip, 0)}
    await x.plane.own_app(scope, body.message, _noting(x))


def _noting(x: Exchange) -> Send:
    """Send, and note what was answered."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            x.status = message["status"]
        x.is_begun = True
        await x.send(message)

    return send


async def _show(x: Exchange) -> None:
    await x.plane.own_app({**x.scope, "headers": [(b"host", x.headers[b"host"])]}, x.receive, _noting(x))


async def answer_health(x: Exchange) -> None:
    """`/livez` and `/readyz`; not ready before grants, published versions and the issuer's keys were read, while one
    of them is stale, and at the end. Redis is told: what may go on without it goes on."""
    if x.path == "/readyz":
        _check_ready(x.plane)
    await _show(x)


def _check_ready(plane: "Plane") -> None:
    if plane.is_stopping:
        raise Stopping("进程正在停止", "the process is about to end")
    if not plane.access.is_fresh():
        raise AccessUnknown("授权信息尚未就绪", "access rights are not confirmed")
    if not plane.access.has_caught_up:
        raise AccessUnknown("授权变更尚未全部生效", "changes of access rights are still being applied")
    if not plane.keys.are_known:
        raise IssuerUnknown(
            "尚未读到签发方公钥，无法核验任何令牌",
            "the issuer's keys were not read: no token can be verified",
            mend_zh="检查 auth 是否运行、网关能否访问它",
            mend_en="look whether auth runs and the gateway reaches it",
        )
    if plane.engine.versions.age_s > plane.settings.versions_stale_s:
        raise VersionsUnknown(
            "已发布版本未及时更新",
            "the published versions could not be read lately: this process may serve an older one",
            mend_zh="检查数据库；若其正常，重启本进程",
            mend_en="look at the database; where it is well, start this process again",
        )


async def answer_metrics(x: Exchange) -> None:
    """`/metrics`, for the monitoring's networks only, and of one process: on its own port where it has one.

    The monitoring asks us itself. What a proxy passes on comes from anywhere, however near the proxy stands.
    """
    if any(name in x.headers for name in _FORWARDED) or not is_within(
        x.client_ip, x.plane.settings.metrics_networks
    ):
        raise NotFound("地址不存在", "no such address")
    own_port = x.plane.settings.own_port
    server = x.scope.get("server") or ("", 0)
    if own_port and server[1] != own_port:
        raise NotFound(
            "各网关进程的指标在各自的端口上",
            "every gateway process shows its metrics on a port of its own",
            mend_zh="见 edulake status 列出的端口",
            mend_en="`edulake status` lists the ports",
        )
    await _show(x)
