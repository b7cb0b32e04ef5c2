"""The first screen: what stands in the three zones, live, and what each role comes for."""

import re
from typing import Any

import pytest
from edulake.portal.clients.reply import Reply, silence
from edulake.portal.flow import flows, totals
from sqlalchemy import text as sql

from .conftest import Page, World

EMPTY = Reply([])
INGEST = Reply(
    {
        "sources": 2,
        "batches": {"landed": 1, "published": 3},
        "rows_landed": 40,
        "datasets": [{"dataset": "school_base", "last_rows": 10}],
    }
)
GOVERNED = Reply(
    [
        {"name": "school_base", "version": 2, "row_count": 30},
        {"name": "student_base", "version": None, "row_count": None},
    ]
)
SERVED = Reply(
    [
        {
            "dataset": "school_base",
            "job": {"status": "running"},
            "versions": [{"is_current": False, "row_count": 9}, {"is_current": True, "row_count": 30}],
        }
    ]
)


class TestFlow:
    def test_a_dataset_is_followed_through_the_three_zones(self) -> None:
        first, *rest = flows(["senior_quota", "school_base"], INGEST, GOVERNED, SERVED)
        assert first.dataset == "school_base"
        assert (first.raw or {})["last_rows"] == 10
        assert (first.governed or {})["version"] == 2
        assert (first.published or {})["row_count"] == 30
        assert (first.job or {})["status"] == "running"
        assert [flow.dataset for flow in rest] == ["senior_quota"]
        assert rest[0].is_empty

    def test_a_dataset_no_contract_names_any_more_is_still_shown(self) -> None:
        assert [flow.dataset for flow in flows([], INGEST, EMPTY, EMPTY)] == ["school_base"]

    def test_the_totals_add_up(self) -> None:
        found = totals(INGEST, GOVERNED, SERVED)
        assert found == {
            "sources": 2,
            "batches": 4,
            "rows_landed": 40,
            "under_way": 1,
            "datasets_governed": 1,
            "rows_governed": 30,
            "datasets_published": 1,
            "rows_published": 30,
        }

    def test_who_is_silent_has_no_figure_rather_than_none(self) -> None:
        found = totals(silence("ingest"), GOVERNED, silence("gateway"))
        assert (found["rows_landed"], found["batches"], found["rows_published"]) == (None, None, None)
        assert found["rows_governed"] == 30


class TestFirstScreens:
    @pytest.mark.parametrize(
        ("sub", "words"),
        [
            ("zheng-applicant", "可申请的接口"),
            ("zhou-owner", "待我审批"),
            ("qian-security", "待我审批"),
            ("wu-contact", "我的报送"),
            ("li-steward", "比上一批变差的规则"),
            ("zhao-system", "各服务是否就绪"),
            ("sun-audit", "今日共享与审计"),
        ],
    )
    async def test_each_finds_what_he_comes_for(self, whole: World, sub: str, words: str) -> None:
        text = await (await whole.enter(sub)).read("/")
        assert words in text
        assert "各数据集现状" in text
        assert "学校基础" in text
        assert "暂时没有应答" not in text

    async def test_the_approver_reads_what_waits(self, whole: World) -> None:
        await whole.fill()
        await whole.apply(await whole.enter("zheng-applicant"))
        assert "学区地图展示学校位置" in await (await whole.enter("zhou-owner")).read("/")

    async def test_each_thing_that_waits_leads_to_itself(self, whole: World) -> None:
        await whole.fill()
        applicant, owner = await whole.enter("zheng-applicant"), await whole.enter("zhou-owner")
        await whole.apply(applicant)
        await whole.apply(applicant, "api:senior-quota", purpose="高中招生计划公示")
        text = await owner.read("/")
        asked = re.findall(r'<a href="(/applications/todo\?one=[0-9a-f-]{36})">([^<]+)</a>', text)
        assert {purpose for _, purpose in asked} == {"学区地图展示学校位置", "高中招生计划公示"}
        for path, purpose in asked:
            assert f"<dd>{purpose}</dd>" in await owner.read(path)

    async def test_open_orders_stay_in_sight_behind_those_closed_last(self, whole: World) -> None:
        await whole.fill()
        for number in range(5):
            await whole.fail_rule(f"roster-{number}")
        for number in range(5):
            await whole.prove("8d4e6a52-0000-4000-8000-00000000000b", f"roster-{number}")
        text = await (await whole.enter("wu-contact")).read("/")
        assert "没有需要您处理的工单" not in text
        assert "所属区不在代码表中" in text

    async def test_the_late_ones_of_many_orders_come_first(self, whole: World) -> None:
        await whole.fill()
        async with whole.resources_of("workorder").database.transaction() as session:
            await session.execute(sql("UPDATE workorder.\"order\" SET due_at = now() - interval '2 hours'"))
        for number in range(6):
            await whole.fail_rule(f"roster-{number}")
        text = await (await whole.enter("wu-contact")).read("/")
        assert text.count("所属区不在代码表中") == 5
        assert text.count("已逾期") == 1
        assert text.index("已逾期") < text.index("roster-5")

    async def test_the_system_administrator_sees_who_waits_to_be_admitted(self, whole: World) -> None:
        administrator = await whole.enter("zhao-system")
        assert "没有等待准入的人员" in await administrator.read("/")
        await whole.note_person()
        assert "孙新人" in await administrator.read("/")

    async def test_the_contact_reads_the_orders_he_must_mend(self, whole: World) -> None:
        await whole.fill()
        assert "所属区不在代码表中" in await (await whole.enter("wu-contact")).read("/")

    async def test_the_system_administrator_sees_who_is_down(self, whole: World) -> None:
        whole.stop("workorder")
        text = await (await whole.enter("zhao-system")).read("/")
        assert "工单服务暂时没有应答" in text
        assert text.count("就绪</span>") == 5

    async def test_nobody_is_asked_for_panels_of_others(self, whole: World) -> None:
        text = await (await whole.enter("zheng-applicant")).read("/")
        for words in ("待我审批", "我的报送", "各服务是否就绪"):
            assert words not in text


class TestLive:
    async def seen(self, text: str) -> dict[str, Any]:
        (live,) = [found for _, found in Page(text).tags if found.get("id") == "figures"]
        return live

    async def test_a_look_without_news_leaves_the_page_alone(self, whole: World) -> None:
        person = await whole.enter("li-steward")
        live = await self.seen(await person.read("/"))
        assert live["hx-trigger"].startswith("every ")
        answer = await person.get(live["hx-get"], **{"hx-request": "true"})
        assert (answer.status_code, answer.content) == (204, b"")

    async def test_news_come_with_the_address_of_the_next_look(self, whole: World) -> None:
        person = await whole.enter("li-steward")
        first = await self.seen(await person.read("/"))
        await whole.fail_rule()
        answer = await person.get(first["hx-get"], **{"hx-request": "true"})
        assert answer.status_code == 200
        assert (await self.seen(answer.text))["hx-get"] != first["hx-get"]
        assert "<html" not in answer.text
