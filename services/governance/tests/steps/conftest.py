"""`govern(dataset, rows, …)`: a small delivery through the whole pipeline, with made-up people and schools."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import polars as pl
import pytest
from edulake.common.gm import KeyRing
from edulake.common.standards import Standards
from edulake.governance.pipeline import Context, KeyRings, Outcome, SourceFacts, run

RECEIVED = date(2024, 9, 1)
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def frame_of(headers: Sequence[str], rows: Sequence[Sequence[str | None]]) -> pl.DataFrame:
    """A delivery as ingest lands it: all text, `_row` from 1."""
    table = pl.DataFrame(list(rows), schema=dict.fromkeys(headers, pl.String), orient="row")
    return table.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("_row"))


@pytest.fixture
def make_frame() -> Callable[..., pl.DataFrame]:
    return frame_of


@pytest.fixture
def make_context(standards: Standards) -> Callable[..., Context]:
    def make(
        dataset: str, *, title: str = "学校名册", source: dict[str, Any] | None = None, **more: Any
    ) -> Context:
        facts = SourceFacts(**{"id": "test-source", "title": title, "authority": 1, **(source or {})})
        rings = KeyRings(seal=KeyRing.of(k1=b"s" * 32), token=KeyRing.of(k1=b"t" * 32))
        given: dict[str, Any] = {"batch_id": "b1", "period": "2024", "received_on": RECEIVED, "rings": rings}
        return Context(
            contract=standards.datasets[dataset], standards=standards, source=facts, **{**given, **more}
        )

    return make


@pytest.fixture
def govern(make_context: Callable[..., Context]) -> Callable[..., Outcome]:
    def go(
        dataset: str, headers: Sequence[str], rows: Sequence[Sequence[str | None]], **more: Any
    ) -> Outcome:
        return run(frame_of(headers, rows), make_context(dataset, **more))

    return go


@pytest.fixture
def schools() -> pl.DataFrame:
    """A governed school register of made-up schools."""
    rows = [
        ("S1", "990001", "上海市示例初级中学", "310115", "3", None, None),
        ("S2", "990002", "上海市样例学校", "310104", "3", "旧名学校", None),
        ("S3", "990003", "上海市奉贤区同名中学", "310120", "3", None, None),
        ("S4", "990004", "上海市宝山区同名中学", "310113", "3", None, None),
        ("S5", "990101", "上海市示例高级中学", "310115", "4", None, "示例高中"),
        ("S6", "990102", "上海市样板中学（东校区）", "310104", "4", None, None),
    ]
    columns = [
        "school_key",
        "school_code",
        "school_name",
        "district_code",
        "stage",
        "other_names",
        "short_name",
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


@pytest.fixture
def identity_number() -> Callable[..., str]:
    """A number nobody can have: area 310199 is not assigned."""

    def make(birth: str = "20120517", serial: int = 12, area: str = "310199") -> str:
        body = f"{area}{birth}{serial:03d}"
        return body + "10X98765432"[sum(int(d) * w for d, w in zip(body, WEIGHTS, strict=True)) % 11]

    return make


@pytest.fixture
def rules_failed() -> Callable[..., dict[int | None, set[str]]]:
    """`rules_failed(outcome, severity)` → {row: rule ids}."""

    def of(outcome: Outcome, severity: str | None = None) -> dict[int | None, set[str]]:
        found: dict[int | None, set[str]] = {}
        for row, rule, level in outcome.findings.select("_row", "rule_id", "severity").iter_rows():
            if severity in (None, level):
                found.setdefault(row, set()).add(rule)
        return found

    return of
