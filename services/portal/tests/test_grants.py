"""Grants as people see them: what they may call, how much was used, ending one; and the decision pack."""

import re
from dataclasses import replace

import pytest
from edulake.catalog.standing import follow

from .world import Page, Person, World


async def grant_of(person: Person) -> str:
    found = re.search(r'href="(/grants/[0-9a-f-]{36})"', await person.read("/grants"))
    assert found
    return found[1]


class TestSeeing:
    async def test_the_person_sees_title_window_and_quota(self, full: World) -> None:
        applicant = await full.grant_schools()
        text = await applicant.read("/grants")
        for words in ("学校查询", "有效", "2,000", "郑申请", "网关没有应答"):
            assert words in text
        shown = await applicant.read(await grant_of(applicant))
        for words in ("学校名称", "浦东新区", "学区地图展示学校位置", "确认结束授权"):
            assert words in shown
        assert "学校查询" in await applicant.read("/apps")

    async def test_the_use_of_today_comes_from_the_gateway(self, whole: World) -> None:
        await whole.fill()
        applicant = await whole.grant_schools()
        assert "0 / 50,000,000" in await applicant.read("/grants")

    async def test_others_are_not_shown_it(self, full: World) -> None:
        path = await grant_of(await full.grant_schools())
        steward = await full.enter("li-steward")
        assert "没有授权" in await steward.read("/grants")
        answer = await steward.get(path)
        assert answer.status_code == 404
        assert "无权查看" in answer.text

    @pytest.mark.parametrize("sub", ["zhou-owner", "qian-security", "sun-audit"])
    async def test_who_answers_for_it_sees_it(self, full: World, sub: str) -> None:
        await full.grant_schools()
        assert "学校查询" in await (await full.enter(sub)).read("/grants")

    async def test_the_list_is_a_file_too(self, full: World) -> None:
        applicant = await full.grant_schools()
        text = (await applicant.get("/grants.csv?status=active")).content.decode("utf-8-sig")
        assert "学校查询" in text
        assert "50000000" in text


class TestEnding:
    async def test_says_what_will_happen_and_ends_it(self, full: World) -> None:
        applicant = await full.grant_schools()
        owner = await full.enter("zhou-owner")
        path = await grant_of(owner)
        shown = await owner.read(path)
        for words in ("5 秒内不能再调用", "不能恢复"):
            assert words in shown
        done = await owner.send(f"{path}/end", {"reason": "用途已经结束"})
        assert done.headers["location"] == f"{path}?done=ended"
        told = await applicant.read(path)
        for words in ("已结束", "用途已经结束"):
            assert words in told
        assert "确认结束授权" not in told

    async def test_needs_a_reason_and_keeps_what_was_typed(self, full: World) -> None:
        applicant = await full.grant_schools()
        path = await grant_of(applicant)
        answer = await applicant.send(f"{path}/end", {"reason": "短"})
        assert answer.status_code == 422
        assert "至少填写 2 个字" in answer.text
        assert ">短</textarea>" in answer.text

    async def test_is_not_offered_to_who_only_looks(self, full: World) -> None:
        path = await grant_of(await full.grant_schools())
        auditor = await full.enter("sun-audit")
        assert "确认结束授权" not in await auditor.read(path)
        answer = await auditor.send(f"{path}/end", {"reason": "不该成功"})
        assert answer.status_code == 403


class TestQuota:
    """Stated with the last approval, within the ceiling of the level."""

    async def decide(self, world: World, sub: str, **form: str) -> str:
        """The answer's page or, when it was taken, where it leads."""
        person = await world.enter(sub)
        page = Page(await person.read("/applications/todo"))
        path = next(one["action"] for one in page.all("form") if one["action"].endswith("/decision"))
        answer = await person.send(path, {"decision": "approve", **form})
        return answer.headers.get("location") or answer.text

    async def test_the_last_approval_states_it(self, full: World) -> None:
        applicant = await full.enter("zheng-applicant")
        await full.apply(applicant)
        await self.decide(full, "zhou-owner", rate_per_s="7", day_quota="")
        text = await applicant.read(await grant_of(applicant))
        assert "每秒 7 次，每日 50,000,000 次" in text

    async def test_what_is_too_much_is_remarked_and_kept(self, full: World) -> None:
        await full.apply(await full.enter("zheng-applicant"), "api:student")
        await self.decide(full, "zhou-owner")
        text = await self.decide(full, "qian-security", rate_per_s="21", day_quota="100")
        assert 'id="rate_per_s-remark">最多 20' in text
        values = {one["name"]: one["value"] for one in Page(text).all("input") if one.get("type") == "number"}
        assert values == {"rate_per_s": "21", "day_quota": "100"}

    async def test_an_earlier_step_is_not_asked_for_it(self, full: World) -> None:
        await full.apply(await full.enter("zheng-applicant"), "api:student")
        assert 'name="day_quota"' not in await (await full.enter("zhou-owner")).read("/applications/todo")

    async def test_a_refusal_states_none(self, full: World) -> None:
        await full.apply(await full.enter("zheng-applicant"))
        form = {
            "decision": "refuse",
            "reason": "目的不够具体，请补充",
            "rate_per_s": "7",
            "mask_level": "strict",
        }
        assert await self.decide(full, "zhou-owner", **form) == "/applications/todo?done=refuse"

    async def test_masks_and_networks_are_asked_for_chosen_and_shown(self, full: World) -> None:
        applicant = await full.enter("zheng-applicant")
        await full.apply(applicant, ip_ranges="203.0.113.7\n2001:db8::/32")
        todo = await (await full.enter("zhou-owner")).read("/applications/todo")
        assert "203.0.113.7/32\n2001:db8::/32</textarea>" in todo
        await self.decide(full, "zhou-owner", mask_level="strict", ip_allow="203.0.113.0/24")
        text = await applicant.read(await grant_of(applicant))
        assert "<dt>脱敏程度</dt><dd>从严" in text
        assert "<dt>调用来源</dt><dd>203.0.113.0/24</dd>" in text

    async def test_an_emptied_list_of_networks_means_any(self, full: World) -> None:
        applicant = await full.enter("zheng-applicant")
        await full.apply(applicant, ip_ranges="203.0.113.7")
        await self.decide(full, "zhou-owner", mask_level="standard", ip_allow="")
        assert "<dt>调用来源</dt><dd>不限</dd>" in await applicant.read(await grant_of(applicant))

    async def test_what_is_no_network_is_remarked_at_its_field_and_kept(self, full: World) -> None:
        applicant = await full.enter("zheng-applicant")
        asked = (await full.apply(applicant, ip_ranges="办公室")).text
        assert 'id="ip_ranges-remark">办公室 不是 IP 地址或网段' in asked
        await full.apply(applicant)
        text = await self.decide(full, "zhou-owner", mask_level="strict", ip_allow="203.0.113.5/24")
        assert 'id="ip_allow-remark">203.0.113.5/24 不是 IP 地址或网段' in text
        assert "203.0.113.5/24</textarea>" in text
        assert 'value="strict" checked' in text


