"""Signing out leads on to the provider where there is a way, and says honestly what has ended."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from .provider import ISSUER, SESSION, Provider, admit_everybody, come_back

LEAVING = "__Host-edulake-logout"
PUBLIC = "http://127.0.0.1:18100"


async def csrf_of(auth, browser):
    asked = {"json": {"cookie": browser.cookies[SESSION]}}
    found = await auth.call("POST", "/internal/sessions/resolve", "service", who="service:portal", **asked)
    return found.json()["csrf"]


async def leave(auth, browser):
    """Press 退出; where the browser is sent."""
    answer = await browser.post("/logout", {"csrf": await csrf_of(auth, browser)})
    assert answer.status_code == 303
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    place = urlsplit(answer.headers["location"])
    told = {name: values[0] for name, values in parse_qs(place.query).items()}
    return f"{place.scheme}://{place.netloc}{place.path}" if place.netloc else place.path, told


@pytest.fixture
def provider():
    made = Provider()
    made.document = {"end_session_endpoint": f"{ISSUER}/end?keep=1"}
    return made


@pytest.fixture
async def auth(open_auth, provider):
    async with open_auth(network=provider, oidc_issuer=ISSUER) as running:
        await admit_everybody(running)
        yield running


@pytest.fixture
async def browser(auth, provider):
    _, browser = await come_back(auth, provider)
    assert SESSION in browser.cookies
    return browser


class TestAtTheProvider:
    async def test_the_browser_is_led_there_with_everything_that_proves_who_asks(self, auth, browser):
        place, told = await leave(auth, browser)
        assert place == f"{ISSUER}/end"
        hint = told.pop("id_token_hint")
        assert len(told.pop("state")) >= 22
        assert told == {
            "keep": "1",
            "client_id": "edulake-portal",
            "post_logout_redirect_uri": f"{PUBLIC}/logout/done",
        }
        assert hint.count(".") == 2
        assert await auth.rows("SELECT * FROM auth.session") == []

    async def test_the_id_token_is_kept_sealed_and_no_longer_than_the_session(self, auth, browser):
        [row] = await auth.rows("SELECT id_token, provider_session FROM auth.session")
        _, told = await leave(auth, browser)
        assert row["id_token"].startswith("v1.")
        assert told["id_token_hint"] not in str(row)
        assert told["id_token_hint"].split(".")[1] not in str(row)
        assert await auth.rows("SELECT 1 AS n FROM auth.session") == []

    async def test_the_providers_session_is_kept_as_a_digest(self, auth, provider):
        provider.change = {"sid": "canary-session", "acr": "urn:level:2"}
        await come_back(auth, provider)
        rows = await auth.rows("SELECT * FROM auth.session")
        assert rows[-1]["provider_session"]
        assert "canary-session" not in str(rows)
        assert rows[-1]["acr"] == "urn:level:2"

    async def test_a_token_too_long_for_an_address_stays_out_of_it(self, auth, provider):
        provider.change = {"padding": "x" * 4096}
        _, browser = await come_back(auth, provider)
        _, told = await leave(auth, browser)
        assert "id_token_hint" not in told
        assert told["client_id"] == "edulake-portal"

    async def test_a_seal_that_cannot_be_opened_does_not_keep_anybody_in(self, auth, browser):
        await auth.change("UPDATE auth.session SET id_token = 'v1.unknown.AAAA.AAAA'")
        place, told = await leave(auth, browser)
        assert place == f"{ISSUER}/end"
        assert "id_token_hint" not in told
        assert await auth.rows("SELECT * FROM auth.session") == []

    async def test_coming_back_says_that_both_have_ended(self, auth, browser):
        _, told = await leave(auth, browser)
        page = await browser.get(f"/logout/done?state={told['state']}")
        assert page.status_code == 200
        assert "您已退出本系统和统一认证" in page.text
        assert "可能仍然有效" not in page.text
        assert page.headers["cache-control"] == "no-store"
        assert LEAVING not in browser.cookies

    @pytest.mark.parametrize("query", ["", "?state=", "?state=guess", "?state=%E9%80%80"])
    async def test_whoever_was_not_there_is_not_told_so(self, auth, browser, query):
        await leave(auth, browser)
        page = await browser.get(f"/logout/done{query}")
        assert "可能仍然有效" in page.text
        again = await auth.browser().get("/logout/done?state=")
        assert "可能仍然有效" in again.text


class TestOnlyHere:
    async def test_a_provider_without_a_way_out_is_named_honestly(self, auth, provider, browser):
        provider.document = {}
        auth.app.state.resources.extra["parts"].provider._discovery._provider = None
        place, told = await leave(auth, browser)
        assert (place, told) == ("/logout/done", {})
        page = await browser.get(place)
        assert "您已退出本系统" in page.text
        assert "统一认证的登录可能仍然有效" in page.text
        assert "关闭浏览器的全部窗口" in page.text

    async def test_a_provider_that_is_away_keeps_nobody_in(self, auth, provider, browser):
        auth.app.state.resources.extra["parts"].provider._discovery._provider = None
        provider.says["/.well-known/openid-configuration"] = httpx.ConnectError("refused")
        assert await leave(auth, browser) == ("/logout/done", {})
        assert await auth.rows("SELECT * FROM auth.session") == []

    async def test_a_session_of_a_while_ago_ends_without_an_error(self, auth, browser):
        csrf = await csrf_of(auth, browser)
        await auth.change("DELETE FROM auth.session")
        answer = await browser.post("/logout", {"csrf": csrf})
        assert answer.headers["location"].startswith(f"{ISSUER}/end")
        assert SESSION not in browser.cookies

    async def test_somebody_who_is_logged_in_reads_nothing_about_having_left(self, auth, browser):
        answer = await browser.get("/logout/done")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


class TestForms:
    @pytest.mark.parametrize("form", [{"x": "y" * 5000}, {f"f{n}": "x" for n in range(20)}])
    async def test_that_are_no_forms_of_ours_log_nobody_out(self, auth, browser, form):
        answer = await browser.post("/logout", form, origin="https://evil.example")
        assert answer.status_code == 403
        assert len(await auth.rows("SELECT * FROM auth.session")) == 1

    async def test_a_link_or_picture_cannot_log_out(self, auth, browser):
        assert (await browser.get("/logout")).status_code == 405
        assert len(await auth.rows("SELECT * FROM auth.session")) == 1


class TestTheDevelopmentIssuer:
    @pytest.fixture
    async def auth(self, open_auth):
        async with open_auth() as running:
            yield running

    @pytest.fixture
    async def browser(self, auth):
        browser = auth.browser()
        await browser.log_in("li-steward")
        return browser

    async def test_signs_out_for_real(self, auth, browser):
        answer = await browser.post("/logout", {"csrf": await csrf_of(auth, browser)})
        back = await browser.get(answer.headers["location"])
        assert back.status_code == 303
        page = await browser.get(back.headers["location"])
        assert "您已退出本系统和一网通办（开发替身）" in page.text

    async def test_forgets_the_tokens_it_gave(self, auth, browser):
        issuer = auth.app.state.resources.extra["parts"].dev_issuer
        token = next(iter(issuer._tokens))
        answer = await browser.post("/logout", {"csrf": await csrf_of(auth, browser)})
        await browser.get(answer.headers["location"])
        shown = await auth.http.get("/dev-issuer/userinfo", headers={"authorization": f"Bearer {token}"})
        assert shown.status_code == 401

    async def test_a_hint_made_before_a_restart_counts_as_none(self, auth, browser, open_auth):
        async with open_auth() as other:
            stranger = other.browser()
            await stranger.log_in("li-steward")
            answer = await stranger.post("/logout", {"csrf": await csrf_of(other, stranger)})
        assert (await browser.get(answer.headers["location"])).status_code == 303

    @pytest.mark.parametrize(
        "change",
        [
            {"post_logout_redirect_uri": "https://evil.example/"},
            {"post_logout_redirect_uri": f"{PUBLIC}/logout/done/../x"},
            {"client_id": "other"},
            {"id_token_hint": "not.a.token"},
            {"id_token_hint": "eyJhbGciOiJub25lIn0.e30."},
        ],
    )
    async def test_refuses_any_request_but_our_own_without_redirecting(self, auth, change):
        honest = {
            "client_id": "edulake-portal",
            "post_logout_redirect_uri": f"{PUBLIC}/logout/done",
            "state": "s",
        }
        answer = await auth.http.get("/dev-issuer/end-session", params={**honest, **change})
        assert answer.status_code == 400
        assert "location" not in answer.headers
