"""SQL of the figures at a glance."""

from edulake.common.db import ReadOnlySession
from sqlalchemy import text

_FIGURES = text("""
SELECT (SELECT count(*) FROM gateway.grant WHERE status = 'active' AND now() BETWEEN valid_from AND valid_until)
        AS open_grants,
    coalesce(sum(calls) FILTER (WHERE status < 400), 0)::bigint AS calls_today,
    coalesce(sum(calls) FILTER (WHERE status >= 400), 0)::bigint AS refused_today,
    coalesce((SELECT seq FROM gateway.audit_head), 0) AS audit_rows
FROM gateway.audit WHERE at >= date_trunc('day', now(), 'Asia/Shanghai')
""")


async def figures(session: ReadOnlySession) -> dict[str, int]:
    """open_grants, calls_today, refused_today, audit_rows."""
    return dict((await session.execute(_FIGURES)).mappings().one())
