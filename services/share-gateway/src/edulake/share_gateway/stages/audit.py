"""Who read what: a personal read waits for its row in the chain, general calls are counted (P5)."""

from collections.abc import Awaitable

from edulake.common.clock import now
from edulake.share_gateway.audit.chain import Record
from edulake.share_gateway.audit.writer import Counted
from edulake.share_gateway.exchange import Exchange


def audit(x: Exchange) -> Awaitable[None] | None:
    """Return when what this answer owes to the chain is done; 503 when it cannot be."""
    api, access = x.api, x.access
    if api.is_personal:
        return x.plane.audit.write(_read_of(x))
    x.plane.audit.count(
        Counted(x.principal.client_id, access.grant_id, api.name, access.purpose, api.level, 200, x.version)
    )
    return None


def count_refusal(x: Exchange, status: int) -> None:
    """Count a call of a known caller to a known API that was refused or failed."""
    grant_id = x.access.grant_id if hasattr(x, "access") else ""
    x.plane.audit.count(Counted(x.principal.client_id, grant_id, x.api.name, "", x.api.level, status, 0))


def _read_of(x: Exchange) -> Record:
    return Record(
        at=now(),
        kind="read",
        client_id=x.principal.client_id,
        grant_id=x.access.grant_id,
        api=x.api.name,
        purpose=x.access.purpose,
        level=x.api.level,
        status=200,
        calls=1,
        record=x.plane.question_token(x.api, x.call),
        client_ip=x.client_ip,
        trace_id=x.trace,
        version=x.version,
        records=x.plane.record_tokens(x.records),
    )
