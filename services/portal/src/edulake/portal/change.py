"""How rows changed, and whether a score may be compared at all: fewer rows never make a quality better."""

from collections.abc import Mapping, Sequence
from typing import Any

from edulake.common.standards import Contract


def change_of(after: int | None, before: int | None) -> float | None:
    """The change as a share of what there was (−0.81: four fifths are gone); None without a figure before."""
    return after / before - 1 if before and after is not None else None


def is_fall(change: float | None, contract: Contract | None) -> bool:
    """Whether so much was lost that a person must agree (the contract's `rows_lost_max`)."""
    bound = contract.completeness.rows_lost_max if contract else 0.0
    return change is not None and -change > bound


def rows_change(report: Mapping[str, Any], before: Mapping[str, Any] | None) -> float | None:
    """The change of rows a report stands for: against the batch before, or what it lacks of what it replaces."""
    lacking = report.get("completeness") or {}
    known = [change_of(report["rows_in"], before["rows_in"])] if before else []
    if lacking.get("exceeds") and lacking.get("keys_before"):
        known.append(-lacking["keys_lost"] / lacking["keys_before"])
    return min((one for one in known if one is not None), default=None)


def is_comparable(
    report: Mapping[str, Any], before: Mapping[str, Any] | None, contract: Contract | None
) -> bool:
    """Whether a score is one beside the score before: not where too many rows are gone, or something else is odd."""
    exceeds = (report.get("completeness") or {}).get("exceeds")
    return not exceeds and not is_fall(rows_change(report, before), contract)


def with_changes(versions: Sequence[Mapping[str, Any]], contract: Contract | None) -> list[dict[str, Any]]:
    """Versions, newest first, each with its change of rows against the one before it."""
    older: list[Mapping[str, Any] | None] = [*versions[1:], None]
    found = []
    for version, before in zip(versions, older, strict=False):  # without versions there is none before either
        rows = before["row_count"] if before else version.get("row_count_before")
        change = change_of(version["row_count"], rows)
        found.append({**version, "change": change, "is_fall": is_fall(change, contract)})
    return found


def with_falls(reports: Sequence[Mapping[str, Any]], contract: Contract | None) -> list[dict[str, Any]]:
    """Reports, newest first, each with its change of rows against the one before of its source."""
    found = []
    for at, report in enumerate(reports):
        same = (one for one in reports[at + 1 :] if one["source_id"] == report["source_id"])
        change = rows_change(report, next(same, None))
        found.append({**report, "change": change, "is_fall": is_fall(change, contract)})
    return found
