"""The lake's door: tables and sealed objects by zone and name."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import polars as pl
from edulake.common import faults
from edulake.common.clock import now
from edulake.common.gm import KeyRing
from edulake.common.lake import delta, inspection, manifest
from edulake.common.lake.inspection import Discrepancy, Repair
from edulake.common.lake.manifest import (
    DataFile,
    Draft,
    Manifest,
    TableDamaged,
    VersionGone,
    VersionNotFound,
)
from edulake.common.lake.objects import Objects
from sqlalchemy.ext.asyncio import AsyncSession

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
P = ParamSpec("P")
T = TypeVar("T")


class Lake:
    """All tables and objects under one directory or object-store address.

    Writing methods take the caller's session: the manifest row commits with whatever else the caller
    decides (the event), and the writer's lock lasts until then. Readers follow the manifest.
    """

    def __init__(self, url: str, storage_options: Mapping[str, str] | None = None) -> None:
        scheme = urlsplit(url).scheme
        self._folder = (
            Path(unquote(urlsplit(url).path) if scheme == "file" else url) if scheme in ("", "file") else None
        )
        self._url = url.rstrip("/")
        self._options = dict(storage_options) if storage_options else None
        self._objects = Objects(self._folder)

    async def write_table(
        self,
        session: AsyncSession,
        zone: str,
        table: str,
        data: pl.DataFrame,
        *,
        batch_id: str | None,
        partition: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Write a new current version; a `batch_id` written before changes nothing and gives its manifest.

        `batch_id` is the writer's idempotency key: reprocessing under a changed contract needs another.
        `partition` replaces the rows of one partition only (`{"_source": "x", "_period": "2024"}`);
        an empty frame removes it. Raises TypeError or ValueError for what a table cannot hold.
        """
        await manifest.lock(session, zone, table)
        if batch_id and (earlier := await manifest.by_batch(session, zone, table, batch_id)):
            return earlier
        current = await manifest.current(session, zone, table)
        place = self._table(zone, table)
        draft = await _in_thread(delta.write, place, data, current, partition=partition)
        await faults.point("lake.before_manifest")
        return await manifest.insert(session, zone, table, batch_id, draft)

    async def restore(self, session: AsyncSession, zone: str, table: str, version: int) -> Manifest:
        """Make an old version current again, as a new version; raises VersionNotFound or VersionGone."""
        await manifest.lock(session, zone, table)
        target = await self.manifest(session, zone, table, version)
        current = await self.manifest(session, zone, table)
        if target == current:
            return current
        draft = await _in_thread(delta.restore, self._table(zone, table), current, _readable(target))
        return await manifest.insert(session, zone, table, None, draft)

    async def manifest(
        self, session: AsyncSession, zone: str, table: str, version: int | None = None
    ) -> Manifest:
        """The manifest of a version, or of the current one; raises VersionNotFound."""
        found = (
            await manifest.current(session, zone, table)
            if version is None
            else await manifest.by_version(session, zone, table, version)
        )
        if found is None:
            named = f"{zone}/{table}" + ("" if version is None else f" v{version}")
            raise VersionNotFound(f"数据湖中没有 {named}", f"the lake holds no {named}")
        return found

    async def versions(self, session: AsyncSession, zone: str, table: str) -> list[Manifest]:
        """All versions of a table, oldest first."""
        return await manifest.every(session, zone, table)

    async def in_use(self, session: AsyncSession, zone: str, table: str, versions: Sequence[int]) -> set[int]:
        """Those of the versions that are inside the restore window: they can be read and restored."""
        return await manifest.in_use(session, zone, table, versions)

    async def read_table(
        self,
        session: AsyncSession,
        zone: str,
        table: str,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """A version of ours (the current one when None) as a frame; row order means nothing."""
        return await self.read(await self.manifest(session, zone, table, version), columns)

    async def read(self, version: Manifest, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows of a manifest, without a session; raises VersionGone, or TableDamaged naming the file."""
        return await _in_thread(lambda: _select(self.scan(version), columns).collect())

    def scan(self, version: Manifest) -> pl.LazyFrame:
        """A lazy frame over a manifest's rows, for work that must not hold them all. Blocks shortly.

        Looks at the files first: the reader would not say which one is missing, and panics on a cut one.
        """
        place = self._table(version.zone, version.table)
        for found in inspection.check_files(place.folder, [version], deep=False) if place.folder else ():
            raise _damaged(found)
        return delta.scan(place, _readable(version).delta_version or 0)

    async def retire(
        self,
        session: AsyncSession,
        zone: str,
        table: str,
        *,
        keep_versions: int,
        keep_days: int,
        keep: Collection[int] = (),
    ) -> list[int]:
        """Take versions outside the restore window out of use; returns them. `vacuum` deletes their files.

        Kept are the newest `keep_versions` versions, all of the last `keep_days` days, those in `keep` and
        the current one.
        """
        await manifest.lock(session, zone, table)
        known = [each for each in await manifest.every(session, zone, table) if not each.vacuumed]
        since = now() - timedelta(days=keep_days)
        wanted = {each.version for each in known[-max(keep_versions, 1) :]} | set(keep)
        gone = [
            each.version
            for each in known
            if not (each.current or each.version in wanted or each.created_at >= since)
        ]
        await manifest.mark_vacuumed(session, zone, table, gone)
        return gone

    async def vacuum(self, session: AsyncSession, zone: str, table: str) -> int:
        """Delete the files that no version in use needs; returns their number.

        What `retire` took out of use must have been committed before: a crash in between leaves files that
        nobody needs, never a manifest without its files.
        """
        await manifest.lock(session, zone, table)
        known = await manifest.every(session, zone, table)
        return await _in_thread(self._vacuum, zone, table, [each for each in known if not each.vacuumed])

    def _vacuum(self, zone: str, table: str, kept: list[Manifest]) -> int:
        """Without anything to delete the log is left alone too: each vacuum adds two commits to it, and
        delta-rs names what it deleted before once more.
        """
        place = self._table(zone, table)
        needless = list(inspection.check_extra(place.folder, kept)) if place.folder else []
        if place.folder and not needless:
            return 0
        wanted = [each.delta_version for each in kept if each.delta_version is not None]
        deleted = delta.vacuum(place, next((each for each in kept if each.current), None), wanted)
        return len(needless) if place.folder else deleted

    async def put_raw(
        self,
        dataset: str,
        digest: str,
        name: str,
        chunks: Iterable[bytes],
        ring: KeyRing,
        *,
        zone: str = "raw",
    ) -> DataFile:
        """Seal `chunks` to `<zone>/<dataset>/<digest>/<name>`; what exists already stays as it is."""
        key = _key(zone, dataset, digest, name)
        return await _in_thread(self._objects.put, key, chunks, ring)

    @asynccontextmanager
    async def open_raw(
        self, dataset: str, digest: str, name: str, ring: KeyRing, *, zone: str = "raw"
    ) -> AsyncIterator[IO[bytes]]:
        """The verified plaintext of an object as a seekable file without a name, gone after the block."""
        key = _key(zone, dataset, digest, name)
        plain = await _in_thread(self._objects.open, key, ring)
        try:
            yield plain
        finally:
            plain.close()

    async def record_objects(
        self,
        session: AsyncSession,
        dataset: str,
        objects: Sequence[DataFile],
        *,
        batch_id: str,
        content_digest: str,
        row_count: int,
        zone: str = "raw",
    ) -> Manifest:
        """Vouch for the sealed objects of a batch, in the caller's transaction; idempotent by batch."""
        await manifest.lock(session, zone, dataset)
        earlier = await manifest.by_batch(session, zone, dataset, batch_id)
        draft = Draft(files=tuple(objects), row_count=row_count, content_digest=content_digest)
        return earlier or await manifest.insert(session, zone, dataset, batch_id, draft)

    async def verify(self, session: AsyncSession, *, deep: bool = False) -> list[Discrepancy]:
        """Compare every manifest with the lake; `deep` reads all bytes and digests the current rows again."""
        found: list[Discrepancy] = []
        for (zone, table), known in _by_table(await manifest.every(session)).items():
            log = await manifest.log_texts(session, zone, table)
            found += await _in_thread(self._verify, known, log, deep)
        return found

    def _verify(self, known: list[Manifest], log: Mapping[int, str], deep: bool) -> list[Discrepancy]:
        current = known[-1]
        place = self._table(current.zone, current.table)
        is_table = current.delta_version is not None
        found: list[Discrepancy] = []
        if self._folder is not None:
            root = place.folder if is_table and place.folder else self._folder
            found += inspection.check_files(root, known, deep=deep)
            found += inspection.check_extra(root, known) if is_table else []
        if is_table:
            found += inspection.check_log(place, current, log)
            found += inspection.check_content(place, current) if deep else []
        return found

    async def repair_at_start(self, session: AsyncSession) -> list[Repair]:
        """Bring every table back to its manifest after a crash; a table with a live writer is left to it.

        What cannot be repaired is among what is returned, with `is_mended` False, and stops no other table.
        """
        done: list[Repair] = []
        for zone, table in await manifest.heads(session):
            if not await manifest.lock(session, zone, table, wait=False):
                continue
            current = await self.manifest(session, zone, table)
            log = await manifest.log_texts(session, zone, table)
            place = self._table(zone, table)
            done += await _in_thread(inspection.mend, place, current, log)
        return done

    def _table(self, zone: str, table: str) -> delta.Table:
        key = _key(zone, table)
        if self._folder is None:
            return delta.Table(f"{self._url}/{key}", self._options, None)
        folder = (self._folder / key).absolute()
        return delta.Table(str(folder), self._options, folder)


async def _in_thread(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Run blocking work; a cancelled caller still waits for it, so that it ends under its lock."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **more))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _readable(version: Manifest) -> Manifest:
    if version.vacuumed or version.delta_version is None:
        named = f"{version.zone}/{version.table} v{version.version}"
        raise VersionGone(
            f"{named} 已被清理",
            f"{named} has been vacuumed",
            mend_zh="由原始数据重建",
            mend_en="rebuild from raw",
        )
    return version


def _damaged(found: Discrepancy) -> TableDamaged:
    named = f"{found.zone}/{found.table} v{found.version} {found.path}"
    chinese, english = inspection.WORDS[found.kind]
    return TableDamaged(
        f"{named} {chinese}",
        f"{named}: {english}",
        mend_zh="从备份取回该文件，或恢复到完好的版本后重新处理其后的批次",
        mend_en="bring the file back from a backup, or restore a sound version and reprocess later batches",
    )


def _select(rows: pl.LazyFrame, columns: Sequence[str] | None) -> pl.LazyFrame:
    return rows if columns is None else rows.select(columns)


def _key(*names: str) -> str:
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:60]!r} cannot be a name in the lake")
    return "/".join(names)


def _by_table(manifests: Iterable[Manifest]) -> dict[tuple[str, str], list[Manifest]]:
    found: dict[tuple[str, str], list[Manifest]] = {}
    for each in manifests:
        found.setdefault((each.zone, each.table), []).append(each)
    return found
