"""SQL of the quotas that administrators set. An ended one stays as a row, so that processes notice."""

from collections.abc import Sequence

from edulake.common.db import ReadOnlySession
from edulake.share_gateway.limits.schemas import Quota
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

_PUT = text("""
INSERT INTO gateway.quota_override (client_id, api, rate_per_s, day_quota, month_quota, changed_by)
VALUES (:client_id, :api, :rate_per_s, :day_quota, :month_quota, :by)
ON CONFLICT (client_id, api) DO UPDATE SET rate_per_s = excluded.rate_per_s, day_quota = excluded.day_quota,
    month_quota = excluded.month_quota, changed_by = excluded.changed_by, changed_at = now(), is_active = true
RETURNING *
""")
_END = text("""
UPDATE gateway.quota_override SET is_active = false, changed_by = :by, changed_at = now()
WHERE client_id = :client_id AND api = :api AND is_active RETURNING api
""")
_LIST = text("SELECT * FROM gateway.quota_override WHERE is_active ORDER BY client_id, api LIMIT 1000")


async def put(session: AsyncSession, client_id: str, api: str, quota: Quota, by: str) -> RowMapping:
    row = {"client_id": client_id, "api": api, "by": by, **quota.model_dump(include=set(Quota.model_fields))}
    return (await session.execute(_PUT, row)).mappings().one()


async def end(session: AsyncSession, client_id: str, api: str, by: str) -> bool:
    """True when there was one."""
    found = await session.execute(_END, {"client_id": client_id, "api": api, "by": by})
    return found.one_or_none() is not None


async def all_active(session: ReadOnlySession) -> Sequence[RowMapping]:
    return (await session.execute(_LIST)).mappings().all()
