"""Sessions end when unused, when old, when told; only services may resolve them."""

import pytest

SESSION = "__Host-edulake"


async def resolve(auth, cookie, *roles):
    asked = roles or ("service",)
    return await auth.call(
        "POST", "/internal/sessions/resolve", *asked, who="service:portal", json={"cookie": cookie}
    )


@pytest.fixture
async def browser(auth):
    browser = auth.browser()
    await browser.log_in("li-steward")
    return browser


class TestResolving:
    async def test_is_for_services_only(self, auth, browser):
        for role in ("system_admin", "security_admin", "applicant"):
            assert (await resolve(auth, browser.cookies[SESSION], role)).status_code == 403

    @pytest.mark.parametrize("cookie", ["x", "A" * 43, "' OR 1=1", "会话"])
    async def test_an_unknown_cookie_is_a_404_that_repeats_nothing(self, auth, cookie):
        answer = await resolve(auth, cookie)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:edulake:problem:session-ended")

    async def test_the_answer_is_not_stored(self, auth, browser):
        assert (await resolve(auth, browser.cookies[SESSION])).headers["cache-control"] == "no-store"

    async def test_the_csrf_token_is_stable_in_a_session_and_differs_between_two(self, auth, browser):
        first = (await resolve(auth, browser.cookies[SESSION])).json()["csrf"]
        assert (await resolve(auth, browser.cookies[SESSION])).json()["csrf"] == first
        other = auth.browser()
        await other.log_in("li-steward")
        assert (await resolve(auth, other.cookies[SESSION])).json()["csrf"] != first

    async def test_the_database_holds_no_cookie(self, auth, browser):
        assert browser.cookies[SESSION] not in str(await auth.rows("SELECT * FROM auth.session"))


class TestEnding:
    async def test_after_thirty_idle_minutes(self, auth, browser):
        await auth.change("UPDATE auth.session SET last_seen_at = last_seen_at - interval '29 minutes'")
        assert (await resolve(auth, browser.cookies[SESSION])).status_code == 200
        await auth.change("UPDATE auth.session SET last_seen_at = now() - interval '31 minutes'")
        assert (await resolve(auth, browser.cookies[SESSION])).status_code == 404

    async def test_use_keeps_it_awake(self, auth, browser):
        await auth.change("UPDATE auth.session SET last_seen_at = now() - interval '20 minutes'")
        [began] = await auth.rows("SELECT now() AS moment")
        await resolve(auth, browser.cookies[SESSION])
        [row] = await auth.rows("SELECT last_seen_at FROM auth.session")
        assert row["last_seen_at"] >= began["moment"]

    async def test_after_twelve_hours_in_any_case(self, auth, browser):
        [row] = await auth.rows("SELECT expires_at - created_at AS life FROM auth.session")
        assert row["life"].total_seconds() == 12 * 3600
        await auth.change("UPDATE auth.session SET expires_at = now()")
        assert (await resolve(auth, browser.cookies[SESSION])).status_code == 404

    async def test_when_the_person_is_disabled(self, auth, browser):
        path = "/api/auth/people/person:li-steward/disable"
        assert (await auth.call("POST", path, "security_admin")).status_code == 200
        assert (await resolve(auth, browser.cookies[SESSION])).status_code == 404

    async def test_expired_rows_are_swept(self, auth, browser):
        from edulake.auth.upkeep import sweep

        await auth.change("UPDATE auth.session SET expires_at = now()")
        await browser.begin()
        await auth.change("UPDATE auth.login_attempt SET expires_at = now()")
        await sweep(auth.app.state.resources, auth.settings)
        for table in ("session", "login_attempt"):
            assert await auth.rows(f"SELECT * FROM auth.{table}") == []


class TestOwnSessions:
    async def test_are_listed_without_anything_that_opens_them(self, auth, browser):
        answer = await auth.call("GET", "/api/auth/sessions", "steward", who="person:li-steward")
        [shown] = answer.json()
        assert set(shown) == {"id", "acr", "agent", "created_at", "last_seen_at", "expires_at"}
        assert (await resolve(auth, shown["id"])).status_code == 404

    async def test_can_be_ended_one_by_one(self, auth, browser):
        other = auth.browser()
        await other.log_in("li-steward")
        newest = (await auth.call("GET", "/api/auth/sessions", who="person:li-steward")).json()[0]
        ended = await auth.call("DELETE", f"/api/auth/sessions/{newest['id']}", who="person:li-steward")
        assert ended.status_code == 204
        assert (await resolve(auth, other.cookies[SESSION])).status_code == 404
        assert (await resolve(auth, browser.cookies[SESSION])).status_code == 200

    async def test_of_others_are_out_of_reach(self, auth, browser):
        [mine] = (await auth.call("GET", "/api/auth/sessions", who="person:li-steward")).json()
        other = await auth.call("DELETE", f"/api/auth/sessions/{mine['id']}", who="person:zhou-owner")
        assert other.status_code == 404
        assert (await resolve(auth, browser.cookies[SESSION])).status_code == 200

    async def test_can_be_ended_all_at_once(self, auth, browser):
        assert (await auth.call("DELETE", "/api/auth/sessions", who="person:li-steward")).status_code == 204
        assert (await resolve(auth, browser.cookies[SESSION])).status_code == 404
