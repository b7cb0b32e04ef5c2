"""A delivery from its first byte to its batch: admitted, received, read, checked, landed.

Promise (P1): an answer of success means the sealed objects, the batch, the manifest and the event are
on the disk together; anything else leaves no batch. No database connection is held while bytes arrive.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl
from edulake.common.identity import Subject
from edulake.common.lake import Lake
from edulake.common.service import Resources
from edulake.common.standards import Contract, Grading, detect
from edulake.common.standards.detect import found_in
from edulake.common.telemetry import logger
from edulake.ingest.batch.headers import refuse_personal, refuse_wrong
from edulake.ingest.batch.keys import read_key
from edulake.ingest.batch.landing import Landed, Parcel, find_earlier, land
from edulake.ingest.batch.problems import (
    Busy,
    MissingPart,
    NotThisSourcesDataset,
    OtherRows,
    PersonalName,
    ReaderBroken,
    SourceSuspended,
    UnknownDataset,
    refused,
)
from edulake.ingest.batch.receive import Staged, staging
from edulake.ingest.batch.schemas import Period
from edulake.ingest.models import Source
from edulake.ingest.settings import IngestSettings
from edulake.ingest.source import service as sources
from edulake.ingest.source.readers.limits import Refusal
from edulake.ingest.source.readers.run import ReaderFailed, Reading, read_delivery
from fastapi import Request
from prometheus_client import Counter
from pydantic import TypeAdapter, ValidationError

log = logger(__name__)
DELIVERIES = Counter(
    "edulake_ingest_deliveries_total", "Deliveries by what became of them", ["dataset", "outcome"]
)
_PERIOD: TypeAdapter[str] = TypeAdapter(Period)
Receive = Callable[[Request, Path, IngestSettings], Awaitable[Staged]]


def settings_of(resources: Resources) -> IngestSettings:
    return cast(IngestSettings, resources.settings)


def deliveries_of(resources: Resources) -> "Deliveries":
    return cast(Deliveries, resources.extra["deliveries"])


@dataclass(frozen=True)
class Addressee:
    """Where a delivery goes, as it stood when the delivery was admitted."""

    source: Source
    contract: Contract


class Deliveries:
    """The places for deliveries in hand: so many at once, so many of them being read."""

    def __init__(self, settings: IngestSettings, lake: Lake) -> None:
        self.lake = lake
        self._settings = settings
        self._in_hand = 0
        self._readers = asyncio.Semaphore(settings.readers_max)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for one delivery; Busy when all are taken."""
        if self._in_hand >= self._settings.uploads_max:
            raise Busy(
                "同时报送过多，请稍后重试", "too many deliveries at once", headers={"Retry-After": "5"}
            )
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1

    async def read(self, staged: Staged, target: Path) -> Reading:
        """Read a staged delivery; the reader's refusal as a problem."""
        settings = self._settings
        async with self._readers:
            try:
                return await read_delivery(
                    staged.path, target, limits=settings.reading_limits, wall_s=settings.reader_wall_s
                )
            except Refusal as refusal:
                raise refused(refusal) from refusal
            except ReaderFailed as error:
                raise ReaderBroken(
                    "读取程序异常，未接收；请将 trace_id 告知运维", "the reader failed; tell the operators"
                ) from error


async def admit(resources: Resources, subject: Subject, source_id: str, dataset: str) -> Addressee:
    """Who may deliver what where, decided before a byte is taken."""
    contract = resources.standards.datasets.get(dataset)
    if contract is None:
        known = sorted(resources.standards.datasets)
        raise UnknownDataset(
            f"没有数据集 {dataset[:63]}；现有：{', '.join(known)}",
            f"no dataset {dataset[:63]}; there are: {', '.join(known)}",
            mend_zh="改用其中一个，或请数据治理工程师增加数据集标准",
            mend_en="use one of these, or ask a steward to add a contract",
            where="path.dataset",
            known=known,
        )
    async with resources.database.read() as session:
        source = await sources.get_for(session, source_id, subject, "deliver", resources.standards)
    if source.status != "active":
        raise SourceSuspended(
            "该来源已停用",
            "this source is suspended",
            mend_zh="请数据治理工程师启用",
            mend_en="ask a steward",
        )
    if dataset not in source.datasets:
        raise NotThisSourcesDataset(
            f"来源 {source.id} 登记的数据集是：{', '.join(source.datasets)}",
            f"source {source.id} is registered for: {', '.join(source.datasets)}",
            mend_zh="请数据治理工程师为来源加上该数据集",
            mend_en="ask a steward to add it to the source",
            where="path.dataset",
            known=list(source.datasets),
        )
    return Addressee(source, contract)


