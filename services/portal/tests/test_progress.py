"""A batch's way as steps, from every state in which a batch can be."""

from typing import Any

import pytest
from edulake.portal.progress import GOVERNING, LANDING, Step, steps_of

LANDED = {"receive": 0.1, "read": 0.2, "land": 0.3}
ALL = dict.fromkeys(GOVERNING, 0.5)


def a_batch(status: str, seconds: dict[str, float] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "status": status,
        "seconds_by_step": {**LANDED, **(seconds or {})},
        "published_version": 3 if status == "published" else None,
        "reason_zh": "",
        **more,
    }


def a_run(state: str, done: int = 0, **more: Any) -> dict[str, Any]:
    progress = {"step": None, "done": done, "total": 8}
    plain = {"seconds_by_step": {}, "waiting_for": [], "reason_zh": "", "progress": progress}
    return {**plain, "state": state, **more}


def states(steps: list[Step]) -> str:
    """One letter a step: p(assed) n(ow) a(head) s(topped)."""
    letters = {"passed": "p", "present": "n", "ahead": "a", "stopped": "s"}
    return "".join(letters[step.state] for step in steps)


class TestSteps:
    @pytest.mark.parametrize(
        ("batch", "run", "expected"),
        [
            (a_batch("landed"), None, "ppp" + "a" * 8 + "a"),
            (a_batch("landed"), a_run("queued"), "ppp" + "n" + "a" * 7 + "a"),
            (a_batch("landed"), a_run("running", 3), "ppp" + "pppn" + "aaaa" + "a"),
            (a_batch("landed"), a_run("failed", 3), "ppp" + "ppps" + "aaaa" + "a"),
            (a_batch("governed", ALL), a_run("finished", 8), "ppp" + "p" * 8 + "n"),
            (a_batch("published", ALL), None, "ppp" + "p" * 8 + "p"),
            (a_batch("published"), None, "ppp" + "p" * 8 + "p"),
            (a_batch("quarantined", ALL), a_run("finished", 8), "ppp" + "p" * 8 + "s"),
            (a_batch("refused", {"profile": 1.0}), a_run("finished", 1), "ppp" + "p" + "a" * 7 + "s"),
            (a_batch("withdrawn"), a_run("cancelled"), "ppp" + "a" * 8 + "s"),
        ],
    )
    def test_stand_where_the_batch_stands(
        self, batch: dict[str, Any], run: dict[str, Any] | None, expected: str
    ) -> None:
        assert states(steps_of(batch, run)) == expected

    def test_carry_their_times(self) -> None:
        found = {step.title: step.seconds for step in steps_of(a_batch("published", ALL), None)}
        assert found[LANDING["read"]] == 0.2
        assert found[GOVERNING["align"]] == 0.5
        assert found["发布"] is None

    def test_say_what_they_wait_for(self) -> None:
        run = a_run("waiting_reference", 0, waiting_for=["school_base"])
        (present,) = [step for step in steps_of(a_batch("landed"), run) if step.state == "present"]
        assert present.note == "等待引用的数据集：school_base"

    def test_say_why_they_stopped(self) -> None:
        (*_, last) = steps_of(a_batch("quarantined", ALL, reason_zh="合格行不足"), None)
        assert (last.title, last.note) == ("未发布", "合格行不足")
