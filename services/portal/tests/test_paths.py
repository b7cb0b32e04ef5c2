"""The ways people go: find, apply, decide, mend — each with its refusals."""

import re

from .conftest import Page, Person, World


async def first_application(person: Person, path: str) -> str:
    found = re.search(r'id="a-([0-9a-f-]{36})"', await person.read(path))
    assert found
    return found[1]


class TestFinding:
    async def test_a_search_narrows_and_keeps_its_state_in_the_address(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        text = await person.read("/resources?q=学校&kind=api")
        assert "学校查询" in text
        assert 'value="学校"' in text
        assert "q=%E5%AD%A6%E6%A0%A1" in text  # the facets' links keep the words

    async def test_nothing_found_says_what_to_do(self, full: World) -> None:
        text = await (await full.enter("zheng-applicant")).read("/resources?q=没有这个词")
        assert "没有找到资源" in text
        assert "清除全部条件" in text

    async def test_what_was_typed_is_shown_and_never_run(self, full: World) -> None:
        text = await (await full.enter("zheng-applicant")).read('/resources?q="><script>alert(1)</script>')
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text

    async def test_pages_follow_each_other(self, full: World) -> None:
        object.__setattr__(full.portal.state.resources.settings, "page_rows", 2)
        person = await full.enter("zheng-applicant")
        seen: list[str] = []
        path = "/resources"
        while path:
            page = Page(await person.read(path))
            links = page.all("a")
            seen += [
                one["href"] for one in links if re.fullmatch(r"/resources/[a-z]+%3A[a-z_-]+", one["href"])
            ]
            path = next((one["href"] for one in links if one.get("rel") == "next"), "")
        assert len(seen) == len(set(seen)) == 6

    async def test_a_wrong_facet_is_told_in_the_services_words(self, full: World) -> None:
        assert "query.level" in await (await full.enter("zheng-applicant")).read("/resources?level=9")

    async def test_nothing_found_among_the_followed_says_how_to_follow(self, full: World) -> None:
        text = await (await full.enter("zheng-applicant")).read("/resources?favourite=true")
        assert "您还没有关注" in text

    async def test_an_unknown_resource_is_told_in_the_services_words(self, full: World) -> None:
        answer = await (await full.enter("zheng-applicant")).get("/resources/api:nothing")
        assert answer.status_code == 404
        assert "目录中没有资源 api:nothing" in answer.text


class TestApplying:
    async def test_the_whole_way_to_an_approval(self, full: World) -> None:
        applicant, owner = await full.enter("zheng-applicant"), await full.enter("zhou-owner")
        answer = await full.apply(applicant)
        assert answer.headers["location"] == "/applications?done=applied"
        text = await applicant.read("/applications?done=applied")
        assert "申请已提交" in text
        assert "等待审批" in text
        todo = await owner.read("/applications/todo")
        assert "学区地图展示学校位置" in todo
        assert "郑申请" in todo
        one = await first_application(owner, "/applications/todo")
        done = await owner.send(f"/applications/{one}/decision", {"decision": "approve", "reason": ""})
        assert done.headers["location"] == "/applications/todo?done=approve"
        assert "没有等待您审批的申请" in await owner.read("/applications/todo")
        assert "已批准" in await applicant.read("/applications")

    async def test_a_refusal_needs_a_reason_and_the_applicant_reads_it(self, full: World) -> None:
        applicant, owner = await full.enter("zheng-applicant"), await full.enter("zhou-owner")
        await full.apply(applicant)
        path = f"/applications/{await first_application(owner, '/applications/todo')}/decision"
        bare = await owner.send(path, {"decision": "refuse", "reason": "不"})
        assert bare.status_code == 422
        assert "拒绝须说明理由" in bare.text
        assert ">不</textarea>" in bare.text  # what was typed stays
        await owner.send(path, {"decision": "refuse", "reason": "目的不够具体，请补充"})
        text = await applicant.read("/applications")
        assert "已拒绝" in text
        assert "目的不够具体，请补充" in text

    async def test_personal_data_waits_for_two_people(self, full: World) -> None:
        applicant, owner = await full.enter("zheng-applicant"), await full.enter("zhou-owner")
        security = await full.enter("qian-security")
        await full.apply(applicant, "api:student")
        assert "没有等待您审批的申请" in await security.read("/applications/todo")
        one = await first_application(owner, "/applications/todo")
        await owner.send(f"/applications/{one}/decision", {"decision": "approve"})
        assert await first_application(security, "/applications/todo") == one

    async def test_a_wrong_form_comes_back_as_typed_with_the_remark_beside(self, full: World) -> None:
        applicant = await full.enter("zheng-applicant")
        answer = await full.apply(applicant, purpose="短", days="9999")
        assert answer.status_code == 422
        page = Page(answer.text)
        purpose = next(one for one in page.all("textarea") if one["name"] == "purpose")
        assert purpose["aria-invalid"] == "true"
        assert "purpose-remark" in purpose["aria-describedby"]
        assert "至少填写 4 个字" in answer.text
        assert "市民查询附近学校" in answer.text
        boxes = {one["value"]: "checked" in one for one in page.all("input") if one.get("type") == "checkbox"}
        assert (boxes["school_name"], boxes["310115"], boxes["310101"]) == (True, True, False)

    async def test_too_long_a_time_is_remarked_by_the_catalogue(self, full: World) -> None:
        answer = await full.apply(await full.enter("zheng-applicant"), days="9999")
        assert answer.status_code == 422
        assert "有效期最长 366 天" in answer.text
        assert 'id="days-remark"' in answer.text

    async def test_a_second_application_for_the_same_is_refused_in_words(self, full: World) -> None:
        applicant = await full.enter("zheng-applicant")
        await full.apply(applicant)
        answer = await full.apply(applicant)
        assert answer.status_code == 409
        assert "已有一份申请在审批中" in answer.text

    async def test_withdrawing_ends_it_and_twice_is_told(self, full: World) -> None:
        applicant = await full.enter("zheng-applicant")
        await full.apply(applicant)
        one = await first_application(applicant, "/applications")
        assert (await applicant.send(f"/applications/{one}/withdraw")).status_code == 303
        assert "已撤回" in await applicant.read("/applications")
        assert (await applicant.send(f"/applications/{one}/withdraw")).status_code == 409

    async def test_without_an_app_the_page_leads_to_registering_one(self, full: World) -> None:
        text = await (await full.enter("zheng-applicant")).read("/resources/api:schools/apply")
        assert "登记一个应用" in text

    async def test_who_may_not_apply_is_not_shown_the_form(self, full: World) -> None:
        owner = await full.enter("zhou-owner")
        assert "提交申请" not in await owner.read("/resources/api:schools/apply")
        assert "/resources/api%3Aschools/apply" not in await owner.read("/resources/api:schools")


class TestApps:
    async def test_the_secret_is_shown_once(self, world: World) -> None:
        person = await world.enter("zheng-applicant")
        made = await person.send("/apps", {"name": "学区地图"})
        secret = secret_of(made.text)
        assert made.headers["cache-control"] == "no-store"
        text = await person.read("/apps")
        assert "学区地图" in text
        assert secret not in text

    async def test_a_new_secret_is_shown_once_and_the_old_one_is_ended(self, world: World) -> None:
        person = await world.enter("zheng-applicant")
        made = await person.send("/apps", {"name": "学区地图"})
        first, client = secret_of(made.text), re.search(r"<code[^>]*>(app-[^<]+)</code>", made.text)
        assert client
        rotated = await person.send(f"/apps/{client[1]}/secrets")
        second = secret_of(rotated.text)
        assert second != first
        assert "旧密钥到" in rotated.text
        assert [await world.token(client[1], secret) for secret in (first, second)] == [200, 200]
        text = await person.read("/apps")
        assert second not in text
        old = re.findall(r'action="(/apps/[^"]+/retire)"', text)
        assert len(old) == 2
        done = await person.send(old[0])
        assert done.headers["location"] == "/apps?done=retire-secret"
        assert [await world.token(client[1], secret) for secret in (first, second)] == [401, 200]
        again = await person.send(old[0])
        assert (again.status_code, "密钥不存在" in again.text) == (404, True)

    async def test_nobody_changes_the_secrets_of_anothers_app(self, world: World) -> None:
        person, other = await world.enter("zheng-applicant"), await world.enter("li-steward")
        made = await person.send("/apps", {"name": "学区地图"})
        client = re.search(r"<code[^>]*>(app-[^<]+)</code>", made.text)
        assert client
        answer = await other.send(f"/apps/{client[1]}/secrets")
        assert answer.status_code == 404
        assert "没有这个应用" in answer.text
        assert 'class="secret"' not in answer.text

    async def test_a_wrong_name_stays_in_the_field(self, world: World) -> None:
        answer = await (await world.enter("zheng-applicant")).send("/apps", {"name": "学"})
        assert answer.status_code == 422
        assert "至少填写 2 个字" in answer.text
        assert 'value="学"' in answer.text


def secret_of(text: str) -> str:
    found = re.search(r'class="secret">([^<]+)<', text)
    assert found
    return found[1]
