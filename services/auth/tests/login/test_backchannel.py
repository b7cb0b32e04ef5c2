"""The provider ends sessions (OpenID Connect Back-Channel Logout 1.0): every rule, or nothing ends."""

import asyncio
import time

import httpx
import pytest
from edulake.auth.login import service as logins
from edulake.auth.upkeep import sweep

from .provider import ISSUER, OTHER_KEY, SESSION, Provider, admit_everybody, come_back, signed
from .user_centre import SETTINGS, UserCentre

PATH = "/logout/backchannel"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
HEADER = {"alg": "ES256", "typ": "logout+jwt", "kid": "k1"}


def notice(drop=(), header=HEADER, key=None, **change):
    """A logout token that is right but for what a test changes."""
    at = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "edulake-portal",
        "iat": at,
        "exp": at + 120,
        "jti": f"n-{time.monotonic_ns()}",
        "events": {EVENT: {}},
        "sub": "u-1",
        "sid": "s-1",
    }
    kept = {name: value for name, value in {**claims, **change}.items() if name not in drop}
    return signed(header, kept, **({"key": key} if key else {}))


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
async def auth(open_auth, provider):
    async with open_auth(network=provider, oidc_issuer=ISSUER) as running:
        await admit_everybody(running)
        yield running


@pytest.fixture
def log_in(auth, provider):
    """`await log_in(sub, sid)` → a browser with a session begun in that session of the provider."""

    async def enter(sub="u-1", sid="s-1"):
        provider.change = {"sub": sub, **({"sid": sid} if sid else {})}
        answer, browser = await come_back(auth, provider)
        assert answer.status_code == 303, answer.text
        return browser

    return enter


async def tell(auth, token):
    return await auth.http.post(PATH, data={"logout_token": token})


async def alive(auth, *browsers):
    """Which of the browsers still have a session."""
    found = []
    for browser in browsers:
        asked = {"json": {"cookie": browser.cookies[SESSION]}}
        answer = await auth.call(
            "POST", "/internal/sessions/resolve", "service", who="service:portal", **asked
        )
        found.append(answer.status_code == 200)
    return found


class TestWhoIsLoggedOut:
    async def test_the_session_that_is_named(self, auth, log_in):
        named, other, somebody = await log_in(), await log_in(sid="s-2"), await log_in("u-2", "s-3")
        answer = await tell(auth, notice())
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert await alive(auth, named, other, somebody) == [False, True, True]

    async def test_the_session_that_is_named_without_a_subject(self, auth, log_in):
        named, other = await log_in(), await log_in(sid="s-2")
        assert (await tell(auth, notice(drop=("sub",)))).status_code == 200
        assert await alive(auth, named, other) == [False, True]

    async def test_every_session_of_a_subject_that_is_named_alone(self, auth, log_in):
        first, second, somebody = await log_in(), await log_in(sid="s-2"), await log_in("u-2", "s-3")
        assert (await tell(auth, notice(drop=("sid",)))).status_code == 200
        assert await alive(auth, first, second, somebody) == [False, False, True]

    async def test_a_session_of_theirs_that_the_provider_never_named(self, auth, log_in):
        unnamed, somebody = await log_in(sid=None), await log_in("u-2", None)
        assert (await tell(auth, notice())).status_code == 200
        assert await alive(auth, unnamed, somebody) == [False, True]

    async def test_nobody_when_session_and_subject_do_not_fit(self, auth, log_in):
        browser = await log_in()
        assert (await tell(auth, notice(sub="u-2"))).status_code == 200
        assert await alive(auth, browser) == [True]

    async def test_nobody_when_the_subject_is_not_known_here(self, auth, log_in):
        browser = await log_in()
        assert (await tell(auth, notice(sub="u-9"))).status_code == 200
        assert await alive(auth, browser) == [True]

    async def test_it_stands_in_the_trail_as_the_providers_doing(self, auth, log_in):
        await log_in()
        await tell(auth, notice())
        trail = await auth.rows("SELECT kind, by FROM auth.trail ORDER BY id")
        assert trail[-1] == {"kind": "session.ended", "by": "service:identity-provider"}

    async def test_the_key_may_have_been_rotated(self, auth, provider, log_in, monkeypatch):
        browser = await log_in()
        provider.keys = [{**OTHER_KEY.as_dict(private=False), "kid": "k2", "use": "sig"}]
        discovery = auth.app.state.resources.extra["parts"].provider._discovery
        monkeypatch.setattr(discovery, "_keys_wait_until_s", 0)
        assert (await tell(auth, notice(header={**HEADER, "kid": "k2"}, key=OTHER_KEY))).status_code == 200
        assert await alive(auth, browser) == [False]


NOW = int(time.time())
WRONG = {
    "untyped": {"header": {"alg": "ES256", "kid": "k1"}},
    "typed as an id token": {"header": {**HEADER, "typ": "JWT"}},
    "unsigned": {"header": {**HEADER, "alg": "none"}},
    "another key": {"key": OTHER_KEY},
    "unknown key id": {"header": {**HEADER, "kid": "k9"}, "key": OTHER_KEY},
    "key behind an address": {"header": {**HEADER, "jku": "https://evil.example/jwks"}},
    "other issuer": {"iss": "https://other.example"},
    "other audience": {"aud": "somebody-else"},
    "expired": {"exp": NOW - 61},
    "good for a year": {"exp": NOW + 365 * 86_400},
    "issued long ago": {"iat": NOW - 3600},
    "issued in the future": {"iat": NOW + 3600},
    "a nonce": {"nonce": "n"},
    "an empty nonce": {"nonce": None},
    "no event": {"events": {}},
    "another event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "events are a list": {"events": [EVENT]},
    "event is no object": {"events": {EVENT: True}},
    "neither subject nor session": {"drop": ("sub", "sid")},
    "subject is not text": {"sub": 7},
    "session is not text": {"sid": ["s-1"]},
    "notice is not text": {"jti": 7},
}


