"""Quality reports compared: what got worse since the batch before of the same source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Judged:
    """One rule on one batch. `share` passed (0 to 1), `change` against the batch before; None: not known."""

    dataset: str
    source_id: str
    batch_id: str
    rule: Mapping[str, Any]
    share: float | None
    change: float | None
    #: Fewer rows were checked than before: what looks better is only less.
    has_fewer_rows: bool = False

    @property
    def is_worse(self) -> bool:
        return self.change is not None and self.change < 0


def share_of(rule: Mapping[str, Any]) -> float | None:
    """The share of checked rows that passed; None when nothing was checked."""
    checked = rule["checked_rows"]
    return 1 - min(rule["failed_rows"], checked) / checked if checked else None


def judged(report: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[Judged]:
    """The rules of a report, those that lost most rows first."""
    earlier = {rule["rule_id"]: rule for rule in before["rules"]} if before else {}
    found = []
    for rule in report["rules"]:
        old = earlier.get(rule["rule_id"])
        share, was = share_of(rule), share_of(old) if old else None
        change = share - was if share is not None and was is not None else None
        fewer = bool(old and rule["checked_rows"] < old["checked_rows"])
        whose = (report["dataset"], report["source_id"], report["batch_id"])
        found.append(Judged(*whose, rule, share, change, fewer))
    return sorted(found, key=lambda one: (one.share is None, one.share, one.rule["rule_id"]))


def worsened(newest: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """Of the newest reports, the rules that lost against the batch before, the worst first."""
    rules = [one for pair in newest for one in judged(pair["report"], pair["before"])]
    return sorted((one for one in rules if one.is_worse), key=lambda one: one.change or 0)


def spark(scores: Sequence[float], width: int = 120, height: int = 28) -> str:
    """Points of a small line over scores out of 100, oldest first; empty when there is no line to draw."""
    if len(scores) < 2:
        return ""
    low, high = min(scores), max(scores)
    span = max(high - low, 1)  # a change below one point is no slope to be alarmed by
    step = width / (len(scores) - 1)
    return " ".join(
        f"{step * at:.1f},{height - (score - low) / span * height:.1f}" for at, score in enumerate(scores)
    )
