"""The pages that keep rows from being lost in silence, in a real Chromium: light, dark and narrow, with axe."""

from pathlib import Path
from typing import Any

import pytest

from .delivering import register_source
from .standin import held_run, published, stand_in
from .tabs import CHROMIUM, Watched
from .test_browser import OpenTab, browser, look_three_ways, open_tab
from .test_losses import CUT, PUBLICATIONS, RUNS, WHOLE, cut, hold
from .test_quality import assessed
from .world import World

__all__ = ["browser", "open_tab"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
]


async def send(contact: Watched, file: Path) -> None:
    """The deliver form filled in and sent."""
    await contact.page.select_option("#target", "roster-b/school_base")
    await contact.page.fill("#period", "2026")
    await contact.page.set_input_files("#file", file)
    await contact.page.click('#deliver button:text-is("报送")')


class TestACutFile:
    @pytest.mark.parametrize("scripts", [True, False])
    async def test_is_confirmed_with_the_pages_own_buttons(
        self, whole: World, open_tab: OpenTab, as_subject: Any, tmp_path: Path, scripts: bool
    ) -> None:
        await register_source(whole, as_subject)
        contact = await open_tab("wu-contact", java_script_enabled=scripts)
        for content in (WHOLE, CUT):
            file = tmp_path / "schools.csv"
            file.write_bytes(content)
            await contact.go("/batches/deliver")
            await send(contact, file)
            await contact.page.wait_for_url("**/batches/*-*")
        assert "3 行将替代 20 行" in await contact.page.inner_text("#asked")
        if scripts:
            await look_three_ways(contact, "batch-unconfirmed")
            await contact.go("/")
            await look_three_ways(contact, "overview-unconfirmed")
            await contact.page.go_back()
        await contact.follow('button:text-is("确认替代")')
        assert "已确认，批次已入湖" in await contact.page.inner_text("main")
        if scripts:
            await look_three_ways(contact, "batch-confirmed")
        assert contact.wrong == []

    async def test_landed_the_way_back_leaves_the_page_when_it_closes(
        self, whole: World, open_tab: OpenTab, as_subject: Any, tmp_path: Path
    ) -> None:
        await register_source(whole, as_subject)
        file = tmp_path / "schools.csv"
        file.write_bytes(WHOLE)
        contact = await open_tab("wu-contact")
        await contact.go("/batches/deliver")
        await send(contact, file)
        await contact.page.wait_for_url("**/batches/*-*?done=delivered")
        await contact.page.click("summary:has-text('撤回这一批')")
        await contact.page.wait_for_selector("button:has-text('确认撤回')")
        await whole.suite.as_admin("UPDATE ingest.batch SET status = 'published', published_version = 1")
        await contact.page.wait_for_selector("#progress .batch-published")
        await contact.page.wait_for_selector("#acts:not(:has-text('撤回'))")
        assert contact.wrong == []


class TestLooks:
    async def test_of_a_held_batch(self, whole: World, open_tab: OpenTab, as_subject: Any) -> None:
        await register_source(whole, as_subject)
        path, _ = await hold(whole)
        steward, contact = await open_tab("li-steward"), await open_tab("wu-contact")
        await look_three_ways(steward, "overview-held")
        await steward.go(path)
        await look_three_ways(steward, "batch-held")
        await contact.go(path)
        await look_three_ways(contact, "batch-held-contact")
        assert [steward.wrong, contact.wrong] == [[], []]

    async def test_of_versions_and_of_going_back(self, whole: World, open_tab: OpenTab) -> None:
        await whole.fill()
        stand_in(whole, "gateway", {("GET", PUBLICATIONS): (200, [published(2000, 2087, 391)])})
        steward = await open_tab("li-steward")
        await steward.go("/resources/dataset:school_base/versions")
        await look_three_ways(steward, "versions-fallen")
        await steward.follow('a:has-text("回退到此版本") >> nth=0')
        await look_three_ways(steward, "version-back")
        assert steward.wrong == []

    async def test_of_a_score_that_rose_because_rows_are_gone(self, whole: World, open_tab: OpenTab) -> None:
        await assessed(whole, "b1", 2, 99.4)
        await assessed(whole, "b2", 0, 100.0, rows=19)
        steward = await open_tab("li-steward")
        await look_three_ways(steward, "overview-fallen")
        await steward.go("/quality")
        await look_three_ways(steward, "quality-fallen")
        await steward.go("/quality/school_base")
        await look_three_ways(steward, "quality-dataset-fallen")
        assert steward.wrong == []

    async def test_of_a_publication_that_waits(
        self, whole: World, open_tab: OpenTab, as_subject: Any
    ) -> None:
        await register_source(whole, as_subject)
        path = await cut(await whole.enter("wu-contact"))
        await whole.suite.as_admin(
            "UPDATE ingest.batch SET status = 'held', governed_version = 2 WHERE status = 'unconfirmed'"
        )
        job = {"batch_id": path.rpartition("/")[2], "status": "held", "governed_version": 2, "row_count": 391,
               "reason_zh": "与现行发布相比：行数 2087 → 391（减少 81%）", "updated_at": "2026-12-01T08:00:00+00:00"}  # fmt: skip
        stand_in(whole, "gateway", {("GET", PUBLICATIONS): (200, [published(2087, job=job)])})
        stand_in(
            whole,
            "governance",
            {("GET", RUNS): (200, {"items": [held_run("b", may_decide=True)], "next": None})},
        )
        steward = await open_tab("li-steward")
        await look_three_ways(steward, "overview-unreleased")
        await steward.go(path)
        await look_three_ways(steward, "batch-unreleased")
        assert steward.wrong == []
