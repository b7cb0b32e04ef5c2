"""Who may see a run, and starting one again."""

from collections.abc import Sequence

from edulake.common.errors import Conflict, NotFound
from edulake.common.identity import Subject
from edulake.governance.models import Run
from edulake.governance.run import repository
from sqlalchemy.ext.asyncio import AsyncSession

#: Roles that see every source's batches; all others see only those they are the contact of.
OVERSEERS = ("steward", "owner", "system_admin", "security_admin", "audit_admin", "service")


class RunNotFound(NotFound):
    code, title_zh, title_en = "run-not-found", "没有该批次的治理记录", "No such run"


class RunBusy(Conflict):
    code, title_zh, title_en = "run-busy", "批次尚在处理", "The batch is still open"


def contacts_of(subject: Subject) -> Sequence[str] | None:
    """The contact names a subject answers to, or None when it sees everything.

    A source names its contact by id (`client:x`) or bare (`x`); never by a display name.
    """
    return None if subject.has(*OVERSEERS) else names_of(subject)


def names_of(subject: Subject) -> list[str]:
    """What a source may call the subject when it names it as its contact."""
    return [subject.id, subject.id.partition(":")[2]]


async def visible_run(session: AsyncSession, batch_id: str, subject: Subject) -> Run:
    """A run the subject may see; one it may not see looks like one that does not exist."""
    run = await repository.get(session, batch_id)
    contacts = contacts_of(subject)
    if run is None or (contacts is not None and run.contact not in contacts):
        raise RunNotFound("没有该批次，或不属于您的来源", "no such batch, or it is not of your sources")
    return run


async def reprocess(session: AsyncSession, batch_id: str, subject: Subject) -> Run:
    """Govern a closed batch once more, with today's standards and references. RunBusy while it is open."""
    run = await visible_run(session, batch_id, subject)
    if not await repository.reopen(session, batch_id):
        state = f"{run.state}{'，已撤回' if run.is_withdrawn else ''}"
        raise RunBusy(
            f"批次状态为 {state}，不能重新处理",
            f"the batch is {run.state}{', withdrawn' if run.is_withdrawn else ''}",
            mend_zh="等待当前处理结束；已撤回的批次请重新报送",
            mend_en="wait for the present run; deliver a withdrawn batch again",
        )
    return await visible_run(session, batch_id, subject)