class TestATokenThatIsNotBelieved:
    @pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
    async def test_ends_nothing(self, auth, log_in, change):
        browser = await log_in()
        await self.assert_refused(auth, browser, notice(**change))

    @pytest.mark.parametrize("name", ["iss", "aud", "iat", "exp", "jti", "events"])
    async def test_must_carry_every_claim(self, auth, log_in, name):
        browser = await log_in()
        await self.assert_refused(auth, browser, notice(drop=(name,)))

    async def test_is_no_id_token(self, auth, provider, log_in):
        browser = await log_in()
        await self.assert_refused(auth, browser, signed(provider.header, provider.claims()))

    async def test_works_once(self, auth, log_in):
        token = notice()
        await log_in("u-2", "s-2")
        assert (await tell(auth, token)).status_code == 200
        browser = await log_in("u-1", "s-3")
        await self.assert_refused(auth, browser, token)

    @pytest.mark.parametrize("form", [{}, {"logout_token": ""}, {"token": "x"}, {"logout_token": ["a", "b"]}])
    async def test_must_come_once_and_in_a_form(self, auth, form):
        assert (await auth.http.post(PATH, data=form)).status_code == 400

    @pytest.mark.parametrize(
        "body", [b"logout_token=" + b"x" * 40_000, b"&".join([b"a=b"] * 50), b"\xff\x00"]
    )
    async def test_a_body_that_is_no_form_is_a_400(self, auth, body):
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await auth.http.post(PATH, content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    async def test_forged_key_ids_do_not_make_us_read_the_keys_again_and_again(self, auth, provider, log_in):
        await log_in()
        for number in range(5):
            await tell(auth, notice(header={**HEADER, "kid": f"k{number + 7}"}, key=OTHER_KEY))
        assert provider.reads.count("/jwks") == 1

    async def test_the_reason_repeats_nothing_of_the_token(self, auth, log_in, capfd):
        await log_in()
        answer = await tell(auth, notice(iss="https://canary.example", sub="canary-sub", jti="canary-jti"))
        assert "canary" not in answer.text + capfd.readouterr().err

    async def assert_refused(self, auth, browser, token):
        answer = await tell(auth, token)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"] == "invalid_request"
        assert answer.headers["cache-control"] == "no-store"
        assert await alive(auth, browser) == [True]


class TestWhatIsOnItsWay:
    async def test_a_login_begun_in_the_ended_session_comes_too_late(self, auth, provider):
        provider.change = {"sid": "s-1"}
        browser = auth.browser()
        begun = await browser.begin()
        provider.nonce = begun["nonce"]
        assert (await tell(auth, notice())).status_code == 200
        answer = await browser.get(f"/login/callback?code=c-1&state={begun['state']}")
        assert answer.status_code == 400
        assert await auth.rows("SELECT * FROM auth.session") == []

    async def test_a_login_in_the_very_moment_is_ended_too(self, auth, provider, monkeypatch):
        """The login holds its provider's session until it has committed; the notice waits and then finds it."""
        reached, go_on = asyncio.Event(), asyncio.Event()
        opening = logins.open_session

        async def slowly(*given, **more):
            reached.set()
            await go_on.wait()
            return await opening(*given, **more)

        monkeypatch.setattr(logins, "open_session", slowly)
        provider.change = {"sid": "s-1"}
        login = asyncio.create_task(come_back(auth, provider))
        await reached.wait()
        telling = asyncio.create_task(tell(auth, notice(drop=("sub",))))
        while not await auth.rows("SELECT 1 AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            assert not telling.done(), "the notice did not wait"
        go_on.set()
        await login
        assert (await telling).status_code == 200
        assert await auth.rows("SELECT * FROM auth.session") == []


class TestTrouble:
    async def test_a_provider_whose_keys_cannot_be_read_is_a_400_and_may_try_again(self, auth, provider):
        provider.says["/jwks"] = httpx.Response(500)
        token = notice()
        answer = await tell(auth, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "temporarily_unavailable")
        del provider.says["/jwks"]
        auth.app.state.resources.extra["parts"].provider._discovery._keys_wait_until_s = 0
        assert (await tell(auth, token)).status_code == 200

    async def test_what_was_heeded_is_forgotten_when_it_can_do_no_harm(self, auth):
        await tell(auth, notice())
        assert len(await auth.rows("SELECT * FROM auth.logout_notice")) == 1
        await sweep(auth.app.state.resources, auth.settings)
        assert len(await auth.rows("SELECT * FROM auth.logout_notice")) == 1
        await auth.change("UPDATE auth.logout_notice SET expires_at = now()")
        await sweep(auth.app.state.resources, auth.settings)
        assert await auth.rows("SELECT * FROM auth.logout_notice") == []

    async def test_a_user_centre_sends_none(self, open_auth):
        async with open_auth(network=UserCentre(), **SETTINGS) as auth:
            assert (await tell(auth, notice())).status_code == 400
