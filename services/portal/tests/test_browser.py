"""A real Chromium walks from search to approval; every page is looked at for errors and names."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from .auditing import record_of, write
from .delivering import ONE_BAD, WRONG_HEADER, register_source, working
from .suite import Suite
from .tabs import CHROMIUM, NARROW, Watched, launched, served, tab
from .walk import WALK
from .world import World

OpenTab = Callable[..., Awaitable[Watched]]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),  # the longest takes half a minute on an idle machine
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
async def browser(suite: Suite) -> AsyncIterator[Browser]:
    """One Chromium and one server for all tests of this file."""
    async with served(suite), launched() as opened:
        yield opened


@pytest.fixture
async def open_tab(browser: Browser, suite: Suite) -> AsyncIterator[OpenTab]:
    """`await open_tab("li-steward", **context options)` → his tab; closed with the test."""
    async with AsyncExitStack() as stack:

        async def opener(sub: str, **options: Any) -> Watched:
            watched = await stack.enter_async_context(tab(browser, suite, **options))
            await watched.log_in(sub)
            return watched

        yield opener


class TestJourney:
    async def test_find_apply_refuse_and_mend(self, full: World, open_tab: OpenTab) -> None:
        applicant = await open_tab("zheng-applicant")
        await register_app(applicant)
        await ask_for_schools(applicant)
        owner = await open_tab("zhou-owner", color_scheme="dark")
        await refuse_it(owner)
        await applicant.page.reload()
        assert "目的不够具体" in await applicant.page.inner_text("main")
        await applicant.look("applications-refused")
        contact = await open_tab("wu-contact", viewport=NARROW)
        await mend_an_order(contact)
        assert [one.wrong for one in (applicant, owner, contact)] == [[], [], []]


class TestLive:
    async def test_figures_follow_what_happens(self, full: World, open_tab: OpenTab) -> None:
        vars(full.settings)["live_every_s"] = 1
        steward = await open_tab("li-steward")
        figure = "[data-flow=orders-unclosed]"
        assert await steward.page.inner_text(figure) == "1"
        await full.fail_rule("roster-c")
        await steward.page.wait_for_selector(f"{figure}:has-text('2').flowed")
        assert steward.wrong == []


class TestLook:
    """Light, dark and narrow: `make screenshots` keeps what is seen here."""

    @pytest.mark.parametrize("sub", sorted({one.sub for one in WALK}))
    async def test_every_page_of(self, whole: World, open_tab: OpenTab, as_subject: Any, sub: str) -> None:
        await whole.fill()
        await whole.put_to_use()
        await whole.note_person()
        await register_source(whole, as_subject)
        await write(whole, record_of(3), record_of(client_id="app-b", status=403, trace_id="0af7" * 8))
        watched = await open_tab(sub)
        for one in (found for found in WALK if found.sub == sub):
            await watched.go(await one.address(whole))
            await watched.look(f"{one.name}-light")
            await watched.page.emulate_media(color_scheme="dark")
            await watched.look(f"{one.name}-dark")
            await watched.page.emulate_media(color_scheme="light")
            await watched.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
            await watched.look(f"{one.name}-narrow")
            await watched.page.set_viewport_size({"width": 1280, "height": 800})
        assert watched.wrong == []


class TestDelivering:
    """A contact delivers, follows and mends; a steward sees what it did to the quality."""

    async def test_from_the_file_to_the_proof(
        self, whole: World, open_tab: OpenTab, as_subject: Any, tmp_path: Path
    ) -> None:
        await register_source(whole, as_subject)
        bad, good = tmp_path / "wrong.csv", tmp_path / "schools.csv"
        bad.write_bytes(WRONG_HEADER)
        good.write_bytes(ONE_BAD)
        contact = await open_tab("wu-contact")
        await contact.follow("text=报送文件")
        contact.expect_refusal("/batches/deliver", 422)
        await self.send(contact, bad)
        await contact.page.wait_for_selector("#file-remark:not([hidden])")
        await contact.page.wait_for_selector("#file[aria-invalid=true]")
        assert await contact.page.input_value("#period") == "2026"
        assert await contact.page.evaluate("document.getElementById('file').files.length") == 1
        await look_three_ways(contact, "deliver-refused")
        await self.send(contact, good)
        await contact.page.wait_for_url("**/batches/*-*?done=delivered")
        await look_three_ways(contact, "batch-landed")
        async with working(whole):
            await contact.page.wait_for_selector("#progress .batch-governed")
        assert "秒" in await contact.page.inner_text(".way")
        await look_three_ways(contact, "batch-governed")
        for part in ("findings", "quarantine"):
            await contact.follow(f".tabs a[href$={part}]")
            await look_three_ways(contact, f"batch-{part}")
        for path, name in (
            ("/", "overview-contact"),
            ("/batches", "batches-contact"),
            ("/quality", "quality-contact"),
        ):
            await contact.go(path)
            await look_three_ways(contact, name)
        assert contact.wrong == []
        steward = await open_tab("li-steward")
        for path, name in (
            ("/", "overview-steward"),
            ("/quality", "quality"),
            ("/quality/school_base", "quality-one"),
        ):
            await steward.go(path)
            await look_three_ways(steward, name)
        assert steward.wrong == []

    async def send(self, contact: Watched, file: Path) -> None:
        await contact.page.select_option("#target", "roster-b/school_base")
        await contact.page.fill("#period", "2026")
        await contact.page.set_input_files("#file", file)
        await contact.page.click("#deliver button")

    async def test_without_scripts_the_form_and_the_page_work_too(
        self, whole: World, open_tab: OpenTab, as_subject: Any, tmp_path: Path
    ) -> None:
        await register_source(whole, as_subject)
        file = tmp_path / "schools.csv"
        file.write_bytes(ONE_BAD)
        contact = await open_tab("wu-contact", java_script_enabled=False)
        await contact.go("/batches/deliver")
        await self.send(contact, file)
        await contact.page.wait_for_url("**/batches/*-*?done=delivered")
        assert "已归集" in await contact.page.inner_text("main")

    async def test_what_became_of_a_lost_connection_and_of_a_stale_page_is_said(
        self, whole: World, open_tab: OpenTab, as_subject: Any, tmp_path: Path
    ) -> None:
        await register_source(whole, as_subject)
        file = tmp_path / "schools.csv"
        file.write_bytes(ONE_BAD)
        contact = await open_tab("wu-contact")
        await contact.go("/batches/deliver")
        await contact.page.route("**/batches/deliver", lambda route: route.abort())
        await self.send(contact, file)
        await contact.page.wait_for_selector("#broken:not([hidden])")
        await contact.page.unroute("**/batches/deliver")
        await contact.page.evaluate("document.querySelector('#deliver [name=csrf]').value = 'stale'")
        await self.send(contact, file)
        await contact.page.wait_for_selector("#stale:not([hidden])")
        assert await contact.page.is_hidden("#broken")
        assert "没有批次" in await (await whole.enter("wu-contact")).read("/batches")

    @pytest.mark.parametrize("sub", ["zheng-applicant", "zhou-owner", "zhao-system", "sun-audit"])
    async def test_the_first_screen_of(self, whole: World, open_tab: OpenTab, sub: str) -> None:
        await whole.fill()
        watched = await open_tab(sub)
        await look_three_ways(watched, f"overview-{sub}")
        assert watched.wrong == []


async def look_three_ways(watched: Watched, name: str) -> None:
    """Light, dark and narrow."""
    await watched.look(f"{name}-light")
    await watched.page.emulate_media(color_scheme="dark")
    await watched.look(f"{name}-dark")
    await watched.page.emulate_media(color_scheme="light")
    await watched.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    await watched.look(f"{name}-narrow")
    await watched.page.set_viewport_size({"width": 1280, "height": 800})


class TestCopying:
    """The buttons work within the CSP; without a clipboard they are not shown."""

    async def test_takes_the_lines_of_the_handbook(self, full: World, open_tab: OpenTab) -> None:
        reader = await open_tab("zheng-applicant", permissions=["clipboard-read", "clipboard-write"])
        await reader.go("/resources/api:schools/handbook")
        await reader.page.evaluate("window.setTimeout = () => 0")  # the button keeps the word it takes
        await reader.page.click("[data-copy=code-curl]")
        await reader.page.wait_for_selector("[data-copy=code-curl]:has-text('已复制')")
        taken = await reader.page.evaluate("navigator.clipboard.readText()")
        assert taken.strip() == (await reader.page.inner_text("#code-curl")).strip()
        assert reader.wrong == []

    async def test_is_not_offered_where_scripts_are_off(self, full: World, open_tab: OpenTab) -> None:
        reader = await open_tab("zheng-applicant", java_script_enabled=False)
        await reader.go("/resources/api:schools/handbook")
        assert not await reader.page.is_visible("[data-copy=code-curl]")


class TestAdministering:
    """What each administrator does, once, in a browser."""

    async def test_people_and_the_chain(self, whole: World, open_tab: OpenTab) -> None:
        await whole.note_person()
        await write(whole, record_of(3))
        system = await open_tab("zhao-system")
        await system.follow("text=孙新人")
        await system.page.fill("#organisation", "示范区教育局")
        await system.page.click('button:text-is("准入")')
        await system.page.wait_for_selector(".notice.good")
        await system.look("person-admitted")
        security = await open_tab("qian-security", viewport=NARROW)
        await security.go("/people?name=孙新人")
        await security.follow("text=孙新人")
        await security.page.check("input[value=steward]")
        await security.page.check("input[value=audit_admin]")
        await security.page.fill("#reason", "岗位调整")
        await security.page.click('button:text-is("保存角色")')
        await security.page.wait_for_selector(".notice.good")
        await security.look("person-roles-given")
        auditor = await open_tab("sun-audit", color_scheme="dark")
        await auditor.go("/audit")
        await auditor.page.click('button:text-is("校验全部记录")')
        await auditor.page.wait_for_selector("text=审计链完整")
        await auditor.look("audit-verified")
        assert [one.wrong for one in (system, security, auditor)] == [[], [], []]

    async def test_a_secret_is_replaced(self, full: World, open_tab: OpenTab) -> None:
        owner = await open_tab("zheng-applicant")
        await register_app(owner)
        await owner.page.click("summary:has-text('密钥')")
        await owner.page.click("button:has-text('更换密钥')")
        await owner.page.wait_for_selector("text=新密钥已生效")
        await look_three_ways(owner, "apps-rotated")
        await owner.page.click("summary:has-text('停用密钥') >> nth=0")
        await owner.page.click("button:has-text('确认停用') >> nth=0")
        await owner.page.wait_for_selector("text=密钥已停用")
        assert owner.wrong == []


class TestReadingWithoutScripts:
    async def test_the_catalogue_is_found_and_read(self, full: World, open_tab: OpenTab) -> None:
        reader = await open_tab("zheng-applicant", java_script_enabled=False)
        await reader.go("/resources?q=学校")
        await reader.follow('a:text-is("学校查询")')
        await reader.follow('a:text-is("数据结构")')
        assert reader.page.url.endswith("/structure")
        assert "学校代码" in await reader.page.inner_text("main")


async def register_app(watched: Watched) -> None:
    await watched.follow("nav >> text=我的应用")
    await watched.look("apps-empty")
    await watched.page.fill("#name", "学区地图")
    await watched.page.click('button:text-is("登记")')
    await watched.page.wait_for_selector(".secret")
    await watched.look("apps-registered")


async def ask_for_schools(watched: Watched) -> None:
    """By keyboard where a person would use it."""
    page = watched.page
    await watched.follow("nav >> text=资源目录")
    await page.fill("#q", "学校")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/resources?q=*")
    await watched.follow('a:text-is("学校查询")')
    assert page.url.endswith("/resources/api%3Aschools")
    await watched.follow('a:text-is("申请使用")')
    await page.fill("#purpose", "好的")
    await page.fill("#scenario", "市民查询附近学校")
    await page.check("input[name=promises]")
    watched.expect_refusal("/resources/api", 422)
    await page.click('button:text-is("提交申请")')
    await page.wait_for_selector("#purpose-remark")
    assert await page.input_value("#scenario") == "市民查询附近学校"
    await watched.look("resource-refused")
    await page.fill("#purpose", "学区地图展示学校位置")
    await page.click('button:text-is("提交申请")')
    await page.wait_for_url("**/applications?done=applied")


async def refuse_it(watched: Watched) -> None:
    await watched.follow("nav >> text=待办审批")
    await watched.look("todo-dark")
    await watched.page.fill("textarea[name=reason]", "目的不够具体")
    await watched.page.click('button:text-is("拒绝")')
    await watched.page.wait_for_url("**/applications/todo?done=refuse")
    await watched.look("todo-empty-dark")


async def mend_an_order(watched: Watched) -> None:
    await watched.follow("nav >> text=质量工单")
    await watched.look("orders-narrow")
    await watched.follow('a:text-is("所属区不在代码表中")')
    await watched.page.fill("#text", "已通知学校更正")
    await watched.page.click('button:text-is("留言")')
    await watched.page.wait_for_selector(".notice.good")
    await watched.look("order-narrow")
