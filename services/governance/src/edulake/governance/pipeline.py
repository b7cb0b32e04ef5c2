"""The governance of one batch, as a list you can read: eight pure steps, then the outcome.

Promise: no row is lost (rows in = accepted + quarantined + absorbed with a finding), and the same frame and
context always give the same outcome (P2). No step does I/O, so the list also runs inside Spark's mapInArrow.
"""

import time
from collections.abc import Callable

import polars as pl
from edulake.governance.steps.align import align
from edulake.governance.steps.clean import clean
from edulake.governance.steps.complete import complete
from edulake.governance.steps.context import Context, KeyRings, SourceFacts, Step, StepResult
from edulake.governance.steps.convert import convert
from edulake.governance.steps.grade import grade
from edulake.governance.steps.known import refuse_faults_of
from edulake.governance.steps.link import link
from edulake.governance.steps.outcome import Outcome, assemble
from edulake.governance.steps.profile import profile
from edulake.governance.steps.protect import protect

__all__ = ["STEPS", "Context", "KeyRings", "Outcome", "SourceFacts", "Step", "StepResult", "run"]

STEPS: tuple[Step, ...] = (
    Step("profile", "探查", profile),
    Step("convert", "转换", convert),
    Step("align", "对齐", align),
    Step("clean", "清洗", clean),
    Step("complete", "补全", complete),
    Step("link", "关联", link),
    Step("grade", "分级分类标签", grade),
    Step("protect", "加密/脱敏", protect),  # last: only here do values leave their clear form
)


def run(
    frame_of_text: pl.DataFrame, context: Context, on_step: Callable[[str, int, int], None] | None = None
) -> Outcome:
    """Govern one batch: all-text columns as delivered and `_row` in; rows and reasons out.

    `on_step(name, done, total)` is called after each step. A step that blocks ends the run.
    """
    refuse_faults_of(context.contract)
    frame, results, seconds = frame_of_text, list[StepResult](), dict[str, float]()
    for done, step in enumerate(STEPS, start=1):
        started = time.perf_counter()
        result = step.run(frame, context)
        seconds[step.name] = round(time.perf_counter() - started, 4)
        results.append(result)
        frame = result.frame
        if on_step:
            on_step(step.name, done, len(STEPS))
        if "blocked" in result.notes:
            break
    return assemble(frame_of_text, results, seconds)
