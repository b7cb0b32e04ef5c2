"""Registering sources: everything they name must exist in the contracts."""

from collections.abc import Iterable
from difflib import get_close_matches

from edulake.common.clock import now
from edulake.common.errors import Conflict, Forbidden, NotFound, Unprocessable
from edulake.common.identity import Subject
from edulake.common.policy import Deciding, Neighbours
from edulake.common.standards import Contract, Standards
from edulake.common.standards.detect import found_in_each
from edulake.ingest.models import Source, SourceRevision
from edulake.ingest.source import repository
from edulake.ingest.source.schemas import SourceIn
from sqlalchemy.ext.asyncio import AsyncSession


class SourceExists(Conflict):
    code, title_zh, title_en = "source-exists", "来源已登记", "Source is registered already"


class SourceNotFound(NotFound):
    code, title_zh, title_en = "unknown-source", "没有这个来源", "No such source"


class SourceInvalid(Unprocessable):
    code, title_zh, title_en = "source-invalid", "来源登记有误", "Source does not fit the contracts"


class NotTheContact(Forbidden):
    code, title_zh, title_en = "not-the-contact", "不是该来源的联系人", "Not the contact of this source"


def check(wanted: SourceIn, standards: Standards) -> None:
    """SourceInvalid naming the first dataset or field that no contract knows."""
    for index, dataset in enumerate(wanted.datasets):
        if dataset not in standards.datasets:
            raise _unknown("数据集", "dataset", dataset, sorted(standards.datasets), f"body.datasets.{index}")
    for part, by_dataset in (("mapping", wanted.mapping), ("defaults", wanted.defaults)):
        for dataset, pairs in by_dataset.items():
            if dataset not in wanted.datasets:
                known = sorted(wanted.datasets)
                raise _unknown("本来源的数据集", "dataset of this source", dataset, known, f"body.{part}")
            if part == "mapping" and any(found_in_each(standards.grading.detectors, list(pairs))):
                raise SourceInvalid(
                    "列映射的表头里有个人号码、电话或住址",
                    "a header of the mapping holds a number, phone or address of a person",
                    mend_zh="按文件的列名登记",
                    mend_en="register the names of columns",
                    where=f"body.mapping.{dataset}",
                )
            named = pairs.values() if part == "mapping" else pairs.keys()
            _check_fields(named, standards.datasets[dataset], f"body.{part}.{dataset}")


def _check_fields(named: object, contract: Contract, where: str) -> None:
    known = [field.name for field in contract.fields]
    for name in named:  # type: ignore[attr-defined]
        if name not in known:
            raise _unknown(f"{contract.title}的字段", f"field of {contract.name}", name, known, where)


def _unknown(zh: str, en: str, name: str, known: list[str], where: str) -> SourceInvalid:
    near = get_close_matches(name, known, 1)
    return SourceInvalid(
        f"没有{zh}：{name}",
        f"no {en} named {name}",
        mend_zh=f"是否指 {near[0]}？" if near else "改用 known 中的名称",
        mend_en=f"did you mean {near[0]}?" if near else "use a name listed in `known`",
        where=where,
        known=known,
    )


async def register(
    session: AsyncSession, source_id: str, wanted: SourceIn, by: Subject
) -> tuple[Source, bool]:
    """Register a source; the same registration again changes nothing. SourceExists when it differs."""
    moment = now()
    facts = {
        **wanted.model_dump(),
        "id": source_id,
        "revision": 1,
        "created_at": moment,
        "updated_at": moment,
    }
    created = await repository.add(session, facts)
    source = await get(session, source_id)
    if created:
        await _keep(session, source, wanted, by)
    elif _body(source) != wanted.model_dump(include=set(SourceIn.model_fields)):
        raise SourceExists(
            f"来源 {source_id} 已登记，内容不同",
            f"source {source_id} is registered with other content",
            mend_zh="用 PUT 更新",
            mend_en="update it with PUT",
            where="body.id",
        )
    return source, created


