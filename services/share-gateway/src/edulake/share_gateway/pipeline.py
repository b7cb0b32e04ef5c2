"""The data plane, stage by stage. A stage raises a Problem or lets the request pass; order matters:

* the spelling of the address and of the message is settled before anything reads them;
* nobody is counted, looked up or forwarded before it is known and not revoked;
* the audit record is written before the first byte of the answer.

A stage answers None at once, or an awaitable when it has to wait: waiting costs only where it happens.
"""

from collections.abc import Awaitable, Callable

from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.stages.answer_here import answer_health, answer_metrics
from edulake.share_gateway.stages.approval import approval
from edulake.share_gateway.stages.audit import audit
from edulake.share_gateway.stages.cache import cache
from edulake.share_gateway.stages.canonical_path import canonical_path
from edulake.share_gateway.stages.execute import execute
from edulake.share_gateway.stages.forward import forward
from edulake.share_gateway.stages.identity import identity
from edulake.share_gateway.stages.inside import answer_own
from edulake.share_gateway.stages.one_address import one_address
from edulake.share_gateway.stages.quota import quota
from edulake.share_gateway.stages.rate import rate
from edulake.share_gateway.stages.respond import respond
from edulake.share_gateway.stages.revocation import revocation
from edulake.share_gateway.stages.strict_message import strict_message
from edulake.share_gateway.stages.subscribe import subscribe
from edulake.share_gateway.stages.turn_away import turn_away
from edulake.share_gateway.stages.validate import validate
from edulake.share_gateway.upstream.routes import Kind, route_of

Stage = Callable[[Exchange], Awaitable[None] | None]

ENTRY: tuple[Stage, ...] = (canonical_path, strict_message)
AFTER: dict[Kind, tuple[Stage, ...]] = {
    Kind.SHARE: (identity, revocation, quota, approval, validate, cache, execute, audit, respond),
    Kind.STREAM: (identity, revocation, subscribe),
    Kind.SERVICE: (identity, revocation, rate, forward),
    Kind.OWN: (answer_own,),
    Kind.OPEN: (one_address, forward),
    Kind.HEALTH: (answer_health,),
    Kind.METRICS: (answer_metrics,),
    Kind.NOWHERE: (turn_away,),
}


async def run(x: Exchange) -> None:
    """Take one exchange through its stages."""
    for enter in ENTRY:
        enter(x)
    x.route = route_of(x.path)
    for stage in AFTER[x.route.kind]:
        waiting = stage(x)
        if waiting is not None:
            await waiting
