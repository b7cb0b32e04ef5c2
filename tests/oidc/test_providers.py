"""Real identity providers before a whole suite, in a real browser: one contract, three ways to log in.

One suite serves all; auth is started again for each provider. `make test-oidc` fetches what is needed.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

if TYPE_CHECKING:
    from conftest import Suite

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 90_000
#: A key that was rotated is looked for at most once a minute.
ROTATION_LIMIT_S = 120
pytestmark = [
    pytest.mark.oidc,
    pytest.mark.timeout(420),
    pytest.mark.skipif(
        not os.environ.get("EDULAKE_OIDC_WITNESSES"), reason="`make test-oidc` fetches the providers"
    ),
]


@pytest.fixture(scope="session")
def witnesses() -> ModuleType:
    """`witnesses.py`, which is also a program."""
    spec = importlib.util.spec_from_file_location(
        "edulake_test_witnesses", Path(__file__).with_name("witnesses.py")
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def suite(open_suite: Callable[..., "Suite"]) -> "Suite":
    return open_suite()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A browser of its own for each test: nobody is logged in anywhere."""
    context = chromium.new_context(locale="zh-CN", viewport={"width": 1000, "height": 640})
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="class")
def witness(
    request: pytest.FixtureRequest,
    witnesses: ModuleType,
    suite: "Suite",
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """The provider a class is about, running, and auth told of it."""
    made = getattr(witnesses, request.cls.kind)(tmp_path_factory.mktemp("witness"), suite.state.public_url)
    made.start()
    try:
        made.prepare()
        restart_auth(suite, made)
        yield made
    finally:
        made.stop()


class Contract:
    """What stands whoever vouches for people. The tests build on each other: the last one ends the provider."""

    kind: ClassVar[str]

    def test_a_stranger_waits_until_somebody_admits_them(
        self, suite: "Suite", witness: Any, page: Page
    ) -> None:
        page.goto(f"{witness.ours}/help")
        assert witness.asks(page)
        witness.answer(page)
        expect(page.locator("h1")).to_have_text("尚未获准使用")
        self.keep(page, "not-admitted")
        admit(suite)
        self.log_in(witness, page, asked=False)

    def test_signing_out_ends_what_the_page_says(self, witness: Any, page: Page) -> None:
        self.log_in(witness, page)
        self.sign_out(witness, page)
        expect(page.locator("h1")).to_have_text("您已退出")
        self.keep(page, "signed-out")
        page.goto(f"{witness.ours}/help")
        if witness.signs_out:
            assert witness.asks(page), "the next person must prove who they are"
        else:
            page.goto(f"{witness.ours}/logout/done")
            expect(page.locator("main")).to_contain_text("登录可能仍然有效")

    def test_a_used_proof_is_a_400_and_the_next_login_works(self, witness: Any, page: Page) -> None:
        """A code or portal token that was honoured once, brought back in a new login of the same browser."""
        used: list[str] = []
        page.on(
            "request", lambda request: used.append(request.url) if "/login/callback" in request.url else None
        )
        self.log_in(witness, page)
        answer = self.come_back_with(page, used[-1])
        assert answer.status == 400
        expect(page.locator("h1")).to_have_text("登录凭证已失效")
        assert "access_token" not in page.url
        self.keep(page, "bad-code")
        with page.expect_navigation(wait_until="load"):
            page.click("a.button")
        if witness.asks(page):  # a provider may end the session of a code that comes twice (RFC 6749 §4.1.2)
            witness.answer(page)
        expect(page.locator("header.bar")).to_contain_text("退出")

    def test_our_secret_refused_is_a_502_that_blames_nobody_present(
        self, witnesses: ModuleType, witness: Any, page: Page
    ) -> None:
        witness.set_secret("another-secret-of-32-characters-")
        page.goto(f"{witness.ours}/help")
        with page.expect_response(lambda answer: is_end(answer.url)) as found:
            witness.answer(page)
        assert found.value.status in (502, 303)
        expect(page.locator("h1")).to_have_text("登录服务设置有误")
        self.keep(page, "misconfigured")
        witness.set_secret(witnesses.SECRET)

    def test_the_provider_ends_a_session_and_ours_is_gone(self, witness: Any, page: Page) -> None:
        if not witness.signs_out:
            pytest.xfail("一网通办 tells nobody when a session ends (ADR 0020)")
        self.log_in(witness, page)
        witness.end_sessions(page)
        page.goto(f"{witness.ours}/help")
        assert witness.asks(page)

    def test_a_rotated_key_is_found_without_a_restart(self, suite: "Suite", witness: Any, page: Page) -> None:
        if not witness.signs_out:
            pytest.xfail("一网通办 signs nothing (ADR 0020)")
        witness.rotate()

        def is_in() -> bool:
            page.goto(f"{witness.ours}/help")
            if witness.asks(page):
                witness.answer(page)
            page.wait_for_selector("h1, header.bar")
            return page.locator("header.bar").count() == 1

        suite.wait_for(is_in, "the new key to be believed", ROTATION_LIMIT_S)

    def test_a_provider_that_is_down_keeps_nobody_out_or_in(
        self, suite: "Suite", witness: Any, page: Page, chromium: Browser
    ) -> None:
        self.log_in(witness, page)
        restart_auth(suite, witness)  # what it has read of the provider is forgotten
        witness.stop()
        page.goto(f"{witness.ours}/help")
        expect(page.locator("header.bar")).to_contain_text("退出")
        self.sign_out(witness, page, confirm=False)
        expect(page.locator("main")).to_contain_text("登录可能仍然有效")
        self.keep(page, "signed-out-here-only")
        self.assert_down(witness, page)

    def assert_down(self, witness: Any, page: Page) -> None:
        answer = page.goto(f"{witness.ours}/login")
        assert answer
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True)
        expect(page.locator("h1")).to_have_text("统一认证暂时不可用")
        self.keep(page, "provider-down")

    def log_in(self, witness: Any, page: Page, *, asked: bool = True) -> None:
        page.goto(f"{witness.ours}/help")
        if asked:
            assert witness.asks(page)
        if witness.asks(page):
            witness.answer(page)
        expect(page.locator("header.bar")).to_contain_text("退出")
        assert page.url == f"{witness.ours}/help"

    def sign_out(self, witness: Any, page: Page, *, confirm: bool = True) -> None:
        page.click("header.bar form[action='/logout'] button")
        if confirm:
            witness.confirm_sign_out(page)
        page.wait_for_url("**/logout/done**")

    def come_back_with(self, page: Page, former: str) -> Any:
        """Begin a login, stop on the way to the provider, and come back with the answer of a former one."""
        begun = page.context.request.get(f"{origin(former)}/login?as=natural", max_redirects=0)
        place = urlsplit(begun.headers["location"])
        told = {name: values[0] for name, values in parse_qs(place.query).items()}
        old = urlsplit(former)
        if "state" in told:
            was = parse_qs(old.query)["state"][0]
            address = former.replace(was, told["state"])
        else:
            address = f"{told['redirect_uri']}?{old.query}"
        return page.goto(address)

    def keep(self, page: Page, name: str) -> None:
        """A picture, when somebody wants pictures."""
        if folder := os.environ.get("EDULAKE_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{self.kind}-{name}.png")


