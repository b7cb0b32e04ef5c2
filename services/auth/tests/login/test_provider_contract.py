"""Whose fault a failed login is: one contract for every way of logging in.

The person can mend it (400), only the operator can (502), time does (503 with Retry-After). The page says which.
"""

import gzip

import httpx
import pytest

from . import user_centre
from .provider import ISSUER, SESSION, Endless, Provider, admit_everybody, come_back

TIMEOUT_S = 0.5


def compressed():
    packed = gzip.compress(b'{"access_token": "x"}')
    return httpx.Response(200, content=packed, headers={"content-encoding": "gzip"})


def huge():
    return httpx.Response(200, json={"access_token": "x" * 300_000})


def slow():
    return httpx.Response(200, stream=Endless())


UNREADABLE = {
    "not json": lambda: httpx.Response(200, text="<html>busy</html>"),
    "a list": lambda: httpx.Response(200, json=["access_token"]),
    "nothing": lambda: httpx.Response(200),
    "huge": huge,
    "compressed": compressed,
}
AWAY = {
    "no connection": httpx.ConnectError("refused"),
    "silence": httpx.ReadTimeout("no answer"),
    "slow": slow,
    "500": lambda: httpx.Response(500, text="oops"),
    "503": lambda: httpx.Response(503),
    "429": lambda: httpx.Response(429),
}


class Contract:
    """What a person sees when the provider's servers answer other than they should."""

    async def log_in(self, auth, provider):
        raise NotImplementedError

    def endpoints(self):
        """Where the first and the second question go."""
        raise NotImplementedError

    async def assert_page(self, auth, provider, status, *words):
        answer, browser = await self.log_in(auth, provider)
        await user_centre.assert_refused(auth, answer, browser, status)
        for word in words:
            assert word in answer.text
        return answer

    async def test_an_honest_answer_is_a_session(self, auth, provider):
        answer, browser = await self.log_in(auth, provider)
        assert (answer.status_code, answer.headers["location"]) == (303, "/resources")
        assert SESSION in browser.cookies

    @pytest.mark.parametrize("what", AWAY)
    @pytest.mark.parametrize("place", [0, 1])
    async def test_a_provider_that_is_away_is_a_503_that_says_when_to_come_again(
        self, auth, provider, what, place
    ):
        provider.says[self.endpoints()[place]] = AWAY[what]
        answer = await self.assert_page(auth, provider, 503, "统一认证暂时不可用", "重新登录")
        assert int(answer.headers["retry-after"]) > 0

    @pytest.mark.parametrize("what", UNREADABLE)
    @pytest.mark.parametrize("place", [0, 1])
    async def test_an_unreadable_answer_is_the_providers_fault_and_the_operator_reads_it(
        self, auth, provider, what, place, caplog
    ):
        provider.says[self.endpoints()[place]] = UNREADABLE[what]
        answer = await self.assert_page(auth, provider, 502, "统一认证的应答无法识别")
        assert "retry-after" not in answer.headers
        assert [record.levelname for record in caplog.records if record.message == "login refused"] == [
            "ERROR"
        ]

    @pytest.mark.parametrize("status", [302, 404, 405])
    async def test_an_address_that_is_wrong_is_a_matter_of_settings(self, auth, provider, status):
        provider.says[self.endpoints()[0]] = httpx.Response(
            status, headers={"location": "https://evil.example/"}
        )
        answer = await self.assert_page(auth, provider, 502, "设置有误", "不是您的问题", "重试无法解决")
        assert "重新登录" not in answer.text

    async def test_our_own_secret_refused_is_ours_to_mend_and_the_log_says_so(self, auth, provider, caplog):
        provider.says[self.endpoints()[0]] = self.secret_refused()
        await self.assert_page(auth, provider, 502, "设置有误", "联系运维")
        [said] = [record for record in caplog.records if record.message == "login refused"]
        assert said.levelname == "ERROR"

    async def test_what_was_used_before_is_a_400_that_says_what_to_do(self, auth, provider):
        provider.says[self.endpoints()[self.refusing]] = self.credential_refused()
        answer = await self.assert_page(auth, provider, 400, "登录凭证已失效", "请重新登录", "不是系统故障")
        assert 'href="/login?return_to=%2Fresources"' in answer.text, "the way to the wanted page is kept"
        assert "retry-after" not in answer.headers


