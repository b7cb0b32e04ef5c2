"""One person's way in and out, through the development issuer's real pages."""

from urllib.parse import parse_qs, urlsplit

import pytest

SESSION = "__Host-edulake"
BROWSER = "__Host-edulake-login"


async def resolve(auth, cookie):
    return await auth.call(
        "POST", "/internal/sessions/resolve", "service", who="service:portal", json={"cookie": cookie}
    )


class TestBeginningALogin:
    async def test_the_browser_goes_to_the_public_address_with_pkce_state_and_nonce(self, auth):
        answer = await auth.browser().get("/login?return_to=/resources")
        place = urlsplit(answer.headers["location"])
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        assert f"{place.scheme}://{place.netloc}{place.path}" == "http://127.0.0.1:18100/dev-issuer/authorize"
        assert query["code_challenge_method"] == "S256"
        assert len(query["state"]) >= 22
        assert len(query["nonce"]) >= 22
        assert query["redirect_uri"] == "http://127.0.0.1:18100/login/callback"

    async def test_server_side_calls_go_to_auth_itself(self, auth):
        await auth.browser().log_in("li-steward")
        assert auth.network.asked
        assert all(address.startswith("http://127.0.0.1:18101/dev-issuer/") for address in auth.network.asked)

    async def test_the_browser_cookie_is_bound_to_this_host(self, auth):
        answer = await auth.browser().get("/login")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{BROWSER}=")
        for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie

    async def test_neither_state_nor_browser_is_stored_readably(self, auth):
        browser = auth.browser()
        query = await browser.begin()
        stored = str(await auth.rows("SELECT state_digest, browser_digest FROM auth.login_attempt"))
        assert query["state"] not in stored
        assert browser.cookies[BROWSER] not in stored

    async def test_one_address_cannot_begin_logins_without_end(self, open_auth):
        async with open_auth(login_starts=5) as auth:
            answers = [(await auth.browser().get("/login")).status_code for _ in range(7)]
        assert answers == [303] * 5 + [429] * 2


class TestLoggingIn:
    async def test_ends_in_a_session_that_names_the_person_and_the_roles(self, auth):
        browser = auth.browser()
        answer = await browser.log_in("zhou-owner")
        assert (answer.status_code, answer.headers["location"]) == (303, "/resources")
        found = (await resolve(auth, browser.cookies[SESSION])).json()
        assert found["subject"]["id"] == "person:zhou-owner"
        assert found["subject"]["name"] == "周数源"
        assert sorted(found["subject"]["roles"]) == ["approver", "owner"]
        assert len(found["csrf"]) >= 32

    async def test_the_session_cookie_is_bound_to_this_host_and_unreadable_for_scripts(self, auth):
        answer = await auth.browser().log_in("li-steward")
        cookie = next(
            line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{SESSION}=")
        )
        for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie

    async def test_the_callback_is_not_stored_and_tells_no_referrer(self, auth):
        answer = await auth.browser().log_in("li-steward")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"

    async def test_the_session_id_is_renewed_and_the_former_one_ends(self, auth):
        browser = auth.browser()
        await browser.log_in("li-steward")
        former = browser.cookies[SESSION]
        await browser.log_in("zheng-applicant")
        assert browser.cookies[SESSION] != former
        assert (await resolve(auth, former)).status_code == 404
        assert (await resolve(auth, browser.cookies[SESSION])).json()["subject"]["name"] == "郑申请"

    async def test_a_planted_session_id_is_never_taken_over(self, auth):
        browser = auth.browser()
        browser.cookies[SESSION] = planted = "A" * 43
        await browser.log_in("li-steward")
        assert browser.cookies[SESSION] != planted
        assert (await resolve(auth, planted)).status_code == 404

    async def test_two_tabs_of_one_browser_both_arrive(self, auth):
        browser = auth.browser()
        first, second = await browser.begin("/a"), await browser.begin("/b")
        places = []
        for query in (first, second):
            back = await browser.post("/dev-issuer/authorize", {**query, "sub": "li-steward"})
            places.append((await browser.get(back.headers["location"])).headers.get("location"))
        assert places == ["/a", "/b"]

    async def test_is_written_to_the_trail(self, auth):
        await auth.browser().log_in("li-steward")
        trail = await auth.rows("SELECT kind, about, outcome FROM auth.trail ORDER BY id")
        assert {"kind": "login", "about": "person:li-steward", "outcome": "done"} in trail


