"""SQL of the access projections: what handlers write, what every process follows.

Following: each look reads the rows whose mark is at or above the oldest transaction that was still
open at the look before. A row committed meanwhile is seen at the next look however long another
transaction lasts, none is missed, and some are read twice, which is harmless because rows are states.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edulake.common.bus.unsettled import Unsettled, unsettled
from edulake.common.db import ReadOnlySession
from edulake.common.events import AccessClientChanged, AccessGrantChanged, AccessTokenRevoked
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

#: With as many changes unsettled, on their way or late, nothing is believed (ADR 0018).
UNSETTLED_MAX = 5000
# A revoked or expired grant never becomes active again: new access is a new grant. So its end is taken over
# whatever the times say, and anything else only when it is newer and the grant has not ended.
_PUT_GRANT = text("""
INSERT INTO gateway.grant AS kept (grant_id, client_id, api, dataset, purpose, columns, districts, mask_level,
    valid_from, valid_until, ip_allow, rate_per_s, day_quota, level, status, event_at)
VALUES (:grant_id, :client_id, :api, :dataset, :purpose, :columns, :districts, :mask_level,
    :valid_from, :valid_until, :ip_allow, :rate_per_s, :day_quota, :level, :status, :event_at)
ON CONFLICT (grant_id) DO UPDATE SET client_id = excluded.client_id, api = excluded.api,
    dataset = excluded.dataset, purpose = excluded.purpose, columns = excluded.columns,
    districts = excluded.districts, mask_level = excluded.mask_level, valid_from = excluded.valid_from,
    valid_until = excluded.valid_until, ip_allow = excluded.ip_allow, rate_per_s = excluded.rate_per_s,
    day_quota = excluded.day_quota, level = excluded.level, status = excluded.status,
    event_at = greatest(kept.event_at, excluded.event_at)
WHERE excluded.status <> 'active' OR (kept.status = 'active' AND kept.event_at <= excluded.event_at)
""")
_PUT_REVOCATION = text("""
INSERT INTO gateway.token_revocation AS kept (subject, jti, client_id, before, expires_at)
VALUES (:subject, :jti, :client_id, :before, :expires_at)
ON CONFLICT (subject) DO UPDATE SET before = greatest(kept.before, excluded.before),
    expires_at = greatest(kept.expires_at, excluded.expires_at)
""")
_PUT_CLIENT = text("""
INSERT INTO gateway.client_status AS kept (client_id, status, event_at)
VALUES (:client_id, :status, :event_at)
ON CONFLICT (client_id) DO UPDATE SET status = excluded.status, event_at = excluded.event_at
WHERE kept.event_at <= excluded.event_at
""")
_FORGET = text("DELETE FROM gateway.token_revocation WHERE expires_at < now() - interval '1 day'")

_MARK = text("SELECT pg_snapshot_xmin(pg_current_snapshot())")
_SINCE = "WHERE txid >= CAST(:mark AS xid8)"
_GRANTS = text(f"SELECT * FROM gateway.grant {_SINCE}")  # noqa: S608 - constants only
# Two minutes longer than the tokens live: the issuer's clock may have been ahead.
_REVOCATIONS = text(
    f"SELECT jti, client_id, before, expires_at FROM gateway.token_revocation {_SINCE} "  # noqa: S608
    "AND expires_at > now() - interval '2 minutes'"
)
_CLIENTS = text(f"SELECT client_id, status FROM gateway.client_status {_SINCE}")  # noqa: S608
_LIMITS = text(f"SELECT * FROM gateway.quota_override {_SINCE}")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a mark, and the mark for the next look."""

    mark: int
    grants: Sequence[RowMapping]
    revocations: Sequence[RowMapping]
    clients: Sequence[RowMapping]
    limits: Sequence[RowMapping]
    #: Announced, and not in the rows above.
    unsettled: Sequence[Unsettled]


async def changes_since(session: ReadOnlySession, mark: int, group: str, names: Sequence[str]) -> Changes:
    """One consistent look; mark 0 reads everything. `group` applies the events of `names`."""
    at: dict[str, Any] = {"mark": mark}
    newest = int(await session.scalar(_MARK) or 0)
    return Changes(
        mark=newest,
        grants=(await session.execute(_GRANTS, at)).mappings().all(),
        revocations=(await session.execute(_REVOCATIONS, at)).mappings().all(),
        clients=(await session.execute(_CLIENTS, at)).mappings().all(),
        limits=(await session.execute(_LIMITS, at)).mappings().all(),
        unsettled=await unsettled(session, group, names, limit=UNSETTLED_MAX),
    )


async def put_grant(session: AsyncSession, facts: AccessGrantChanged, event_at: datetime) -> None:
    """Keep the newest state of a grant."""
    row = facts.model_dump(exclude={"change", "application_id", "resource_id"})
    await session.execute(_PUT_GRANT, {**row, "event_at": event_at})


async def put_revocation(session: AsyncSession, facts: AccessTokenRevoked) -> None:
    """Keep a revocation; the widest one of a subject counts."""
    subject = f"jti:{facts.jti}" if facts.jti else f"client:{facts.client_id}"
    row = facts.model_dump()
    await session.execute(_PUT_REVOCATION, {**row, "subject": subject})
    await session.execute(_FORGET)


async def put_client(session: AsyncSession, facts: AccessClientChanged, event_at: datetime) -> None:
    """Keep the newest status of a client."""
    row = {"client_id": facts.client_id, "status": facts.status, "event_at": event_at}
    await session.execute(_PUT_CLIENT, row)
