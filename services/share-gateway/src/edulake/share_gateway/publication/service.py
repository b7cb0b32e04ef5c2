"""Publishing a governed version: its rows, table and view change in one transaction."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import polars as pl
from edulake.common import faults
from edulake.common.bus import announce
from edulake.common.db import Database
from edulake.common.events import BY_BLOCK
from edulake.common.lake import Lake, content_digest
from edulake.common.standards import Contract, Standards
from edulake.common.telemetry import logger
from edulake.share_gateway.engine import serving
from edulake.share_gateway.engine.compile import MAX_DATASET_LENGTH
from edulake.share_gateway.engine.definition import CompiledApi, define
from edulake.share_gateway.publication import announcing, loader, repository
from edulake.share_gateway.publication.guard import Counts, Losses, losses
from edulake.share_gateway.publication.loader import NotPublishable
from edulake.share_gateway.publication.schemas import Job, Publication
from edulake.share_gateway.publication.settings import PublisherSettings
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from edulake.common.lake import Manifest

log = logger(__name__)
GOVERNED = "governed"


class LeaseLost(Exception):
    """Another worker has taken the job; whatever was done is undone."""


class HeldBack(Exception):
    """The version lacks too much of what is served; a person may release it. The reason holds no value of a row."""

    def __init__(self, lacking: Losses) -> None:
        super().__init__(lacking.en)
        self.reason_zh = f"与现行发布相比：{lacking.zh}"
        self.reason_en = f"against what is served: {lacking.en}"


@dataclass(frozen=True)
class Prepared:
    """What a publication is made of: the serving rows, the batches behind them (None: not told), seconds by step."""

    rows: pl.DataFrame
    batches: frozenset[str] | None
    seconds: Mapping[str, float]


class Publisher:
    """Turns governed versions into published ones."""

    def __init__(
        self, database: Database, lake: Lake, standards: Standards, settings: PublisherSettings
    ) -> None:
        self._database = database
        self._lake = lake
        self._contracts = standards.datasets
        self._apis = _defined(standards)
        self._settings = settings

    async def prepare(self, job: Job) -> Prepared:
        """What a job's governed version is to be published with; changes nothing.

        Raises NotPublishable when the version must not be served, VersionGone or VersionNotFound when the
        lake no longer has it. What is published already is not looked at again.
        """
        async with self._database.transaction() as session:
            if await self._covering(session, job):
                return Prepared(pl.DataFrame(), None, {})
        contract = self._contract(job)
        loader.check_level(job.level, contract)
        began = time.perf_counter()
        async with self._database.transaction() as session:
            manifest = await self._lake.manifest(session, GOVERNED, job.dataset, job.governed_version)
        frame = await self._lake.read(manifest)
        batches = await self._batches(job)
        read_s = time.perf_counter() - began
        rows = await asyncio.to_thread(_checked_rows, frame, manifest, contract)
        return Prepared(rows, batches, {"read": read_s, "check": time.perf_counter() - began - read_s})

    async def _batches(self, job: Job) -> frozenset[str] | None:
        """The batches whose rows the version was merged from. Kept with it: who rolls back has no lake at hand."""
        if job.parts_version is None:
            return None
        async with self._database.read() as session:
            parts = await self._lake.manifest(session, GOVERNED, f"{job.dataset}__parts", job.parts_version)
        return frozenset((await self._lake.read(parts, ["_batch_id"]))["_batch_id"].unique())

    async def publish(self, job: Job, prepared: Prepared) -> Publication:
        """Serve the rows as the next version, and close the job: all of it or nothing.

        A governed version that is published already (repeated by another batch, or overtaken by a newer one)
        is only announced. Raises LeaseLost, HeldBack when it lacks too much of what is served, or NotPublishable
        when Postgres refuses the rows.
        """
        began = time.perf_counter()
        try:
            async with self._database.transaction() as session:
                await self._limit(session)
                await repository.lock_dataset(session, job.dataset)
                if not await repository.hold(session, job):
                    raise LeaseLost(job.dataset)
                published = await self._covering(session, job) or await self._swap(session, job, prepared)
                steps = {**prepared.seconds, "publish": time.perf_counter() - began}
                await repository.end_job(
                    session, job, "published", version=published.version, seconds_by_step=steps
                )
                await repository.reopen_held_before(session, job)
                await announce(session, announcing.updated(published, batch_id=job.batch_id))
                await faults.point("publisher.before_commit")
        except (IntegrityError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise _refused_by_postgres(error) from None
        return published

    async def _covering(self, session: AsyncSession, job: Job) -> Publication | None:
        """The publication that holds what the job's version holds: its own, or a newer one made on top of it.

        NotPublishable when a restore has undone the version, whether that is published already or not: it must
        neither be taken for published nor be served before what was restored, or in its place.
        """
        found = await repository.published_since(session, job.dataset, job.governed_version)
        if found and found[0].governed_version == job.governed_version:
            return found[0]
        known = await self._lake.versions(session, GOVERNED, job.dataset)
        restores = {each.version: each.restored_from for each in known if each.restored_from is not None}
        for each in found:
            if is_made_on(each.governed_version, job.governed_version, restores):
                return each
        newest = max((each.version for each in known), default=job.governed_version)
        if not found and is_made_on(newest, job.governed_version, restores):
            return None
        raise NotPublishable(
            "该治理版本已被恢复操作撤销，不再发布",
            "a restore has undone this governed version: it is not published any more",
        )

    async def _limit(self, session: AsyncSession) -> None:
        statement, lock = (
            self._settings.publisher_statement_timeout_s,
            self._settings.publisher_lock_timeout_s,
        )
        await session.execute(text(f"SET LOCAL statement_timeout = '{statement:d}s'"))
        await session.execute(text(f"SET LOCAL lock_timeout = '{lock:d}s'"))

    async def _swap(self, session: AsyncSession, job: Job, prepared: Prepared) -> Publication:
        rows = prepared.rows
        contract = self._contract(job)
        columns = serving.served_columns(contract)
        before = await repository.current(session, job.dataset)
        await self._guard(session, job, before, rows)
        facts = {
            "title": contract.title,
            "row_count": rows.height,
            "level": max(job.level, *(field.level for field in contract.served_fields)),
            "columns": columns,
            "protection": serving.served_protection(contract),
            "batches": None if prepared.batches is None else sorted(prepared.batches),
        }
        version = (await repository.add_publication(session, job, facts)).version
        await repository.run(session, [serving.create_table(job.dataset, version, columns)])
        await _copy(session, f"{job.dataset}__v{version}", rows)
        await faults.point("publisher.after_copy")
        await repository.run(session, serving.create_indexes(contract, version, columns, self._apis))
        await repository.run(session, [serving.grant_reading(job.dataset, version)])
        same_shape = before is not None and list(before.columns.items()) == list(columns.items())
        await repository.run(
            session, serving.point_view(job.dataset, version, columns, same_shape=same_shape)
        )
        current = await repository.make_current(session, job.dataset, version, "publisher")
        outdated = await repository.forget_outdated(
            session, job.dataset, self._settings.published_versions_kept
        )
        await repository.run(session, [serving.drop_table(job.dataset, old) for old in outdated])
        return current

    async def _guard(
        self, session: AsyncSession, job: Job, before: Publication | None, rows: pl.DataFrame
    ) -> None:
        """HeldBack unless enough of what is served is there, or somebody answers for what is not.

        Whoever agreed in governance agreed to what this version lacks of the one before it, not to what an older
        one lacks that is still held. What must not be served leaves in any case.
        """
        if before is None or job.released_by is not None or job.agreed_by == BY_BLOCK:
            return
        if job.agreed_by is not None and not await repository.is_held_before(session, job):
            return
        lacking = losses(await repository.counts_of(session, before), Counts.of(rows), self._contract(job))
        if lacking:
            raise HeldBack(lacking)

    def _contract(self, job: Job) -> Contract:
        contract = self._contracts.get(job.dataset)
        if contract is None or len(job.dataset) > MAX_DATASET_LENGTH:
            raise NotPublishable("数据集没有标准，不能发布", "the dataset has no contract and is not served")
        return contract


def is_made_on(version: int, base: int, restores: Mapping[int, int]) -> bool:
    """Whether a governed version holds what an earlier one held. `restores`: restored version → what it repeats."""
    while version > base:
        restored = max((each for each in restores if base < each <= version), default=None)
        if restored is None:
            return True
        version = restores[restored]
    return version == base


def _defined(standards: Standards) -> list[CompiledApi]:
    return [define(api, standards.datasets[api.dataset], standards.codes) for api in standards.apis.values()]


def _checked_rows(frame: pl.DataFrame, manifest: "Manifest", contract: Contract) -> pl.DataFrame:
    if frame.height != manifest.row_count or (
        manifest.parts is None and content_digest(frame) != manifest.content_digest
    ):
        raise NotPublishable(
            "湖中数据与清单摘要不符，须先核验数据湖",
            "the lake's rows differ from their manifest: verify the lake",
        )
    loader.check_protected(frame, contract)
    return loader.serving_rows(frame, contract)


async def _copy(session: AsyncSession, table: str, rows: pl.DataFrame) -> None:
    """COPY through the driver, inside the session's transaction (which an earlier statement has opened)."""
    raw = await (await session.connection()).get_raw_connection()
    driver = cast("asyncpg.Connection[Any]", raw.driver_connection)
    await driver.copy_to_table(
        table,
        source=_pieces(rows),
        schema_name="published",
        columns=rows.columns,
        format="csv",
        null=loader.NULL,
    )


async def _pieces(rows: pl.DataFrame) -> AsyncIterator[bytes]:
    """The CSV pieces, each made in a thread so that heart beats and other jobs go on."""
    pieces = loader.copy_chunks(rows)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


def _refused_by_postgres(error: Exception) -> NotPublishable:
    """Words without the row that Postgres complains about."""
    original = getattr(error, "orig", error)
    state = getattr(original, "sqlstate", "") or ""
    if state == "23505":
        return NotPublishable("业务主键重复，须先治理", "a business key occurs twice: govern the data first")
    return NotPublishable(f"数据库拒收（{state}）", f"Postgres refuses a value ({state})")