class TestWhereALoginReturns:
    @pytest.mark.parametrize(
        "wanted",
        [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "\\\\evil.example",
            "/%5c/evil%0d%0aSet-Cookie:x",
            "%2f%2fevil.example",
            "javascript:alert(1)",
            "/%09/evil.example",
            "resources",
            "",
            "/login",
            "/logout",
            "/logout/done",
            "/" + "a" * 2000,
        ],
    )
    async def test_only_to_a_path_of_this_site(self, auth, wanted):
        answer = await auth.browser().log_in("li-steward", wanted)
        assert answer.headers["location"] == "/"

    @pytest.mark.parametrize("wanted", ["/", "/resources", "/resources/api:schools?tab=1", "/a%2Fb"])
    async def test_to_the_path_that_was_wanted(self, auth, wanted):
        answer = await auth.browser().log_in("li-steward", wanted.replace("?", "%3F").replace("%2F", "%252F"))
        assert answer.headers["location"] == wanted


class TestWhoIsLetIn:
    async def test_a_disabled_person_stays_outside(self, auth):
        await auth.change("UPDATE auth.person SET status = 'disabled' WHERE id = 'person:li-steward'")
        browser = auth.browser()
        answer = await browser.log_in("li-steward")
        assert answer.status_code == 403
        assert SESSION not in browser.cookies
        assert "系统管理员" in answer.text

    async def test_an_unknown_person_is_noted_and_waits(self, auth):
        await auth.change("DELETE FROM auth.person WHERE id = 'person:wu-contact'")
        browser = auth.browser()
        assert (await browser.log_in("wu-contact")).status_code == 403
        assert (await auth.rows("SELECT status FROM auth.person WHERE id = 'person:wu-contact'"))[0] == {
            "status": "pending"
        }
        admitted = await auth.call(
            "POST",
            "/api/auth/people/person:wu-contact/admit",
            "system_admin",
            json={"organisation": "示范区"},
        )
        assert admitted.json()["status"] == "active"
        assert (await browser.log_in("wu-contact")).status_code == 303


class TestLoggingOut:
    async def test_ends_the_session_and_drops_the_cookie(self, auth):
        browser = auth.browser()
        await browser.log_in("li-steward")
        cookie = browser.cookies[SESSION]
        csrf = (await resolve(auth, cookie)).json()["csrf"]
        answer = await browser.post("/logout", {"csrf": csrf})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("http://127.0.0.1:18100/dev-issuer/end-session?")
        assert SESSION not in browser.cookies
        assert (await resolve(auth, cookie)).status_code == 404

    async def test_our_own_page_may_log_out_without_the_token(self, auth):
        browser = auth.browser()
        await browser.log_in("li-steward")
        assert (await browser.post("/logout", {}, origin="http://127.0.0.1:18100")).status_code == 303

    @pytest.mark.parametrize(
        ("form", "origin"),
        [({}, "https://evil.example"), ({}, "null"), ({"csrf": "guess"}, "http://127.0.0.1:18100")],
    )
    async def test_a_foreign_page_cannot_log_anybody_out(self, auth, form, origin):
        browser = auth.browser()
        await browser.log_in("li-steward")
        cookie = browser.cookies[SESSION]
        assert (await browser.post("/logout", form, origin=origin)).status_code == 403
        assert (await resolve(auth, cookie)).status_code == 200

    async def test_without_a_session_is_no_error(self, auth):
        assert (await auth.browser().post("/logout", {})).status_code == 303
