"""What was checked last, how it went, and whether it got worse: figures and pages."""

from typing import Any

import pytest
from edulake.common.clock import now
from edulake.governance.models import QualityReport, Run
from edulake.portal.quality import judged, share_of, spark, worsened
from sqlalchemy import insert

from .conftest import Page, World


def a_rule(failed: int, checked: int = 100, rule_id: str = "district_code.known") -> dict[str, Any]:
    return {
        "rule_id": rule_id,
        "title": "所属区不在行政区划代码表中",
        "field": "district_code",
        "severity": "error",
        "dimension": "规范性",
        "failed_rows": failed,
        "checked_rows": checked,
    }


def a_report(*rules: dict[str, Any], batch: str = "b2") -> dict[str, Any]:
    return {"dataset": "school_base", "source_id": "roster-b", "batch_id": batch, "rules": list(rules)}


class TestShares:
    @pytest.mark.parametrize(
        ("failed", "checked", "share"), [(0, 10, 1.0), (5, 10, 0.5), (12, 10, 0.0), (0, 0, None)]
    )
    def test_of_a_rule(self, failed: int, checked: int, share: float | None) -> None:
        assert share_of(a_rule(failed, checked)) == share

    def test_the_change_is_against_the_batch_before(self) -> None:
        (one,) = judged(a_report(a_rule(10)), a_report(a_rule(5), batch="b1"))
        assert one.change == pytest.approx(-0.05)
        assert one.is_worse

    @pytest.mark.parametrize("before", [None, a_report(), a_report(a_rule(0, 0))])
    def test_without_a_figure_before_nothing_got_worse(self, before: dict[str, Any] | None) -> None:
        (one,) = judged(a_report(a_rule(10)), before)
        assert (one.change, one.is_worse) == (None, False)

    def test_the_worst_stand_first_and_what_nobody_checked_last(self) -> None:
        rules = [a_rule(0, 0, "c"), a_rule(0, 9, "a"), a_rule(9, 9, "b"), a_rule(0, 0, "d")]
        assert [one.rule["rule_id"] for one in judged(a_report(*rules), None)] == ["b", "a", "c", "d"]

    def test_of_all_datasets_only_what_lost(self) -> None:
        better = {"report": a_report(a_rule(1)), "before": a_report(a_rule(2))}
        worse = {"report": a_report(a_rule(9, rule_id="x")), "before": a_report(a_rule(2, rule_id="x"))}
        assert [one.rule["rule_id"] for one in worsened([better, worse])] == ["x"]


class TestSpark:
    def test_a_line_goes_from_old_to_new_within_its_box(self) -> None:
        assert spark([90, 100, 95], width=100, height=20) == "0.0,20.0 50.0,0.0 100.0,10.0"

    def test_a_tiny_change_is_no_cliff(self) -> None:
        assert spark([99.9, 100.0], width=100, height=20) == "0.0,20.0 100.0,18.0"

    @pytest.mark.parametrize("scores", [[], [90.0]])
    def test_one_score_is_no_line(self, scores: list[float]) -> None:
        assert spark(scores) == ""


async def assessed(world: World, batch: str, failed: int, score: float, rows: int = 100) -> None:
    """A batch of `roster-b` that governance has closed, with one rule."""
    resources = world.resources_of("governance")
    same = {"batch_id": batch, "dataset": "school_base", "source_id": "roster-b", "period": "2026"}
    counts = {"rows_in": rows, "rows_governed": rows - failed, "rows_quarantined": failed}
    run = {
        **same,
        **counts,
        "contact": "person:wu-contact",
        "landed": {},
        "trace_id": "0" * 32,
        "state": "finished",
        "revision": 1,
        "tries": 1,
        "not_before": now(),
        "is_withdrawn": False,
        "waiting_for": [],
        "step_done": 8,
        "step_total": 8,
        "outcome": "governed",
        "quarantined_by_rule": {},
        "seconds_by_step": {},
        "reason_zh": "",
        "reason_en": "",
        "received_at": now(),
        "created_at": now(),
        "updated_at": now(),
    }
    report = {
        **same,
        **counts,
        "revision": 1,
        "outcome": "governed",
        "score": score,
        "scores": {"规范性": score},
        "rules": [a_rule(failed, rows)],
        "profile": {},
        "column_levels": {},
        "created_at": now(),
    }
    async with resources.database.transaction() as session:
        landed_no = await session.scalar(insert(Run).values(**run).returning(Run.landed_no))
        await session.execute(insert(QualityReport).values(**report, landed_no=landed_no))


@pytest.fixture
async def judged_twice(whole: World) -> World:
    """The second batch was worse, and there is an order about it."""
    await assessed(whole, "b1", 2, 98.0)
    await assessed(whole, "b2", 7, 93.0)
    await whole.fail_rule()
    return whole


class TestPages:
    async def test_without_a_report_the_page_says_when_there_will_be_one(self, whole: World) -> None:
        text = await (await whole.enter("li-steward")).read("/quality")
        assert "还没有质量报告" in text
        assert "/batches/deliver" in text

    async def test_each_dataset_stands_with_its_trend_and_its_orders(self, judged_twice: World) -> None:
        text = await (await judged_twice.enter("li-steward")).read("/quality")
        links = {link["href"] for link in Page(text).all("a")}
        assert {"/quality/school_base", "/batches/b2", "/orders?dataset=school_base&unclosed=yes"} <= links
        assert '<span class="loss">↓ 5.0</span>' in text
        assert "还没有质量报告：" in text  # the other datasets, by name

    async def test_a_dataset_shows_its_rules_and_leads_to_the_order(self, judged_twice: World) -> None:
        text = await (await judged_twice.enter("li-steward")).read("/quality/school_base")
        assert "所属区不在行政区划代码表中" in text
        assert "93%" in text
        assert '<span class="loss">↓ 5%</span>' in text
        assert "7 / 100" in text
        assert [link for link in Page(text).all("a") if link["href"].startswith("/orders/")]
        assert "<polyline" in text
        assert "历次得分" in text

    async def test_the_first_screen_of_a_steward_says_what_got_worse(self, judged_twice: World) -> None:
        text = await (await judged_twice.enter("li-steward")).read("/")
        assert '<span class="loss">↓ 5%</span>' in text

    async def test_a_contact_reads_his_own_and_no_history_of_others(self, judged_twice: World) -> None:
        person = await judged_twice.enter("wu-contact")
        assert "/quality/school_base" in await person.read("/quality")
        text = await person.read("/quality/school_base")
        assert "7 / 100" in text
        assert "历次得分" not in text

    async def test_an_applicant_sees_no_report(self, judged_twice: World) -> None:
        text = await (await judged_twice.enter("zheng-applicant")).read("/quality")
        assert "需要角色" in text

    async def test_a_silent_governance_is_told(self, judged_twice: World) -> None:
        person = await judged_twice.enter("li-steward")
        judged_twice.stop("governance")
        assert "治理服务暂时没有应答" in await person.read("/quality")
        assert (await person.get("/quality/school_base")).status_code == 503
