"""People: admitted and shut out by one administrator, given roles by another; each sees his own part."""

import re
from urllib.parse import quote

import pytest

from .conftest import Page, Person, World


def page_of(person_id: str) -> str:
    return f"/people/{quote(person_id, safe='')}"


class TestList:
    async def test_who_waits_is_found_and_shown(self, world: World) -> None:
        known = await world.note_person()
        system = await world.enter("zhao-system")
        text = await system.read("/people?status=pending")
        for words in ("孙新人", "待准入", known):
            assert words in text
        assert "李治理" not in text
        assert f'href="{page_of(known)}"' in text

    async def test_nobody_waits_says_when_somebody_will(self, world: World) -> None:
        text = await (await world.enter("zhao-system")).read("/people?status=pending")
        assert "没有等待准入的人员" in text
        assert "第一次经统一身份登录后" in text

    async def test_is_searched_by_name(self, world: World) -> None:
        text = await (await world.enter("qian-security")).read("/people?name=治理")
        assert "李治理" in text
        assert "周数源" not in text
        assert 'value="治理"' in text

    @pytest.mark.parametrize("sub", ["qian-security", "sun-audit"])
    async def test_shows_roles_to_who_answers_for_them(self, world: World, sub: str) -> None:
        assert "数据治理工程师" in await (await world.enter(sub)).read("/people")

    async def test_shows_no_roles_to_the_system_administrator(self, world: World) -> None:
        assert "数据治理工程师" not in await (await world.enter("zhao-system")).read("/people")

    async def test_is_for_administrators(self, world: World) -> None:
        steward = await world.enter("li-steward")
        assert "需要角色" in await steward.read("/people")
        assert 'href="/people"' not in await steward.read("/resources")


class TestAdmitting:
    async def test_lets_somebody_in_where_he_works(self, world: World) -> None:
        known = await world.note_person()
        system = await world.enter("zhao-system")
        form = {"organisation": "示范区教育局", "district": "310115"}
        done = await system.send(f"{page_of(known)}/admit", form)
        assert done.headers["location"] == f"{page_of(known)}?done=admit-person"
        text = await system.read(done.headers["location"])
        for words in ("已准入", "示范区教育局", "浦东新区", "可以登录"):
            assert words in text

    async def test_a_wrong_place_is_remarked_and_kept(self, world: World) -> None:
        known = await world.note_person()
        answer = await (await world.enter("zhao-system")).send(
            f"{page_of(known)}/admit", {"organisation": "局" * 101}
        )
        assert answer.status_code == 422
        assert 'id="organisation-remark"' in answer.text
        assert "局" * 101 in answer.text

    async def test_is_not_offered_to_the_security_administrator(self, world: World) -> None:
        known = await world.note_person()
        security = await world.enter("qian-security")
        assert "/admit" not in await security.read(page_of(known))
        assert (await security.send(f"{page_of(known)}/admit", {"organisation": "局"})).status_code == 403


class TestDisabling:
    @pytest.mark.parametrize("sub", ["zhao-system", "qian-security"])
    async def test_says_what_will_happen_and_shuts_out(self, world: World, sub: str) -> None:
        known = await world.note_person()
        person = await world.enter(sub)
        assert "立即退出全部会话" in await person.read(page_of(known))
        done = await person.send(f"{page_of(known)}/disable")
        text = await person.read(done.headers["location"])
        assert "person-disabled" in text
        assert "确认停用" not in text

    async def test_nobody_is_offered_to_shut_out_himself(self, world: World) -> None:
        system = await world.enter("zhao-system")
        text = await system.read(page_of("person:zhao-system"))
        assert "不能启用或停用自己" in text
        assert "确认停用" not in text
        answer = await system.send(f"{page_of('person:zhao-system')}/disable")
        assert answer.status_code == 403
        assert "不能启用或停用自己" in answer.text

    async def test_the_auditor_only_looks(self, world: World) -> None:
        text = await (await world.enter("sun-audit")).read(page_of("person:li-steward"))
        assert "数据治理工程师" in text
        assert not [one for one in Page(text).all("form") if one["action"].startswith("/people")]