class TestWithdrawn:
    async def test_page_application_and_grant_say_so(
        self, full: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Catalogue and portal were started with standards that no longer have the API."""
        applicant = await full.grant_schools()
        await full.apply(applicant)
        resources = full.resources_of("catalog")
        whole = resources.standards
        without = replace(whole, apis={n: a for n, a in whole.apis.items() if n != "schools"})
        monkeypatch.setattr(full.resources_of("portal"), "standards", without)
        async with resources.database.transaction() as session:
            await follow(session, without)
        page = await applicant.read("/resources/api:schools")
        assert "从共享目录撤下" in page
        assert "申请使用</a>" not in page
        assert "不再接受申请" in await applicant.read("/resources/api:schools/apply")
        assert "api:schools" not in await applicant.read("/resources")
        mine = await applicant.read("/applications")
        assert "接口“学校查询”已从共享目录撤下" in mine
        assert "已终止" in mine
        assert ">学校查询</a>" in mine
        held = await applicant.read(await grant_of(applicant))
        assert "接口“学校查询”已从共享目录撤下" in held


class TestPack:
    async def test_one_screen_holds_all_that_a_decision_needs(self, full: World) -> None:
        await full.grant_schools()
        await full.apply(await full.enter("zheng-applicant"), "api:student")
        owner = await full.enter("zhou-owner")
        text = await owner.read("/applications/todo")
        for words in (
            "涉及未成年人",
            "只见姓氏",
            "张*",
            "还没有人获得",
            "申请人是 郑申请，审批人是您（周数源）",
        ):
            assert words in text
        page = Page(text)
        assert [one["value"] for one in page.all("button") if one.get("name") == "decision"] == [
            "approve",
            "refuse",
        ]

    async def test_shows_who_else_has_it(self, full: World) -> None:
        applicant = await full.grant_schools()
        await applicant.send("/apps", {"name": "第二个应用"})
        page = Page(await applicant.read("/resources/api:schools/apply"))
        clients = [one["value"] for one in page.all("option")]
        granted = re.search(r"<code>(app-[^<]+)</code>", await applicant.read("/grants"))
        assert granted
        other = next(one for one in clients if one != granted[1])
        await full.apply(applicant, client_id=other)
        text = await (await full.enter("zhou-owner")).read("/applications/todo")
        assert granted[1] in text
        assert "还没有人获得" not in text

    async def test_another_one_is_chosen_by_its_address(self, full: World) -> None:
        applicant, owner = await full.enter("zheng-applicant"), await full.enter("zhou-owner")
        await full.apply(applicant)
        await full.apply(applicant, "api:senior-quota")
        first = await owner.read("/applications/todo")
        links = [one["href"] for one in Page(first).all("a") if "?one=" in one["href"]]
        assert len(links) == 2
        second = await owner.read(links[1])
        assert 'id="a-' + links[1].partition("=")[2] + '"' in second
        assert (await owner.get("/applications/todo?one=x")).status_code == 422

    async def test_a_step_of_others_says_so_instead_of_buttons(self, full: World) -> None:
        applicant, security = await full.enter("zheng-applicant"), await full.enter("qian-security")
        await full.apply(applicant, "api:student")
        owner = await full.enter("zhou-owner")
        one = re.search(r'id="a-([0-9a-f-]{36})"', await owner.read("/applications/todo"))
        assert one
        text = await security.read(f"/applications/todo?one={one[1]}")
        assert "当前环节由数据责任人或审批人审批" in text
        assert 'value="approve"' not in text
