"""SQL of the audit chain. One writer at a time, by a transaction's advisory lock."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from edulake.common import locks
from edulake.common.db import ReadOnlySession
from edulake.common.locks import Space
from edulake.share_gateway.audit.chain import Head, Link, Record
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

_FIELDS = tuple(field.name for field in fields(Record))
_TYPES = {
    "at": "timestamptz",
    "level": "smallint",
    "status": "smallint",
    "calls": "bigint",
    "version": "bigint",
    "seq": "bigint",
    "hash": "bytea",
}
_COLUMNS = ("seq", *_FIELDS, "kid", "hash")
_HEAD = text("SELECT seq, hash, kid, seal FROM gateway.audit_head")
_PUT_HEAD = text("""
INSERT INTO gateway.audit_head (seq, hash, kid, seal) VALUES (:seq, :hash, :kid, :seal)
ON CONFLICT (only_row) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, kid = excluded.kid,
    seal = excluded.seal
""")
#: A row's tokens travel as one text: an array of arrays would be taken apart.
_TAKEN = ", ".join("string_to_array(records, ' ')" if name == "records" else name for name in _COLUMNS)
_APPEND = text(
    f"INSERT INTO gateway.audit ({', '.join(_COLUMNS)}) SELECT {_TAKEN} FROM unnest("  # noqa: S608 - constants only
    + ", ".join(f"CAST(:{name} AS {_TYPES.get(name, 'text')}[])" for name in _COLUMNS)
    + f") AS given ({', '.join(_COLUMNS)})"
)
_LINKS = text(
    f"SELECT {', '.join(_COLUMNS)} FROM gateway.audit WHERE seq > :after ORDER BY seq LIMIT :limit"  # noqa: S608
)
_LIST = text(f"""
SELECT {", ".join(_COLUMNS)} FROM gateway.audit
WHERE seq < :before AND (CAST(:client AS text) IS NULL OR client_id = :client)
  AND (CAST(:api AS text) IS NULL OR api = :api)
  AND (CAST(:records AS text[]) IS NULL OR record <> '' AND record = ANY(CAST(:records AS text[]))
       OR records <> '{{}}' AND records && CAST(:records AS text[]))
ORDER BY seq DESC LIMIT :limit
""")  # noqa: S608 - constants only
_USAGE = text("""
SELECT api, date_trunc('day', at, 'Asia/Shanghai') AS day,
    coalesce(sum(calls) FILTER (WHERE status < 400), 0)::bigint AS answered,
    coalesce(sum(calls) FILTER (WHERE status >= 400), 0)::bigint AS refused
FROM gateway.audit
WHERE kind <> 'opened' AND at > now() - make_interval(days => :days)
  AND (CAST(:client AS text) IS NULL OR client_id = :client)
  AND (CAST(:apis AS text[]) IS NULL OR api = ANY(CAST(:apis AS text[])))
GROUP BY api, day ORDER BY day DESC, api LIMIT 1000
""")


_USAGE_TODAY = text("""
SELECT client_id, api,
    coalesce(sum(calls) FILTER (WHERE status < 400), 0)::bigint AS answered,
    coalesce(sum(calls) FILTER (WHERE status >= 400), 0)::bigint AS refused
FROM gateway.audit
WHERE kind <> 'opened' AND at >= date_trunc('day', now(), 'Asia/Shanghai') AND client_id = ANY(:clients)
GROUP BY client_id, api
""")


async def lock_head(session: AsyncSession) -> Head | None:
    """Become the only writer until the transaction ends, and learn where the chain ends."""
    await locks.lock(session, Space.AUDIT_CHAIN)
    return await head(session)


async def head(session: AsyncSession | ReadOnlySession) -> Head | None:
    row = (await session.execute(_HEAD)).one_or_none()
    return Head(row.seq, bytes(row.hash), row.kid, bytes(row.seal)) if row else None


async def append(session: AsyncSession, links: Sequence[Link], new_head: Head) -> None:
    """Add links behind the locked head."""
    columns: dict[str, list[Any]] = {name: [getattr(link.record, name) for link in links] for name in _FIELDS}
    columns["records"] = [" ".join(link.record.records) for link in links]
    columns["seq"] = [link.seq for link in links]
    columns["kid"] = [link.kid for link in links]
    columns["hash"] = [link.hash for link in links]
    await session.execute(_APPEND, columns)
    tip = {"seq": new_head.seq, "hash": new_head.hash, "kid": new_head.kid, "seal": new_head.seal}
    await session.execute(_PUT_HEAD, tip)


async def links_after(session: ReadOnlySession, after: int, limit: int) -> list[Link]:
    """The next links in order, for verification."""
    found = await session.execute(_LINKS, {"after": after, "limit": limit})
    return [link_of(row) for row in found.mappings()]


async def newest(
    session: ReadOnlySession,
    *,
    client: str | None,
    api: str | None,
    records: Sequence[str] | None,
    before: int,
    limit: int,
) -> list[Link]:
    """Links that match, newest first, with a sequence number below `before`.

    `records`: one of these tokens stands for what was asked, or for a record that was answered.
    """
    wanted = None if records is None else list(records)
    scope = {"client": client, "api": api, "records": wanted, "before": before, "limit": limit}
    return [link_of(row) for row in (await session.execute(_LIST, scope)).mappings()]


async def usage(
    session: ReadOnlySession, client: str | None, apis: Sequence[str] | None, days: int
) -> Sequence[RowMapping]:
    """Calls per API and Beijing day, newest first; None: of all clients, of all APIs."""
    asked = {"client": client, "apis": None if apis is None else list(apis), "days": days}
    return (await session.execute(_USAGE, asked)).mappings().all()


async def usage_today(session: ReadOnlySession, clients: Sequence[str]) -> Sequence[RowMapping]:
    """Calls per client and API since midnight in Beijing."""
    return (await session.execute(_USAGE_TODAY, {"clients": list(clients)})).mappings().all()


def link_of(row: RowMapping) -> Link:
    record = Record(**{**{name: row[name] for name in _FIELDS}, "records": tuple(row["records"])})
    return Link(row["seq"], record, row["kid"], bytes(row["hash"]))
