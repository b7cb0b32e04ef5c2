"""Coming in, staying in, and forms that nobody else can send."""

import pytest

from .conftest import Page, World


class TestComingIn:
    async def test_a_stranger_is_sent_to_log_in_and_comes_back(self, world: World) -> None:
        answer = await world.stranger().get("/resources?q=%E5%AD%A6%E6%A0%A1")
        assert answer.status_code == 303
        assert (
            answer.headers["location"] == "/login?return_to=%2Fresources%3Fq%3D%25E5%25AD%25A6%25E6%25A0%25A1"
        )

    async def test_a_live_fragment_takes_the_whole_window_to_log_in(self, world: World) -> None:
        headers = {"hx-request": "true", "hx-current-url": "http://127.0.0.1:18600/?x=1"}
        answer = await world.stranger().get("/overview/figures", **headers)
        assert answer.headers["hx-redirect"] == "/login?return_to=%2F%3Fx%3D1"

    @pytest.mark.parametrize("cookie", ["forged", "x" * 5000, "%00"])
    async def test_a_forged_cookie_is_no_session(self, world: World, cookie: str) -> None:
        stranger = world.stranger()
        stranger.cookies["__Host-edulake"] = cookie
        assert (await stranger.get("/")).status_code == 303

    async def test_a_return_address_of_another_site_is_cut_to_its_path(self, world: World) -> None:
        headers = {"hx-request": "true", "hx-current-url": "https://evil.example//evil.example/x"}
        answer = await world.stranger().get("/overview/figures", **headers)
        assert answer.headers["hx-redirect"] == "/login?return_to=%2F"

    async def test_the_person_and_only_his_pages_stand_in_the_bar(self, world: World) -> None:
        text = await (await world.enter("zheng-applicant")).read("/")
        assert "郑申请" in text
        assert "我的应用" in text
        assert "待办审批" not in text

    async def test_after_logging_out_the_cookie_opens_nothing(self, world: World) -> None:
        person = await world.enter("li-steward", anew=True)
        token = Page(await person.read("/")).hidden["csrf"]
        left = await person._send(person.auth, "POST", "/logout", data={"csrf": token})
        assert left.status_code == 303
        assert (await person.get("/")).status_code == 303


class TestForms:
    FORMS = (
        "/apps",
        "/resources/api:schools/apply",
        "/applications/8d4e6a52-0000-4000-8000-000000000000/withdraw",
        "/applications/8d4e6a52-0000-4000-8000-000000000000/decision",
        "/orders/8d4e6a52-0000-4000-8000-000000000000/comment",
    )

    @pytest.mark.parametrize("path", FORMS)
    @pytest.mark.parametrize("token", ["", "guess"])
    async def test_are_refused_without_the_sessions_token(self, full: World, path: str, token: str) -> None:
        person = await full.enter("zheng-applicant")
        answer = await person.send_bare(path, {"csrf": token, "name": "攻击"})
        assert answer.status_code == 403
        assert "表单不是由本系统发出" in answer.text

    async def test_of_another_session_do_not_pass(self, world: World) -> None:
        one, other = [await world.enter("zheng-applicant", anew=True) for _ in range(2)]
        token = Page(await one.read("/")).hidden["csrf"]
        assert (await other.send_bare("/apps", {"csrf": token, "name": "学区地图"})).status_code == 403

    async def test_that_are_too_large_are_refused(self, world: World) -> None:
        person = await world.enter("zheng-applicant")
        assert (await person.send("/apps", {"name": "x" * 70_000})).status_code == 413

    async def test_with_too_many_fields_are_refused(self, world: World) -> None:
        person = await world.enter("zheng-applicant")
        assert (await person.send("/apps", {f"f{n}": "x" for n in range(400)})).status_code == 400