class TestRoles:
    async def give(self, person: Person, known: str, **form: object) -> str:
        answer = await person.send(f"{page_of(known)}/roles", {"reason": "岗位调整", **form})
        return answer.headers.get("location") or answer.text

    async def test_are_given_and_taken_and_every_change_is_told(self, world: World) -> None:
        known = await world.note_person()
        security = await world.enter("qian-security")
        await self.give(security, known, duties=["steward", "applicant"], administrator="")
        assert await self.give(security, known, duties=["applicant"], administrator="audit_admin") == (
            f"{page_of(known)}?done=roles-person"
        )
        text = await security.read(page_of(known))
        assert "<dd>申请人、审计管理员</dd>" in text
        for words in ("授予数据治理工程师", "收回数据治理工程师", "授予审计管理员", "岗位调整"):
            assert words in text
        ticked = [one["value"] for one in Page(text).all("input") if "checked" in one]
        assert ticked == ["applicant", "audit_admin"]

    async def test_the_three_administrators_exclude_each_other(self, world: World) -> None:
        known = await world.note_person()
        security = await world.enter("qian-security")
        assert "一人只能担任其一" in await security.read(page_of(known))
        text = await self.give(security, known, administrator=["system_admin", "audit_admin"])
        assert 'id="roles-remark">系统管理员、安全管理员、审计管理员只能担任其一' in text
        assert "<dd>无</dd>" in await security.read(page_of(known))

    async def test_nobody_is_offered_his_own(self, world: World) -> None:
        security = await world.enter("qian-security")
        text = await security.read(page_of("person:qian-security"))
        assert "请由另一位安全管理员办理" in text
        assert "保存角色" not in text
        answer = await self.give(security, "person:qian-security", administrator="audit_admin")
        assert "不能更改自己的角色" in answer

    async def test_are_not_the_system_administrators_business(self, world: World) -> None:
        known = await world.note_person()
        system = await world.enter("zhao-system")
        text = await system.read(page_of(known))
        for words in ("保存角色", "角色变更"):
            assert words not in text
        assert "需要角色" in await self.give(system, known, duties=["steward"])


class TestApps:
    """The applications of a person, disabled by two administrators and enabled by one."""

    async def app_of(self, world: World) -> tuple[str, str]:
        """The applicant's page, and the path of what is done to his app."""
        made = await (await world.enter("zheng-applicant")).send("/apps", {"name": "学区地图"})
        found = re.search(r"app-[0-9a-f]{10}", made.text)
        assert found
        page = page_of("person:zheng-applicant")
        return page, f"{page}/apps/{found[0]}"

    async def test_are_disabled_and_enabled_again(self, world: World) -> None:
        page, app = await self.app_of(world)
        security, system = await world.enter("qian-security"), await world.enter("zhao-system")
        done = await security.send(f"{app}/disable")
        assert done.headers["location"] == f"{page}?done=disable-app"
        text = await security.read(page)
        assert "client-disabled" in text
        assert "重新启用" not in text
        assert "重新启用" in await system.read(page)
        await system.send(f"{app}/enable")
        assert "client-active" in await system.read(page)

    async def test_what_one_may_not_do_is_told(self, world: World) -> None:
        _, app = await self.app_of(world)
        security, auditor = await world.enter("qian-security"), await world.enter("sun-audit")
        for person, act in ((security, "enable"), (auditor, "disable")):
            answer = await person.send(f"{app}/{act}")
            assert answer.status_code == 403
            assert "需要角色" in answer.text
        assert (await security.send(f"{app}/delete")).status_code == 422

    async def test_of_who_has_none_says_so(self, world: World) -> None:
        known = await world.note_person()
        assert "没有登记应用" in await (await world.enter("sun-audit")).read(page_of(known))


class TestAddresses:
    @pytest.mark.parametrize("path", ["/people/person:nobody", "/people/..%2Fclients", "/people/x"])
    async def test_of_nobody_is_a_page(self, world: World, path: str) -> None:
        answer = await (await world.enter("zhao-system")).get(path)
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"].startswith("text/html")

    async def test_without_auth_nothing_is_shown(self, world: World) -> None:
        system = await world.enter("zhao-system")
        world.stop("auth")
        assert (await system.get("/people")).status_code == 503