async def deliver(
    resources: Resources, request: Request, subject: Subject, to: Addressee, receive: Receive
) -> Landed:
    """Take a delivery; returns its batch, which may be the one the same delivery made before."""
    settings, deliveries = settings_of(resources), deliveries_of(resources)
    dataset = to.contract.name
    outcome = "refused"
    try:
        key = read_key(request.headers.get("idempotency-key"))
        refuse_personal_name(
            key or "", "header.idempotency-key", resources.standards.grading, is_certain=True
        )
        async with deliveries.place(), staging(settings) as folder:
            began = time.perf_counter()
            staged = await receive(request, folder, settings)
            refuse_bad_period(staged.period)
            refuse_personal_name(staged.period, "form.period", resources.standards.grading)
            seconds = {"receive": round(time.perf_counter() - began, 3)}
            parcel = Parcel(to.source, dataset, staged, subject.id, seconds, key, subject.answers)
            if earlier := await find_earlier(resources, parcel):
                outcome = "repeated"
                refuse_other_rows(staged, earlier.batch.rows_landed)
                return earlier
            landed = await _read_and_land(resources, to, parcel, folder)
            outcome = landed.batch.status if landed.is_new else "repeated"
            return landed
    finally:
        DELIVERIES.labels(dataset, outcome).inc()


async def _read_and_land(resources: Resources, to: Addressee, parcel: Parcel, folder: Path) -> Landed:
    deliveries = deliveries_of(resources)
    began = time.perf_counter()
    rows = folder / "rows.parquet"
    reading = await deliveries.read(parcel.staged, rows)
    parcel.seconds["read"] = round(time.perf_counter() - began, 3)
    refuse_personal(reading.headers, resources.standards)
    refuse_wrong(reading.headers, to.contract, parcel.mapping, resources.standards)
    refuse_other_rows(parcel.staged, reading.rows)
    landed = await land(resources, deliveries.lake, parcel, to.contract, reading, rows)
    log.info(
        f"batch {landed.batch.status}" if landed.is_new else "delivery repeated",
        batch_id=landed.batch.batch_id,
        source_id=to.source.id,
        dataset=parcel.dataset,
        rows=landed.batch.rows_landed,
    )
    return landed


def refuse_other_rows(staged: Staged, rows: int) -> None:
    """OtherRows when the source said another number than the file has: it was cut, or it is another file."""
    if staged.confirm_rows not in (None, rows):
        raise OtherRows(
            f"文件读出 {rows:,} 行，confirm_rows 声明为 {staged.confirm_rows:,} 行；没有入湖",
            f"{rows:,} rows were read, confirm_rows says {staged.confirm_rows:,}; nothing landed",
            mend_zh="核对文件是否完整，改正 confirm_rows",
            mend_en="check whether the file is whole, and confirm_rows",
            where="form.confirm_rows",
        )


def refuse_bad_period(period: str) -> None:
    try:
        _PERIOD.validate_python(period)
    except ValidationError:
        raise MissingPart(
            "period 应为 1–32 位字母、数字、点、横线或下划线，如 2024、2024-1",
            "period is 1-32 letters, digits, dots, hyphens or underscores, such as 2024 or 2024-1",
            where="form.period",
        ) from None


def refuse_personal_name(name: str, where: str, grading: Grading, *, is_certain: bool = False) -> None:
    """PersonalName when a name that is stored and announced holds a number of a person.

    `is_certain`: only one with a right check digit; a random key may look like a phone.
    """
    asked = [d for d in grading.detectors if d.check or not is_certain]
    found = found_in(asked, name)
    if found and (not is_certain or detect.is_certain(found, pl.Series([name]))):
        raise PersonalName(
            f"{where} 里有{found.title}；它会被保存和显示，不能含个人数据",
            f"{where} holds {found.name}: it is stored and shown, and may name nobody",
            mend_zh="换一个不含个人号码的写法后重新报送",
            mend_en="write it without a number of a person and deliver again",
            where=where,
        )
