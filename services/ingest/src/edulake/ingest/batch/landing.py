"""Landing: sealed objects first, then batch, manifest and event in one transaction.

A crash in between leaves objects that no batch names; the same delivery adopts them, the sweeper
removes them. Whoever stores, adopts or removes the objects of a digest holds its lock.

What a source delivers for a period lands one after the other, and `landed_no` says in which order; it is
drawn where the order of events is decided too, so that both agree within a dataset.

A file that would change more than its source may change unasked is kept instead: sealed and as a batch, without
a number, a manifest or an event, until its source confirms (`confirmation.py`).
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from edulake.common import faults
from edulake.common.bus import announce
from edulake.common.clock import now
from edulake.common.events import RawBatchLanded
from edulake.common.events.base import new_event_id
from edulake.common.gm import sm3_hex
from edulake.common.lake import DataFile, Lake
from edulake.common.service import Resources
from edulake.common.standards import Contract
from edulake.ingest.batch import filename, repository
from edulake.ingest.batch.headers import told
from edulake.ingest.batch.keys import refuse_reused
from edulake.ingest.batch.receive import Staged
from edulake.ingest.batch.replacing import Replaces, compare
from edulake.ingest.models import PUSHED, UNCONFIRMED, Batch, Source
from edulake.ingest.source.readers.run import Reading
from edulake.ingest.source.readers.sniff import chunks
from sqlalchemy.ext.asyncio import AsyncSession

ORIGINAL, ROWS = "original", "rows"


@dataclass(frozen=True)
class Parcel:
    """A staged delivery with its address; `seconds` collects how long each step took."""

    source: Source
    dataset: str
    staged: Staged
    delivered_by: str
    seconds: dict[str, float]
    #: The source's own name of the delivery (`Idempotency-Key`).
    key: str | None = None
    #: Who answers for the program that delivered; themselves for a person.
    accountable: str | None = None

    @property
    def mapping(self) -> dict[str, str]:
        return self.source.mapping.get(self.dataset, {})

    @property
    def terms(self) -> str:
        return terms_of(self.source, self.dataset, is_push=self.staged.is_push)


def terms_of(source: Source, dataset: str, *, is_push: bool) -> str:
    """What of the registration decides what becomes of the file; with other terms it is another delivery.

    Beside the mapping and the defaults: the authority decides which source wins, the title tells the
    stage of schools whose rows do not.
    """
    mapping, defaults = source.mapping.get(dataset, {}), source.defaults.get(dataset, {})
    read_under: list[object] = [mapping, defaults, source.authority, source.title]
    if is_push:  # the same bytes as a file replace, pushed they add: not one delivery
        read_under.append(PUSHED)
    return sm3_hex(orjson.dumps(read_under, option=orjson.OPT_SORT_KEYS))


@dataclass(frozen=True)
class Landed:
    """The batch of a delivery; `is_new` is False when the same delivery came before."""

    batch: Batch
    is_new: bool


async def find_earlier(resources: Resources, parcel: Parcel) -> Landed | None:
    """The batch this very delivery made before and that is in effect, so that it need not be read again."""
    async with resources.database.read() as session:
        batch = await _repeated(session, parcel)
    if batch is None or (batch.status == UNCONFIRMED and parcel.staged.confirm_rows is not None):
        return None  # the second time it brings the word the first one waits for
    return Landed(batch, is_new=False)


async def _repeated(session: AsyncSession, parcel: Parcel) -> Batch | None:
    """The batch of the same delivery: by its key if it has one, else by its content. Raises KeyReused."""
    if parcel.key is not None:
        return await _keyed(session, parcel, parcel.key)
    return await repository.find_repeated(
        session,
        source_id=parcel.source.id,
        dataset=parcel.dataset,
        period=parcel.staged.period,
        digest=parcel.staged.digest,
        terms=parcel.terms,
    )


async def _keyed(session: AsyncSession, parcel: Parcel, key: str) -> Batch | None:
    """The first answer stands, also for a batch that was withdrawn or replaced since (ADR 0017)."""
    batch = await repository.find_keyed(session, parcel.source.id, key)
    if batch is None:
        return None
    staged = parcel.staged
    now_sent = (parcel.dataset, staged.period, staged.digest, staged.is_push)
    if (batch.dataset, batch.period, batch.digest, batch.format == PUSHED) != now_sent:
        raise refuse_reused(str(batch.batch_id))
    return batch


async def land(
    resources: Resources, lake: Lake, parcel: Parcel, contract: Contract, reading: Reading, rows: Path
) -> Landed:
    """Seal, store and announce a delivery once, however many bring it at the same time.

    A file that its source must confirm first is sealed and kept only.
    """
    await faults.point("ingest.before_land")
    began = time.perf_counter()
    async with resources.database.transaction() as session:
        await repository.lock_object(session, parcel.dataset, parcel.staged.digest)
        objects = await _store(resources, lake, parcel, rows)
        await faults.point("ingest.after_object")
        # Only now, so that nobody waits for somebody else's bytes to be sealed.
        if parcel.key is not None:
            await repository.lock_key(session, parcel.source.id, parcel.key)
        await repository.lock_period(session, parcel.source.id, parcel.dataset, parcel.staged.period)
        if earlier := await _repeated(session, parcel):
            return await _again(session, lake, parcel, contract, earlier)
        parcel.seconds["land"] = round(time.perf_counter() - began, 3)
        batch = _batch(resources, parcel, reading, objects)
        if not parcel.staged.is_push:
            replaces = await compare(session, batch, contract, parcel.mapping)
            batch.replaces = replaces.model_dump(mode="json") if replaces else None
            batch.status = UNCONFIRMED if asks(replaces, parcel.staged) else batch.status
        if batch.status == UNCONFIRMED:
            await repository.add(session, batch)
        else:
            await _count(session, lake, batch, parcel.source)
    await faults.point("ingest.after_commit")
    return Landed(batch, is_new=True)


async def _again(
    session: AsyncSession, lake: Lake, parcel: Parcel, contract: Contract, earlier: Batch
) -> Landed:
    """The same delivery once more: its batch, which lands now if it waited for the number of rows that came along."""
    await session.refresh(earlier, with_for_update=True)
    if earlier.status == UNCONFIRMED and parcel.staged.confirm_rows is not None:
        replaces = await compare(session, earlier, contract, parcel.mapping)
        if not asks(replaces, parcel.staged):
            await land_confirmed(session, lake, earlier, parcel.source, replaces)
            return Landed(earlier, is_new=True)
    return Landed(earlier, is_new=False)


def asks(replaces: Replaces | None, staged: Staged) -> bool:
    """Whether the source is asked; who stated the number of rows has answered what is odd about that."""
    asked = set(replaces.odd) if replaces else set()
    return bool(asked - ({"rows"} if staged.confirm_rows is not None else set()))


async def land_confirmed(
    session: AsyncSession, lake: Lake, batch: Batch, source: Source, replaces: Replaces | None
) -> None:
    """Land a batch that was kept, under its source's registration of now. Its period is locked by the caller."""
    batch.status, batch.updated_at = "landed", now()
    batch.terms = terms_of(source, batch.dataset, is_push=False)
    batch.replaces = replaces.model_dump(mode="json") if replaces else None
    await _count(session, lake, batch, source)


