"""What goes wrong is a page in words that says what to do, for an expired session the way back in."""

import re
from typing import Any

import pytest
from edulake.portal.desk import Desk

from .conftest import Page, Person, World


async def led_back(person: Person, sub: str, login: str) -> str:
    """Where one stands after logging in as the portal asked."""
    redirect = await person._send(person.auth, "GET", login)
    chooser = await person._send(person.auth, "GET", redirect.headers["location"])
    form = {**Page(chooser.text).hidden, "sub": sub}
    back = await person._send(person.auth, "POST", "/dev-issuer/authorize", data=form)
    done = await person._send(person.auth, "GET", back.headers["location"])
    return str(done.headers["location"])


class TestDefect:
    @pytest.fixture
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The help page has a defect."""

        def fail(_desk: Desk, *_: Any, **__: Any) -> None:
            raise RuntimeError("学生张三 is in this message and must not be shown")

        monkeypatch.setattr(Desk, "page", fail)

    async def test_is_a_page_with_the_trace_and_what_to_do(self, world: World, broken: None) -> None:
        answer = await (await world.enter("li-steward")).get("/help")
        assert answer.status_code == 500
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert f"<code>{answer.headers['x-trace-id']}</code>" in answer.text
        assert "把下面的编号告诉运维" in answer.text
        assert "张三" not in answer.text

    async def test_of_a_live_fragment_says_so_too(self, world: World, broken: None) -> None:
        answer = await (await world.enter("li-steward")).get("/overview/figures", **{"hx-request": "true"})
        assert answer.status_code == 500


class TestUnknownPage:
    async def test_leads_back_to_what_there_is(self, world: World) -> None:
        answer = await (await world.enter("li-steward")).get("/no/such/page")
        assert answer.status_code == 404
        assert {"/", "/resources", "/help"} <= {link["href"] for link in Page(answer.text).all("a")}

    async def test_a_method_nobody_offers_is_a_page(self, world: World) -> None:
        answer = await world.stranger().send_bare("/help", {})
        assert answer.status_code == 405
        assert "该操作不被支持" in answer.text


class TestExpiredSession:
    async def test_leads_to_login_and_back_to_the_page(self, full: World) -> None:
        person = await full.enter("li-steward")
        await person.read("/orders?status=open")
        person.cookies["__Host-edulake"] = "ended-meanwhile"
        sent = await person.get("/orders?status=open")
        assert sent.status_code == 303
        back = await led_back(person, "li-steward", sent.headers["location"])
        assert back == "/orders?status=open"
        assert "所属区不在代码表中" in await person.read(back)

    async def test_a_form_comes_back_to_the_page_that_held_it(self, full: World) -> None:
        person = await full.enter("li-steward")
        path = re.search(r'href="(/orders/[0-9a-f-]{36})"', await person.read("/orders"))
        assert path
        person.cookies["__Host-edulake"] = "ended-meanwhile"
        headers = {"referer": f"{full.settings.issuer}{path[1]}"}
        sent = await person._send(
            person.http, "POST", f"{path[1]}/comment", data={"text": "已通知"}, headers=headers
        )
        assert sent.status_code == 303
        assert await led_back(person, "li-steward", sent.headers["location"]) == path[1]
