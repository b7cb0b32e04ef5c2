"""A batch's score: for each dimension of GB/T 36344 the share of checks that passed, 0 to 100."""

from collections.abc import Iterable, Mapping
from typing import Any


def score_by_dimension(rules: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """`rules`: records with dimension, checked_rows, failed_rows. A dimension nobody checked is absent."""
    checked: dict[str, int] = {}
    failed: dict[str, int] = {}
    for rule in rules:
        name = rule["dimension"]
        checked[name] = checked.get(name, 0) + rule["checked_rows"]
        failed[name] = failed.get(name, 0) + min(rule["failed_rows"], rule["checked_rows"])
    return {name: _percent(1 - failed[name] / checked[name]) for name in sorted(checked) if checked[name]}


def overall(scores: Mapping[str, float]) -> float:
    """The mean of the dimensions, each of the same weight; 0 when nothing was checked."""
    return round(sum(scores.values()) / len(scores), 2) if scores else 0.0


def _percent(share: float) -> float:
    return round(share * 100, 2)
