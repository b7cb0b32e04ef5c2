"""A batch's way as a line of steps, put together from what ingest and governance say of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edulake.portal.words import state as state_words

State = Literal["passed", "present", "ahead", "stopped"]
LANDING = {"receive": "接收", "read": "读取", "land": "加密入湖"}
GOVERNING = {
    "profile": "探查",
    "convert": "转换",
    "align": "对齐",
    "clean": "清洗",
    "complete": "补全",
    "link": "关联",
    "grade": "分级",
    "protect": "加密脱敏",
}
UNDER_WAY = ("landed", "governed")
#: Runs that stand at a step; all others are over.
OPEN_RUNS = ("queued", "running", "waiting_reference", "held", "failed")
#: How a batch ends that is not published.
ENDED = ("quarantined", "refused", "superseded", "withdrawn")


@dataclass(frozen=True)
class Step:
    """`seconds` it took, None when not measured; `note` says why it waits or stopped."""

    title: str
    zone: Literal["raw", "governed", "published"]
    state: State
    seconds: float | None = None
    note: str = ""


def steps_of(batch: Mapping[str, Any], run: Mapping[str, Any] | None) -> list[Step]:
    """`run` is governance's record of the batch, None while there is none (or none one may see)."""
    seconds = {**batch["seconds_by_step"], **(run["seconds_by_step"] if run else {})}
    steps = [_landing(batch, name, title, seconds.get(name)) for name, title in LANDING.items()]
    steps += _governing(batch, run, seconds)
    return [*steps, _publishing(batch)]


def _landing(batch: Mapping[str, Any], name: str, title: str, seconds: float | None) -> Step:
    """A delivery that waits for its source's word is received and read, and has not landed."""
    if name != "land" or batch["status"] != "unconfirmed":
        return Step(title, "raw", "passed", seconds)
    return Step("入湖", "raw", "present", note="等待报送人确认")


def _governing(
    batch: Mapping[str, Any], run: Mapping[str, Any] | None, seconds: Mapping[str, float]
) -> list[Step]:
    goes_on = batch["status"] in ("governed", "published")
    done = len(GOVERNING) if goes_on else run["progress"]["done"] if run else 0
    steps = []
    for at, (name, title) in enumerate(GOVERNING.items()):
        if name in seconds or at < done:
            steps.append(Step(title, "governed", "passed", seconds.get(name)))
        elif run and at == done and run["state"] in OPEN_RUNS:
            state: State = "stopped" if run["state"] == "failed" else "present"
            steps.append(Step(title, "governed", state, note=_waiting(run)))
        else:
            steps.append(Step(title, "governed", "ahead"))
    return steps


def _waiting(run: Mapping[str, Any]) -> str:
    if run["state"] == "waiting_reference":
        return "等待引用的数据集：" + "、".join(run["waiting_for"])
    waits = {"queued": "排队中", "held": "等待同意", "failed": run["reason_zh"] or "多次失败，等待处理"}
    return waits.get(run["state"], "")


def _publishing(batch: Mapping[str, Any]) -> Step:
    status = batch["status"]
    if status == "published":
        return Step("发布", "published", "passed", note=f"第 {batch['published_version']} 版")
    if status == "held":
        return Step("发布", "published", "present", note="等待同意")
    if status in ENDED:
        title = "未发布" if status in ("quarantined", "refused") else state_words(status, "batch")
        return Step(title, "published", "stopped", note=batch["reason_zh"])
    return Step("发布", "published", "present" if status == "governed" else "ahead")
