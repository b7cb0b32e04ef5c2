"""One claimed run from beginning to end: gather, think, settle; and what becomes of it when that fails."""

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import polars as pl
from edulake.common import faults
from edulake.common.lake import Lake, TableDamaged
from edulake.common.service import Resources
from edulake.common.telemetry import adopt_trace, logger
from edulake.governance.models import Run
from edulake.governance.run import repository
from edulake.governance.run.commit import refuse, settle
from edulake.governance.run.inputs import BatchRefused, Inputs, ReferencesMissing, gather
from edulake.governance.run.lease import LeaseLost, Progress, hold_while
from edulake.governance.run.prepare import Decided
from edulake.governance.run.verdict import PipelineOutcome, Verdict, decide
from edulake.governance.run.withdrawal import take_out
from edulake.governance.settings import GovernanceSettings
from edulake.governance.steps.context import Context
from edulake.governance.steps.faults import ContractFault

log = logger(__name__)
OnStep = Callable[[str, int, int], None]
Pipeline = Callable[[pl.DataFrame, Context, OnStep], PipelineOutcome]


class Executor:
    """Governs claimed runs. `pipeline` is the pure function of the eight steps."""

    def __init__(
        self, resources: Resources, lake: Lake, settings: GovernanceSettings, pipeline: Pipeline
    ) -> None:
        self._resources = resources
        self._lake = lake
        self._settings = settings
        self._pipeline = pipeline

    async def execute(self, run: Run) -> None:
        """Bring a run to an end, or give it back with a reason. Only a cancellation is passed on."""
        adopt_trace(run.trace_id)
        facts = {"batch_id": run.batch_id, "dataset": run.dataset, "tries": run.tries}
        log.info("run started", revision=run.revision, **facts)
        try:
            await self._attempt(run)
        except LeaseLost:
            log.warning("lease lost", **facts)
        except asyncio.CancelledError:
            await self._give_back(
                run, is_a_try=False, reason=("处理进程停止，等待重新开始", "the worker stopped")
            )
            raise
        except ReferencesMissing as missing:
            log.info("run waits", references=missing.names, **facts)
            await self._wait_for(run, missing.names)
        except BatchRefused as refused:
            log.warning("run refused", reason=refused.detail_en, **facts)
            await self._refuse(run, refused.detail_zh, refused.detail_en)
        except ContractFault as fault:
            log.error("contract cannot be carried out", fault=str(fault), **facts)
            await self._refuse(run, *_contract_words(fault))
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - any failure is a failed try
            log.error("run failed", error=type(error).__name__, at=_place_of(error), **facts)
            await self._failed(run, *_words_of(error))
        else:
            log.info("run settled", **facts)

    async def _attempt(self, run: Run) -> None:
        database, settings, progress = self._resources.database, self._settings, Progress()
        if run.is_withdrawn:  # never given up: rows that were taken back must not stay
            await take_out(self._resources, self._lake, run, settings, progress)
            return
        if run.tries > settings.run_tries_max:
            raise BatchRefused(*_worker_died(run.tries - 1))
        inputs, verdict = await hold_while(database, run, settings, progress, self._think(run, progress))
        await settle(self._resources, self._lake, Decided(run, inputs, verdict), settings, progress)

    async def _think(self, run: Run, progress: Progress) -> tuple[Inputs, Verdict]:
        inputs = await gather(self._resources, self._lake, run, self._settings)
        await faults.point("governance.after_gather")
        return inputs, await asyncio.to_thread(self._judge, inputs, progress)

    def _judge(self, inputs: Inputs, progress: Progress) -> Verdict:
        def on_step(step: str, done: int, total: int) -> None:
            progress(step, done, total)
            faults.point_in_thread(f"governance.step.{step}")

        result = self._pipeline(inputs.delivered, inputs.context, on_step)
        limit = self._settings.findings_per_rule_max
        return decide(inputs.delivered, inputs.context.contract, result, findings_per_rule_max=limit)

    async def _failed(self, run: Run, zh: str, en: str) -> None:
        settings = self._settings
        if run.tries >= settings.run_tries_max and not run.is_withdrawn:
            await self._refuse(run, *_gave_up(run.tries, zh, en))
            return
        pause_s = min(settings.run_backoff_s * 2 ** min(run.tries - 1, 20), settings.run_backoff_max_s)
        reason = (
            f"第 {run.tries} 次处理失败（{zh}），将重试",
            f"try {run.tries} failed ({en}); it will be tried again",
        )
        await self._give_back(run, pause_s=pause_s, reason=reason)

    async def _wait_for(self, run: Run, names: list[str]) -> None:
        titles = [self._resources.standards.datasets[name].title for name in names]
        reason = (f"等待引用的数据集：{'、'.join(titles)}", f"waits for the datasets {', '.join(names)}")
        await self._give_back(
            run,
            state="waiting_reference",
            pause_s=self._settings.reference_recheck_s,
            is_a_try=False,
            waiting_for=names,
            reason=reason,
        )

    async def _give_back(self, run: Run, **facts: Any) -> None:
        async with self._resources.database.transaction() as session:
            await repository.release(session, run, **facts)

    async def _refuse(self, run: Run, reason_zh: str, reason_en: str) -> None:
        try:
            await refuse(self._resources, run, reason_zh, reason_en)
        except LeaseLost:
            log.warning("lease lost", batch_id=run.batch_id)


def _contract_words(fault: ContractFault) -> tuple[str, str]:
    return (
        f"数据集的标准有误，重试无用（{fault}）；数据原样保存，请联系数据治理工程师改正标准后重新处理",
        f"the dataset's contract is at fault, no further try helps ({fault}); the delivery is kept as it is, "
        "a steward mends the contract and reprocesses it",
    )


def _words_of(error: BaseException) -> tuple[str, str]:
    """What is said of a failure: a problem's own words, else only its kind, for a message may quote a value."""
    if isinstance(error, TableDamaged):
        return error.detail_zh, error.detail_en
    return type(error).__name__, type(error).__name__


def _gave_up(tries: int, zh: str, en: str) -> tuple[str, str]:
    return (
        f"处理 {tries} 次均失败（{zh}），已停止；数据原样保存，请联系数据治理工程师重新处理",
        f"{tries} tries failed ({en}); the delivery is kept as it is, a steward can reprocess it",
    )


def _worker_died(tries: int) -> tuple[str, str]:
    return (
        f"处理该批次时进程 {tries} 次中断，已停止；数据原样保存，请联系数据治理工程师",
        f"the worker died {tries} times over this batch; the delivery is kept as it is, ask a steward",
    )


def _place_of(error: BaseException) -> str:
    """File and line of the failure. The message stays out of the log: it may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