class TestOpenId(Contract):
    """An OpenID provider: the code is refused where it is exchanged."""

    refusing = 0

    @pytest.fixture
    def provider(self):
        made = Provider()
        made.drop = ("name",)  # so that userinfo is asked
        return made

    @pytest.fixture
    async def auth(self, open_auth, provider):
        over = {"oidc_client_auth": "client_secret_basic", "oidc_client_secret": user_centre.SECRET}
        async with open_auth(
            network=provider, oidc_issuer=ISSUER, oidc_timeout_s=TIMEOUT_S, **over
        ) as running:
            await admit_everybody(running)
            yield running

    async def log_in(self, auth, provider):
        return await come_back(auth, provider)

    def endpoints(self):
        return "/token", "/userinfo"

    def secret_refused(self):
        return httpx.Response(401, json={"error": "invalid_client"})

    def credential_refused(self):
        return httpx.Response(400, json={"error": "invalid_grant", "error_description": "Code not valid"})

    @pytest.mark.parametrize(
        ("status", "body", "expected"),
        [
            (400, {"error": "invalid_grant"}, 400),
            (400, {"error": "invalid_request"}, 400),
            (401, {"error": "invalid_grant"}, 400),
            (400, {"error": "invalid_client"}, 502),
            (401, {"error": "unauthorized_client"}, 502),
            (400, {"error": "unsupported_grant_type"}, 502),
            (400, {"error": "invalid_scope"}, 502),
            (400, {"error": "temporarily_unavailable"}, 503),
            (400, {"error": "<script>"}, 502),
            (400, {"error": ["invalid_grant"]}, 502),
            (400, {}, 502),
            (403, {"error": "invalid_grant"}, 502),
        ],
    )
    async def test_each_word_of_the_token_endpoint_has_its_page(self, auth, provider, status, body, expected):
        provider.says["/token"] = httpx.Response(status, json=body)
        answer = await self.assert_page(auth, provider, expected)
        assert "<script>" not in answer.text

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            ("access_denied", 400),
            ("login_required", 400),
            ("temporarily_unavailable", 503),
            ("server_error", 503),
            ("invalid_scope", 502),
            ("unauthorized_client", 502),
            ("", 400),
        ],
    )
    async def test_each_word_of_the_response_has_its_page(self, auth, provider, error, expected):
        answer, browser = await come_back(auth, provider, error=error, code=None)
        await user_centre.assert_refused(auth, answer, browser, expected)

    async def test_a_token_that_userinfo_refuses_has_run_out(self, auth, provider):
        provider.says["/userinfo"] = httpx.Response(401)
        await self.assert_page(auth, provider, 400, "登录凭证已失效")

    async def test_the_providers_own_wish_how_long_to_wait_is_passed_on(self, auth, provider):
        provider.says["/token"] = httpx.Response(503, headers={"retry-after": "37"})
        assert (await self.assert_page(auth, provider, 503)).headers["retry-after"] == "37"
        provider.says["/token"] = httpx.Response(503, headers={"retry-after": "99999"})
        assert (await self.assert_page(auth, provider, 503)).headers["retry-after"] == "300"

    @pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks"])
    @pytest.mark.parametrize(
        ("said", "expected"),
        [(AWAY["500"], 503), (AWAY["slow"], 503), (UNREADABLE["huge"], 502), (httpx.Response(404), 502)],
    )
    async def test_its_documents_are_judged_the_same_way(self, auth, provider, path, said, expected):
        provider.says[path] = said
        answer = await auth.browser().get("/login")
        if path == "/jwks":
            answer, _ = await come_back(auth, provider)
        assert (answer.status_code, answer.headers["content-type"][:9]) == (expected, "text/html")

    async def test_keys_that_could_not_be_read_are_read_again_after_seconds(
        self, auth, provider, monkeypatch
    ):
        provider.says["/jwks"] = httpx.Response(500)
        await self.assert_page(auth, provider, 503)
        del provider.says["/jwks"]
        answer = await self.assert_page(auth, provider, 503)
        assert int(answer.headers["retry-after"]) <= 5
        discovery = auth.app.state.resources.extra["parts"].provider._discovery
        monkeypatch.setattr(discovery, "_keys_wait_until_s", discovery._keys_wait_until_s - 5)
        assert (await self.log_in(auth, provider))[0].status_code == 303


class TestUserCentre(Contract):
    """一网通办: the portal token is refused where we ask whose it is."""

    refusing = 1

    @pytest.fixture
    def provider(self):
        return user_centre.UserCentre()

    @pytest.fixture
    async def auth(self, open_auth, provider):
        async with open_auth(network=provider, oidc_timeout_s=TIMEOUT_S, **user_centre.SETTINGS) as running:
            await user_centre.come_back(running)
            await user_centre.admit(running)
            yield running

    async def log_in(self, auth, provider):
        return await user_centre.come_back(auth)

    def endpoints(self):
        return "/token", "/user"

    def secret_refused(self):
        return httpx.Response(200, json={"isSuccess": False, "code": "500", "msg": "clientSecret"})

    def credential_refused(self):
        return httpx.Response(200, json={"isSuccess": False, "code": "401", "msg": "expired", "data": None})

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            (httpx.Response(401), 400),
            (httpx.Response(200, json={"isSuccess": "false"}), 400),
            (httpx.Response(200, json={"data": {"userId": "x"}}), 502),
            (httpx.Response(200, json={"isSuccess": 1, "data": {}}), 502),
            (httpx.Response(200, json={"isSuccess": True, "data": []}), 502),
            (httpx.Response(200, json={"isSuccess": True, "data": {}}), 401),
        ],
    )
    async def test_an_envelope_says_whose_fault_it_is(self, auth, provider, said, expected):
        provider.says["/user"] = said
        await self.assert_page(auth, provider, expected)
