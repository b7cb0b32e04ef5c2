"""What people decide about publications: try again, release what is held, serve an earlier version again."""

from collections.abc import Sequence

from edulake.common.bus import announce
from edulake.common.errors import Conflict, NotFound
from edulake.common.standards import Contract
from edulake.common.telemetry import logger
from edulake.share_gateway.engine import serving
from edulake.share_gateway.publication import announcing, repository
from edulake.share_gateway.publication.guard import losses
from edulake.share_gateway.publication.schemas import Job, Publication, Release
from sqlalchemy.ext.asyncio import AsyncSession

log = logger(__name__)


class VersionNotKept(Conflict):
    code, title_zh, title_en = "version-not-kept", "该版本已超出可回退范围", "The version is no longer kept"


class NothingToRetry(Conflict):
    code, title_zh, title_en = "nothing-to-retry", "没有可重试的发布", "There is nothing to try again"


class VersionNotProtected(Conflict):
    code, title_zh, title_en = (
        "version-not-protected",
        "该版本的脱敏不符合现行标准",
        "The version is not protected as the contract now declares",
    )


class VersionIsCurrent(Conflict):
    code, title_zh, title_en = "version-is-current", "该版本正在服务", "The version is being served already"


class NotHeld(Conflict):
    code, title_zh, title_en = "nothing-held", "没有这样暂缓的发布", "No such publication is held"


class LosesRows(Conflict):
    code, title_zh, title_en = "loses-rows", "该版本的数据少得多", "That version has far less data"


class HoldsTakenBack(Conflict):
    code, title_zh, title_en = (
        "holds-taken-back",
        "该版本含有已撤回或被拦截的数据",
        "The version holds rows that were withdrawn or blocked",
    )


async def retry(session: AsyncSession, dataset: str, by: str) -> Sequence[Job]:
    """Have everything of a dataset that was blocked or given up tried again, with all its tries.

    For a person who has mended the cause. Raises NothingToRetry.
    """
    reopened = await repository.reopen(session, dataset)
    if not reopened:
        raise NothingToRetry(
            "该数据集没有受阻或失败的发布",
            "no publication of the dataset is blocked or has failed",
            where="dataset",
        )
    versions = [job.governed_version for job in reopened]
    log.info("publication to be tried again", dataset=dataset, governed_versions=versions, by=by)
    return reopened


async def release(session: AsyncSession, dataset: str, wanted: Release, by: str) -> Job:
    """Have the newest held publication of a dataset published with what it lacks. Raises NotHeld."""
    job = await repository.newest_held(session, dataset)
    if job is None or (job.governed_version, job.row_count) != (wanted.governed_version, wanted.row_count):
        now = {"governed_version": job.governed_version, "row_count": job.row_count} if job else None
        raise NotHeld(
            "没有暂缓的发布，或暂缓的已是另一版本",
            "nothing of the dataset is held, or another version by now",
            where="governed_version",
            held=now,
        )
    log.info("publication released", dataset=dataset, governed_version=job.governed_version, by=by)
    return await repository.release(session, job, by)


async def rollback(
    session: AsyncSession,
    contract: Contract,
    version: int,
    by: str,
    agreed_rows: int | None = None,
) -> Publication:
    """Serve an earlier version of a contract's dataset again, and announce it (P9): governance restores it too.

    Raises NotFound, VersionNotKept, VersionIsCurrent, VersionNotProtected when a field of it is not in the form
    that the contract declares now (P8), HoldsTakenBack, or LosesRows when it lacks too much of what is served and
    `agreed_rows` does not say how many rows it has.
    """
    dataset = contract.name
    await repository.lock_dataset(session, dataset)
    target = await repository.find(session, dataset, version)
    before = await repository.current(session, dataset)
    if target is None or before is None:
        raise NotFound("没有这个已发布版本", "there is no such published version", where="version")
    if target.is_current:
        raise VersionIsCurrent("无须回退", "there is nothing to roll back", where="version")
    if target.dropped_at is not None:
        raise VersionNotKept("该版本的数据表已清理", "its table has been dropped", where="version")
    _check_protection(target, contract)
    await _check_taken_back(session, target)
    if agreed_rows != target.row_count:
        await _check_losses(session, before, target, contract)
    same_shape = list(before.columns.items()) == list(target.columns.items())
    await repository.run(session, serving.point_view(dataset, version, target.columns, same_shape=same_shape))
    current = await repository.make_current(session, dataset, version, by)
    await announce(session, announcing.updated(current, batch_id=current.batch_id, rolled_back_by=by))
    return current


async def _check_losses(
    session: AsyncSession, before: Publication, target: Publication, contract: Contract
) -> None:
    served, wanted = [await repository.counts_of(session, each) for each in (before, target)]
    lacking = losses(served, wanted, contract)
    if lacking:
        raise LosesRows(
            f"当前 {served.rows} 行，该版本 {wanted.rows} 行；{lacking.zh}",
            f"{served.rows} rows now, {wanted.rows} rows then; {lacking.en}",
            mend_zh=f"确认无误后，以 agreed_rows={wanted.rows} 再次请求",
            mend_en=f"when this is meant, ask again with agreed_rows={wanted.rows}",
            where="agreed_rows",
            rows_now=served.rows,
            rows_then=wanted.rows,
        )


async def _check_taken_back(session: AsyncSession, target: Publication) -> None:
    """HoldsTakenBack when a batch of the version was withdrawn or blocked since, or its batches are not known."""
    barred = await repository.taken_back(session, target.dataset)
    if not barred:
        return
    found = None if target.batches is None else barred.intersection(target.batches)
    if found is None or found:
        names = "、".join(sorted(found or ()))
        raise HoldsTakenBack(
            f"批次 {names} 已被撤回或拦截，其数据不再对外提供" if found else "不能确认其中没有已撤回的数据",
            f"the batches {', '.join(sorted(found))} were taken back since"
            if found
            else "its batches are not known",
            mend_zh="改用治理版本恢复：恢复后这些批次的数据会自动移出",
            mend_en="restore the governed version instead: it goes without these rows",
            where="version",
        )


def _check_protection(target: Publication, contract: Contract) -> None:
    wanted, kept = serving.served_protection(contract), target.protection
    bare = [
        name
        for name in target.columns
        if name not in wanted or name not in kept or not kept[name].covers(wanted[name])
    ]
    if bare:
        raise VersionNotProtected(
            f"字段 {'、'.join(bare)} 当时的脱敏方式与现行标准不同",
            f"not protected as the contract now declares: {', '.join(bare)}",
            mend_zh="按现行标准重新治理该批次并发布",
            mend_en="govern the batch again under the contract in force, and publish that",
            where="version",
        )
