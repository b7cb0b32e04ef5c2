"""Our own administration is also called from inside: by the portal, with a signed context for us.

From outside it takes a token like everything else. A context is signed for this audience and good for a
minute; the application behind verifies it, so a forged one is refused there.
"""

from collections.abc import Awaitable

from edulake.common.identity import HEADER, ContextVerifier
from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.stages.answer_here import answer_with
from edulake.share_gateway.stages.identity import identity
from edulake.share_gateway.stages.revocation import revocation

_FIELD = HEADER.lower().encode()


async def answer_own(x: Exchange) -> None:
    """Answer `/api/gateway/*` for a token, or for a context of one of our services."""
    context = x.headers.get(_FIELD)
    if context is not None and b"authorization" not in x.headers:
        text = context.decode("latin-1")
        subject = ContextVerifier(x.plane.settings.internal_key, "gateway").verify(text)
        if not subject.has("service"):  # a service asks for many people, and is one of ours
            x.plane.own_rates.take(subject.id)
        await answer_with(x, x.plane.upstreams.headers_of(x, text))
        return
    waiting: Awaitable[None] | None = identity(x)
    if waiting is not None:
        await waiting
    revocation(x)
    x.plane.own_rates.take(x.principal.subject.id)
    await answer_with(x, x.plane.upstreams.headers_of(x))