async def _count(session: AsyncSession, lake: Lake, batch: Batch, source: Source) -> None:
    """Vouch for the batch's objects, give it its place in the order of landing, and announce it."""
    objects, batch.objects = [DataFile(**one) for one in batch.objects or []], None
    # The manifest of the dataset first: whoever has it numbers the next batch and announces it next.
    await lake.record_objects(
        session,
        batch.dataset,
        objects,
        batch_id=str(batch.batch_id),
        content_digest=batch.digest,
        row_count=batch.rows_landed,
    )
    batch.landed_no = await repository.next_landed_no(session)
    await repository.add(session, batch)
    await announce(session, _landed_event(batch, source))


async def _store(resources: Resources, lake: Lake, parcel: Parcel, rows: Path) -> list[DataFile]:
    ring = resources.keys.ring("seal")
    digest = parcel.staged.digest
    parts = ((ORIGINAL, parcel.staged.path), (ROWS, rows))
    return [await lake.put_raw(parcel.dataset, digest, name, chunks(path), ring) for name, path in parts]


def _batch(resources: Resources, parcel: Parcel, reading: Reading, objects: list[DataFile]) -> Batch:
    moment, batch_id, staged = now(), new_event_id(), parcel.staged
    standards = resources.standards
    ring, extension = resources.keys.ring("seal"), PUSHED if staged.is_push else reading.format
    given = filename.sealed(ring, standards.grading, str(batch_id), staged.filename)
    columns = told(reading.headers, standards.datasets[parcel.dataset], parcel.mapping, standards)
    return Batch(
        batch_id=batch_id,
        source_id=parcel.source.id,
        dataset=parcel.dataset,
        period=parcel.staged.period,
        digest=parcel.staged.digest,
        terms=parcel.terms,
        idempotency_key=parcel.key,
        filename=filename.called(parcel.dataset, staged.period, staged.digest, extension),
        format=extension,
        encoding=reading.encoding or "",
        size_bytes=parcel.staged.size_bytes,
        columns=columns,
        notes={**reading.notes, **given},
        objects=[asdict(one) for one in objects],
        status="landed",
        is_withdrawn=False,
        rows_landed=reading.rows,
        quarantined_by_rule={},
        refusal_zh="",
        refusal_en="",
        refusal_holds=False,
        seconds_by_step=dict(parcel.seconds),
        reason_zh="",
        reason_en="",
        delivered_by=parcel.delivered_by,
        accountable=parcel.accountable,
        created_at=moment,
        updated_at=moment,
    )


def _landed_event(batch: Batch, source: Source) -> RawBatchLanded:
    return RawBatchLanded(
        dataset=batch.dataset,
        batch_id=str(batch.batch_id),
        source_id=source.id,
        source_title=source.title,
        organisation=source.organisation,
        contact=source.contact,
        authority=source.authority,
        period=batch.period,
        digest=batch.digest,
        object=f"raw/{batch.dataset}/{batch.digest}/{ROWS}",
        format=batch.format,
        encoding=batch.encoding,
        row_count=batch.rows_landed,
        landed_no=batch.landed_no,
        columns=batch.columns,
        mapping=source.mapping.get(batch.dataset, {}),
        defaults=source.defaults.get(batch.dataset, {}),
        delivered_by=batch.delivered_by,
        accountable=batch.accountable,
    )
