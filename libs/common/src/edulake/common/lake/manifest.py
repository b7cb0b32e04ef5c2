"""Manifest rows: the only truth about which version of a table is current and what it is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypedDict

import orjson
from edulake.common import locks
from edulake.common.clock import now
from edulake.common.errors import Conflict, NotFound, Problem
from edulake.common.locks import Space
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_COLUMNS = (
    "zone, table_name, version, delta_version, batch_id, files, parts, row_count, content_digest, "
    "restored_from, vacuumed, current, created_at"
)


class VersionNotFound(NotFound):
    code, title_zh, title_en = "lake-version-not-found", "没有该数据版本", "No such version of the table"


class VersionGone(Conflict):
    code, title_zh, title_en = (
        "lake-version-gone",
        "该版本已超出恢复期",
        "This version is outside the restore window",
    )


class TableDamaged(Problem):
    """Files of a version are lost or cut; only a person can bring them back."""

    status, code = 503, "lake-table-damaged"
    title_zh, title_en = "数据表文件缺失或损坏", "Files of the table are missing or damaged"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One stored file: path relative to its table, size in bytes, SM3 of its bytes (hex; "" on object stores)."""

    path: str
    size: int
    sm3: str = ""


class Part(TypedDict):
    """What a manifest knows of one partition."""

    digest: str
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of a table (or one batch of sealed objects, then `delta_version` is None)."""

    zone: str
    table: str
    version: int
    delta_version: int | None
    batch_id: str | None
    files: tuple[DataFile, ...]
    parts: dict[str, Part] | None
    row_count: int
    content_digest: str
    restored_from: int | None
    vacuumed: bool
    current: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """What a writer knows about a version before it is numbered."""

    files: tuple[DataFile, ...]
    row_count: int
    content_digest: str
    delta_version: int | None = None
    parts: dict[str, Part] | None = None
    log: Mapping[int, str] | None = None
    restored_from: int | None = None


async def lock(session: AsyncSession, zone: str, table: str, *, wait: bool = True) -> bool:
    """Become the only writer of a table until the transaction ends; without `wait`, False when taken."""
    name = f"{zone}/{table}"
    if wait:
        await locks.lock(session, Space.LAKE_TABLE, name)
        return True
    return await locks.try_lock(session, Space.LAKE_TABLE, name)


async def current(session: AsyncSession, zone: str, table: str) -> Manifest | None:
    return await _one(session, zone, table, "current", {})


async def by_batch(session: AsyncSession, zone: str, table: str, batch_id: str) -> Manifest | None:
    return await _one(session, zone, table, "batch_id = :batch_id", {"batch_id": batch_id})


async def by_version(session: AsyncSession, zone: str, table: str, version: int) -> Manifest | None:
    return await _one(session, zone, table, "version = :version", {"version": version})


async def _one(
    session: AsyncSession, zone: str, table: str, where: str, values: dict[str, Any]
) -> Manifest | None:
    statement = f"SELECT {_COLUMNS} FROM lake.manifest WHERE zone = :zone AND table_name = :table AND {where}"  # noqa: S608
    found = (await session.execute(text(statement), {"zone": zone, "table": table, **values})).one_or_none()
    return None if found is None else _manifest(found)


async def every(session: AsyncSession, zone: str | None = None, table: str | None = None) -> list[Manifest]:
    """All manifests, oldest version first; of one zone or table when named."""
    statement = (
        (
            f"SELECT {_COLUMNS} FROM lake.manifest WHERE (:zone::text IS NULL OR zone = :zone) "  # noqa: S608
            "AND (:table::text IS NULL OR table_name = :table) ORDER BY zone, table_name, version"
        )
        .replace(":zone::text", "CAST(:zone AS text)")
        .replace(":table::text", "CAST(:table AS text)")
    )
    return [_manifest(row) for row in await session.execute(text(statement), {"zone": zone, "table": table})]


async def heads(session: AsyncSession) -> list[tuple[str, str]]:
    """Zone and name of every table (objects left out), in one order for everybody who takes their locks."""
    statement = (
        "SELECT zone, table_name FROM lake.manifest WHERE current AND delta_version IS NOT NULL ORDER BY 1, 2"
    )
    return [(zone, table) for zone, table in await session.execute(text(statement))]


async def log_texts(session: AsyncSession, zone: str, table: str) -> dict[int, str]:
    """Every Delta commit the manifests vouch for, {delta version: text of its JSON file}."""
    statement = text(
        "SELECT log FROM lake.manifest WHERE zone = :zone AND table_name = :table ORDER BY version"
    )
    found: dict[int, str] = {}
    for log in await session.scalars(statement, {"zone": zone, "table": table}):
        found.update({int(version): commit for version, commit in _json(log).items()})
    return found


async def insert(
    session: AsyncSession, zone: str, table: str, batch_id: str | None, draft: Draft
) -> Manifest:
    """Number a version and make it current. The caller holds the lock of the table."""
    key = {"zone": zone, "table": table}
    last = text(
        "SELECT coalesce(max(version), 0) FROM lake.manifest WHERE zone = :zone AND table_name = :table"
    )
    version = int(await session.scalar(last, key) or 0) + 1
    retire = "UPDATE lake.manifest SET current = false WHERE zone = :zone AND table_name = :table AND current"
    await session.execute(text(retire), key)
    statement = f"""
        INSERT INTO lake.manifest ({_COLUMNS}, log) VALUES (:zone, :table, :version, :delta_version, :batch_id,
            CAST(:files AS jsonb), CAST(:parts AS jsonb), :row_count, :content_digest, :restored_from, false, true,
            :created_at, CAST(:log AS jsonb)) RETURNING {_COLUMNS}"""  # noqa: S608 - constants only
    values = {
        **key,
        "version": version,
        "batch_id": batch_id,
        "delta_version": draft.delta_version,
        "row_count": draft.row_count,
        "content_digest": draft.content_digest,
        "restored_from": draft.restored_from,
        "created_at": now(),
        "files": _dumps([asdict(file) for file in draft.files]),
        "parts": None if draft.parts is None else _dumps(draft.parts),
        "log": _dumps({str(number): commit for number, commit in (draft.log or {}).items()}),
    }
    return _manifest((await session.execute(text(statement), values)).one())


async def in_use(session: AsyncSession, zone: str, table: str, versions: Sequence[int]) -> set[int]:
    """Those of the versions that can still be read."""
    statement = text(
        "SELECT version FROM lake.manifest WHERE zone = :zone AND table_name = :table "
        "AND version = ANY(:versions) AND NOT vacuumed"
    )
    found = {"zone": zone, "table": table, "versions": list(versions)}
    return set(await session.scalars(statement, found))


async def mark_vacuumed(session: AsyncSession, zone: str, table: str, versions: list[int]) -> None:
    statement = text(
        "UPDATE lake.manifest SET vacuumed = true "
        "WHERE zone = :zone AND table_name = :table AND version = ANY(:versions)"
    )
    await session.execute(statement, {"zone": zone, "table": table, "versions": versions})


def _manifest(row: Any) -> Manifest:
    values = dict(row._mapping)
    values["table"] = values.pop("table_name")
    values["files"] = tuple(DataFile(**file) for file in _json(values["files"]))
    values["parts"] = _json(values["parts"])
    return Manifest(**values)


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
