"""Nothing is lost in silence: who delivers, who answers and who governs each read what would go, in figures."""

import re
from html import unescape
from typing import Any

import pytest

from .conftest import Page, Person, World
from .delivering import HEAD, register_source, send_file, when, working
from .standin import LACKING, held_run, published, stand_in
from .test_quality import a_rule, assessed

WHOLE = (HEAD + "".join(f"99{n:04},示范第{n}初级中学,310115,初中,公办\n" for n in range(1, 21))).encode()
CUT = b"\n".join(WHOLE.split(b"\n")[:4]) + b"\n"
SMALLER = b"\n".join(WHOLE.split(b"\n")[:20]) + b"\n"
RUNS = "/api/governance/runs"
PUBLICATIONS = "/api/gateway/publications"


@pytest.fixture
async def ready(whole: World, as_subject: Any) -> World:
    await register_source(whole, as_subject)
    return whole


async def cut(person: Person) -> str:
    """The page of a cut file, delivered after a whole one."""
    assert "done=delivered" in (await send_file(person, WHOLE)).headers["location"]
    path: str = (await send_file(person, CUT)).headers["location"]
    assert re.fullmatch(r"/batches/[0-9a-f-]{36}", path), path
    return path


def hidden(text: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that is sent to an address ending so."""
    form = text.partition(f'action="{action}"')[2].partition("</form>")[0]
    return {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}


class TestACutFile:
    """The portal review's worst case, step by step, with the portal's own buttons."""

    async def test_is_asked_about_in_figures_and_changes_nothing_yet(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        text = await contact.read(await cut(contact))
        for words in ("请确认：这一批 3 行将替代 20 行（−85 %）", "还没有入湖，现有数据没有变化", "确认替代",
                      "撤回这一批", "等待报送人确认", "等待确认</span>"):  # fmt: skip
            assert words in text
        assert "hx-get=" not in text
        assert "改正后重新报送" not in text
        overview = await contact.read("/")
        assert "等待您确认" in overview
        assert "3 行将替代 20 行（−85 %）" in overview
        assert '<dt>入湖行数</dt><dd data-flow="rows-landed">20</dd>' in overview
        assert '<dt>在途批次</dt><dd data-flow="under-way">1</dd>' in overview

    async def test_confirmed_lands_and_says_for_ever_what_it_replaced(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        path = await cut(contact)
        form = hidden(await contact.read(path), f"{path}/confirm")
        done = await contact.send(f"{path}/confirm", form)
        assert done.headers["location"] == f"{path}?done=confirm-batch"
        text = await contact.read(done.headers["location"])
        assert "3 行替代 20 行（−85 %）" in text
        assert "请确认" not in text
        assert "hx-get=" in text
        assert "等待您确认" not in await contact.read("/")

    async def test_withdrawn_leaves_all_as_it_was(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        path = await cut(contact)
        done = await contact.send(f"{path}/withdraw")
        assert done.headers["location"] == f"{path}?done=withdraw-batch"
        text = await contact.read(path)
        assert "已撤回" in text
        assert "确认替代" not in text

    async def test_whose_figures_changed_meanwhile_is_asked_about_anew(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        path = await cut(contact)
        form = hidden(await contact.read(path), f"{path}/confirm")
        assert "done=delivered" in (await send_file(contact, SMALLER)).headers["location"]
        answer = await contact.send(f"{path}/confirm", form)
        assert answer.status_code == 409
        assert "将替代的数据已有变化" in answer.text
        assert "请确认：这一批 3 行将替代 19 行（−84 %）" in answer.text
        again = hidden(answer.text, f"{path}/confirm")
        assert (await contact.send(f"{path}/confirm", again)).status_code == 303

    @pytest.mark.parametrize("shown", ["", "nonsense", "[]", "{}"])
    async def test_is_not_confirmed_by_a_form_without_figures(self, ready: World, shown: str) -> None:
        contact = await ready.enter("wu-contact")
        path = await cut(contact)
        assert (await contact.send(f"{path}/confirm", {"shown": shown})).status_code == 422
        assert "等待确认</span>" in await contact.read(path)

    async def test_is_shown_to_others_without_buttons(self, ready: World) -> None:
        path = await cut(await ready.enter("wu-contact"))
        text = await (await ready.enter("zhou-owner")).read(path)
        assert "3 行将替代 20 行" in text
        assert "确认替代" not in text

    async def test_under_a_wrong_period_names_the_other(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        first = (await send_file(contact, WHOLE)).headers["location"].partition("?")[0]
        text = await contact.read((await send_file(contact, WHOLE, period="2027")).headers["location"])
        assert "如果期次填错了" in text
        assert f'href="{first}"' in text

    async def test_a_small_change_is_not_asked_about_and_still_told(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        await send_file(contact, WHOLE)
        path = (await send_file(contact, SMALLER)).headers["location"]
        assert "done=delivered" in path
        assert "19 行替代 20 行（−5 %）" in await contact.read(path)


class TestCounts:
    async def test_landed_rows_are_governed_merged_and_held_back(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        twice = WHOLE + WHOLE.split(b"\n")[1] + b"\n"
        async with working(ready):
            path = (await send_file(contact, twice)).headers["location"].partition("?")[0]
            text = await when(contact, path, "已治理</span>")
        figures = {
            name: int(count)
            for name, count in re.findall(r'data-flow="(landed|governed|merged|quarantined)">(\d+)', text)
        }
        assert figures["merged"] == 1
        assert figures["landed"] == sum(figures.values()) - figures["landed"]


class TestWithdrawing:
    async def test_the_live_part_takes_the_button_away_when_it_is_too_late(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        path = (await send_file(contact, WHOLE)).headers["location"].partition("?")[0]
        landed = await contact.read(f"{path}/progress?seen=x")
        assert 'id="acts"' not in landed, "as long as it may be withdrawn an open question stays open"
        assert "确认撤回" in await contact.read(path)
        await ready.suite.as_admin("UPDATE ingest.batch SET status = 'published', published_version = 1")
        later = await contact.read(f"{path}/progress?seen=x")
        assert '<div id="acts" hx-swap-oob="true">' in later
        assert "确认撤回" not in later


async def hold(world: World, **over: Any) -> tuple[str, Any]:
    """A batch that governance holds: its page, and the stand-in for governance."""
    contact = await world.enter("wu-contact")
    path = (await send_file(contact, WHOLE)).headers["location"].partition("?")[0]
    batch_id = path.rpartition("/")[2]
    await world.suite.as_admin("UPDATE ingest.batch SET status = 'held', reason_zh = '缺少 2529 个主键'")
    run = held_run(batch_id, **{"may_decide": True, **over})
    base = f"/api/governance/batches/{batch_id}"
    governance = stand_in(
        world,
        "governance",
        {
            ("GET", RUNS): (200, {"items": [run], "next": None}),
            ("GET", f"{RUNS}/{batch_id}"): (200, run),
            ("POST", f"{base}/agree"): (202, run),
            ("POST", f"{base}/refuse"): (200, run),
        },
    )
    return path, governance


class TestHeld:
    """Governance waits for owner or steward (its answers of the recorded shapes)."""

    async def test_shows_the_owner_what_would_be_lost_and_asks(self, ready: World) -> None:
        path, governance = await hold(ready)
        steward = await ready.enter("li-steward")
        text = await steward.read(path)
        for words in ("等待同意：这一批缺少过多现有数据", "2,728", "199", "−93 %", "2,529 个", "12 个变空",
                      "现有数据没有变化", "同意按上面的数字替代"):  # fmt: skip
            assert words in text
        done = await steward.send(f"{path}/agree", hidden(text, f"{path}/agree"))
        assert done.headers["location"] == f"{path}?done=agree-batch"
        (sent,) = governance.sent
        assert sent[1] == {"rows_before": 2728, "rows_after": 199, "keys_lost": 2529}

    async def test_is_told_on_the_page_that_is_open_while_it_happens(self, ready: World) -> None:
        path, _ = await hold(ready)
        steward = await ready.enter("li-steward")
        live = await steward.read(f"{path}/progress?seen=x")
        assert '<div id="waits" hx-swap-oob="true">' in live
        assert "等待同意：这一批缺少过多现有数据" in live
        assert "同意按上面的数字替代" in live

    async def test_is_refused_with_a_reason_which_is_kept_when_it_is_not_taken(self, ready: World) -> None:
        path, governance = await hold(ready)
        steward = await ready.enter("li-steward")
        form = hidden(await steward.read(path), f"{path}/refuse")
        refusal = {"title": "数字已变化 / x", "status": 409, "detail": "现在是 200 行 / x"}
        taken = governance.answers[("POST", f"/api/governance{path}/refuse")]
        governance.answers[("POST", f"/api/governance{path}/refuse")] = (409, refusal)
        answer = await steward.send(f"{path}/refuse", {**form, "reason": "请补报全部学校"})
        assert answer.status_code == 409
        assert "现在是 200 行" in answer.text
        assert ">请补报全部学校</textarea>" in answer.text
        governance.answers[("POST", f"/api/governance{path}/refuse")] = taken
        done = await steward.send(f"{path}/refuse", {**form, "reason": "请补报全部学校"})
        assert done.headers["location"] == f"{path}?done=refuse-batch"
        assert governance.sent[-1][1]["reason"] == "请补报全部学校"

    async def test_tells_the_contact_why_it_waits_and_offers_to_take_it_back(self, ready: World) -> None:
        path, _ = await hold(ready, may_decide=False)
        text = await (await ready.enter("wu-contact")).read(path)
        assert "缺少 2529 个主键" in text
        assert "数据责任人或数据治理工程师正在核对" in text
        assert "同意按上面的数字替代" not in text
        assert "确认撤回" in text

    async def test_stands_first_for_who_decides_and_nothing_is_said_to_be_well(self, ready: World) -> None:
        path, _ = await hold(ready)
        text = await (await ready.enter("li-steward")).read("/")
        assert "1 批等待您同意" in text
        assert text.index("批等待您同意") < text.index("比上一批变差的规则")
        assert "199 行将替代 2,728 行（−93 %）" in text
        assert f'href="{path}"' in text
        assert "没有变差的规则" not in text

    async def test_is_not_named_to_an_owner_of_another_dataset(self, ready: World) -> None:
        await hold(ready, dataset="nobodys")
        assert "批等待您同意" not in await (await ready.enter("zhou-owner")).read("/")

    async def test_a_publication_that_waits_is_named_and_let_go(self, ready: World) -> None:
        path, _ = await hold(ready)
        await ready.suite.as_admin("UPDATE ingest.batch SET governed_version = 2, refused_version = 2")
        job = {
            "batch_id": path.rpartition("/")[2],
            "status": "held",
            "governed_version": 2,
            "row_count": 391,
            "reason_zh": "少于正在共享的 81 %",
            "updated_at": "2026-12-01T08:00:00+00:00",
        }
        gateway = stand_in(
            ready,
            "gateway",
            {
                ("GET", PUBLICATIONS): (200, [published(2087, job=job)]),
                ("POST", f"{PUBLICATIONS}/school_base/release"): (202, []),
            },
        )
        steward = await ready.enter("li-steward")
        text = await steward.read("/")
        assert "2 批等待您同意" in text
        assert "少于正在共享的 81 %" in text
        page = await steward.read(path)
        for words in ("发布等待放行", "2,087", "391", "−81 %", "放行发布"):
            assert words in page
        assert "放行发布" not in await (await ready.enter("wu-contact")).read(path)
        done = await steward.send(f"{path}/release", hidden(page, f"{path}/release"))
        assert done.headers["location"] == f"{path}?done=release-batch"
        shown = {"governed_version": 2, "row_count": 391}
        assert gateway.sent == [(f"{PUBLICATIONS}/school_base/release", shown)]


class TestVersions:
    """A fall is marked, its batch is linked, and there is a way back."""

    async def after_a_fall(self, world: World, current: int | None = None) -> Any:
        await world.fill()
        return stand_in(
            world,
            "gateway",
            {
                ("GET", PUBLICATIONS): (200, [published(2000, 2087, 391, current=current)]),
                ("POST", f"{PUBLICATIONS}/school_base/rollback"): (200, {}),
            },
        )

    async def test_mark_what_fell_and_link_where_it_comes_from(self, whole: World) -> None:
        await self.after_a_fall(whole)
        text = await (await whole.enter("li-steward")).read("/resources/dataset:school_base/versions")
        assert '<span class="loss">−81 %</span>' in text
        assert "+4 %" in text
        assert '<a href="/batches/01a231c0-0000-7000-8000-000000000003">批次 00000003</a>' in text
        assert "回退到此版本" in text

    async def test_are_gone_back_to_on_a_page_that_says_what_happens(self, whole: World) -> None:
        gateway = await self.after_a_fall(whole)
        steward = await whole.enter("li-steward")
        text = await steward.read("/resources/dataset:school_base/versions/2")
        for words in ("回退到第 2 版", "391", "2,087", "+434 %", "重新打开", "一并恢复"):
            assert words in text
        answer = await steward.send("/resources/dataset:school_base/versions/2", {"current": "3"})
        assert answer.headers["location"].endswith("/versions?done=rolled-back")
        assert gateway.sent == [(f"{PUBLICATIONS}/school_base/rollback", {"version": 2})]

    async def test_are_not_gone_back_from_one_that_is_served_no_more(self, whole: World) -> None:
        gateway = await self.after_a_fall(whole, current=1)
        answer = await (await whole.enter("li-steward")).send(
            "/resources/dataset:school_base/versions/2", {"current": "3"}
        )
        assert (answer.status_code, gateway.sent) == (409, [])
        assert "正在使用的版本已有变化" in answer.text

    async def test_say_so_when_going_back_is_itself_a_loss(self, whole: World) -> None:
        gateway = await self.after_a_fall(whole, current=2)
        path = "/resources/dataset:school_base/versions/3"
        steward = await whole.enter("li-steward")
        text = await steward.read(path)
        assert "回退后的行数比现在少 81.26%" in text
        form = hidden(text, path.replace(":", "%3A"))
        assert form["agreed"] == "391"
        assert (await steward.send(path, form)).status_code == 303
        assert gateway.sent == [(f"{PUBLICATIONS}/school_base/rollback", {"version": 3, "agreed_rows": 391})]

    async def test_that_lose_what_only_the_gateway_sees_are_asked_about_once_more(self, whole: World) -> None:
        gateway = await self.after_a_fall(whole)
        route = ("POST", f"{PUBLICATIONS}/school_base/rollback")
        taken = gateway.answers[route]
        told = {"title": "该版本的数据少得多 / x", "status": 409, "detail": "310115 少 40 行 / x"}
        gateway.answers[route] = (409, told)
        path, steward = "/resources/dataset:school_base/versions/2", await whole.enter("li-steward")
        answer = await steward.send(path, {"current": "3"})
        assert answer.status_code == 409
        assert "310115 少 40 行" in answer.text
        gateway.answers[route] = taken
        assert (await steward.send(path, hidden(answer.text, path.replace(":", "%3A")))).status_code == 303
        assert gateway.sent[-1][1] == {"version": 2, "agreed_rows": 2087}

    async def test_are_not_offered_to_others(self, whole: World) -> None:
        await self.after_a_fall(whole)
        applicant = await whole.enter("zheng-applicant")
        text = await applicant.read("/resources/dataset:school_base/versions")
        assert "回退到此版本" not in text
        assert "/batches/" not in text
        asked = await applicant.read("/resources/dataset:school_base/versions/2")
        assert "只有该数据集的数据责任人和数据治理工程师可以回退" in asked

    async def test_that_are_not_kept_are_told(self, whole: World) -> None:
        await self.after_a_fall(whole)
        steward = await whole.enter("li-steward")
        assert (await steward.get("/resources/dataset:school_base/versions/9")).status_code == 404


class TestQuality:
    """A score that rose because rows are gone is no rise."""

    @pytest.fixture
    async def risen(self, whole: World) -> World:
        await assessed(whole, "b1", 2, 99.4)
        await assessed(whole, "b2", 0, 100.0, rows=19)
        return whole

    async def test_is_never_green_when_rows_fell(self, risen: World) -> None:
        steward = await risen.enter("li-steward")
        for path in ("/quality", "/quality/school_base"):
            text = await steward.read(path)
            assert "行数减少 81%，得分不可比" in text
            assert 'class="gain"' not in text
        assert '<span class="loss">−81 %</span>' in text

    async def test_is_told_on_the_stewards_first_screen(self, risen: World) -> None:
        text = await (await risen.enter("li-steward")).read("/")
        assert '<span class="loss">行数减少 81%</span>' in text
        assert "没有变差的规则" not in text

    async def test_with_a_few_rows_less_is_neutral(self, whole: World) -> None:
        await assessed(whole, "b1", 2, 98.0)
        await assessed(whole, "b2", 0, 100.0, rows=95)
        text = await (await whole.enter("li-steward")).read("/quality")
        assert '<span class="odd">↑ 2.0</span><small>行数减少 5%</small>' in text
        assert 'class="gain"' not in text

    async def test_with_more_rows_is_a_rise(self, whole: World) -> None:
        await assessed(whole, "b1", 2, 98.0)
        await assessed(whole, "b2", 0, 100.0, rows=105)
        assert '<span class="gain">↑ 2.0</span>' in await (await whole.enter("li-steward")).read("/quality")

    async def test_shows_the_figures_of_what_is_lacking(self, whole: World) -> None:
        lacking = {**a_rule(2529, 2728, "batch.completeness"), "title": "报送完整", "field": "_row"}
        report = {
            "batch_id": "b2",
            "revision": 1,
            "dataset": "school_base",
            "source_id": "roster-b",
            "period": "2026",
            "outcome": "held",
            "score": 71.0,
            "scores": {"完整性": 7.3},
            "rules": [lacking],
            "rows_in": 199,
            "rows_governed": 199,
            "rows_quarantined": 0,
            "completeness": LACKING,
            "agreed_by": None,
            "created_at": "2026-12-01T08:00:00+00:00",
        }
        stand_in(
            whole,
            "governance",
            {("GET", "/api/governance/quality"): (200, [{"report": report, "before": None}])},
        )
        text = await (await whole.enter("li-steward")).read("/quality/school_base")
        for words in ("得分不可与上一批相比", "2,728", "2,529 个", "等待同意</span>"):
            assert words in text


class TestEveryPage:
    async def test_has_labels_for_what_is_typed(self, ready: World) -> None:
        path, _ = await hold(ready)
        page = Page(await (await ready.enter("li-steward")).read(path))
        labels = {one["for"] for one in page.all("label")}
        assert {one["id"] for one in page.all("textarea")} <= labels