async def replace(session: AsyncSession, source_id: str, wanted: SourceIn, by: Subject) -> Source:
    """Replace a registration and keep the one before; nothing happens when nothing changed."""
    source = await repository.lock(session, source_id)
    if source is None:
        raise _not_found(source_id)
    body = wanted.model_dump(include=set(SourceIn.model_fields))
    if _body(source) == body:
        return source
    for name, value in body.items():
        setattr(source, name, value)
    source.revision += 1
    source.updated_at = now()
    await _keep(session, source, wanted, by)
    return source


async def _keep(session: AsyncSession, source: Source, wanted: SourceIn, by: Subject) -> None:
    await repository.add_revision(
        session,
        SourceRevision(
            source_id=source.id,
            revision=source.revision,
            body=wanted.model_dump(mode="json", include=set(SourceIn.model_fields)),
            changed_by=by.id,
            changed_at=source.updated_at,
        ),
    )


def _body(source: Source) -> dict[str, object]:
    return {name: getattr(source, name) for name in SourceIn.model_fields}


async def get(session: AsyncSession, source_id: str) -> Source:
    """The source; raises SourceNotFound."""
    source = await repository.find(session, source_id)
    if source is None:
        raise _not_found(source_id)
    return source


def _not_found(source_id: str) -> SourceNotFound:
    return SourceNotFound(
        f"来源 {source_id[:63]} 没有登记",
        f"source {source_id[:63]} is not registered",
        mend_zh="请数据治理工程师登记来源",
        mend_en="ask a steward to register it",
        where="path.source",
    )


class FromHere:
    """What `Deciding` asks of sources, answered from this service's own table (`policy.Asking`)."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def contacts_of(self, sources: Iterable[str]) -> dict[str, str]:
        return await repository.contacts_of(self._session, list(sources))

    async def sources_of(self, contact: str) -> frozenset[str]:
        return frozenset(await repository.ids_of_contact(self._session, contact))


def deciding_in(session: AsyncSession, standards: Standards) -> Deciding:
    """Who may do what with sources and batches, as this transaction sees the sources."""
    return Deciding(standards.datasets, FromHere(session))


async def get_for(
    session: AsyncSession, source_id: str, subject: Subject, verb: str, standards: Standards
) -> Source:
    """The source, if the subject may do this with it; one it may not even read is not there."""
    source = await get(session, source_id)
    await check_may(session, source, subject, verb, standards)
    return source


async def check_may(
    session: AsyncSession, source: Source, subject: Subject, verb: str, standards: Standards
) -> None:
    """SourceNotFound for a source the subject may not read, NotTheContact where it may read and no more."""
    deciding = deciding_in(session, standards)
    facts = deciding.facts(*source.datasets, contact=source.contact)
    absent, refused = _not_found(source.id), not_the_contact()
    await deciding.check(subject, "source", verb, facts, absent=absent, refused=refused)


def not_the_contact() -> NotTheContact:
    return NotTheContact(
        "只有该来源登记的联系人可以操作",
        "only the contact registered for this source may do this",
        mend_zh="请数据治理工程师更改来源的联系人",
        mend_en="ask a steward to change the contact of the source",
    )


async def refuse_unknown_contact(wanted: SourceIn, present: Source | None, asking: Neighbours) -> None:
    """A contact that is new to the source must be somebody who is let in now; SourceInvalid otherwise."""
    if present is not None and present.contact == wanted.contact:
        return
    if await asking.subject(wanted.contact) is None:
        raise SourceInvalid(
            f"没有在用的人员或应用 {wanted.contact}",
            f"nobody who is let in has the id {wanted.contact}",
            mend_zh="填写在用人员或应用的完整编号，如 person:… 或 client:…",
            mend_en="give the whole id of a person or program in use",
            where="body.contact",
        )