class TestKeycloak(Contract):
    kind = "Keycloak"


class TestOidcProvider(Contract):
    kind = "OidcProvider"


class TestUserCentre(Contract):
    kind = "UserCentre"

    def assert_down(self, witness: Any, page: Page) -> None:
        """The browser itself is sent to a page that does not answer: we see nothing of it, and answer as always."""
        begun = page.context.request.get(f"{witness.ours}/login?as=natural", max_redirects=0)
        assert begun.status == 303
        back = parse_qs(urlsplit(begun.headers["location"]).query)["redirect_uri"][0]
        answer = page.goto(f"{back}?access_token=any")
        assert answer
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True)
        self.keep(page, "provider-down")


def restart_auth(suite: "Suite", witness: Any) -> None:
    """Start auth for this provider, and return when it answers."""
    suite.tell({"auth": witness.environment()})

    def is_ready() -> bool:
        try:
            return httpx.get(f"{suite.settings.service_url('auth')}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    suite.wait_for(is_ready, "auth to be ready")


def is_end(address: str) -> bool:
    return "/login/callback" in address or "/login/refused" in address


def origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def admit(suite: "Suite") -> None:
    """The administrators let in whoever waits and make them an applicant."""
    system, security = suite.gateway("demo-system"), suite.gateway("demo-security")
    waiting = system.call("GET", "/api/auth/people?status=pending")["items"]
    assert len(waiting) == 1
    place = f"/api/auth/people/{waiting[0]['id']}"
    system.call("POST", f"{place}/admit", json={"organisation": "示范区教育局"})
    security.call("POST", f"{place}/roles", json={"roles": ["applicant"], "reason": "测试"})
