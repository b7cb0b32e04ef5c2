"""The stand-in provider: loud, strict about the protocol, absent in production."""

from urllib.parse import parse_qs, urlsplit

import pytest
from edulake.auth.login.dev_issuer import DevIssuer

AUTHORIZE = "/dev-issuer/authorize"


async def code_of(browser, begun):
    back = await browser.post(AUTHORIZE, {**begun, "sub": "li-steward"})
    return {name: value[0] for name, value in parse_qs(urlsplit(back.headers["location"]).query).items()}


def exchange_form(issued, **change):
    form = {
        "grant_type": "authorization_code",
        "code": issued,
        "client_id": "edulake-portal",
        "redirect_uri": "http://127.0.0.1:18100/login/callback",
        "code_verifier": "x" * 43,
    }
    return {**form, **change}


class TestThePage:
    async def test_warns_in_chinese_and_has_a_button_for_each_person(self, auth):
        browser = auth.browser()
        redirect = await browser.get("/login")
        page = await browser.get(redirect.headers["location"])
        assert "没有密码" in page.text
        assert page.text.count('name="sub"') == 7
        for name in ("赵系统", "钱安全", "孙审计", "李治理", "周数源", "吴报送", "郑申请"):
            assert name in page.text

    async def test_runs_no_script_and_loads_nothing(self, auth):
        browser = auth.browser()
        redirect = await browser.get("/login")
        page = await browser.get(redirect.headers["location"])
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        for word in ("<script", "src=", "<link", "style=", "http:", "https:"):
            assert word not in page.text.replace('value="http://127.0.0.1:18100/login/callback"', "")

    async def test_escapes_what_the_address_says(self, auth):
        browser = auth.browser()
        begun = await browser.begin()
        page = await auth.http.get(AUTHORIZE, params={**begun, "state": '"><script>x</script>'})
        assert "<script>" not in page.text

    @pytest.mark.parametrize(
        "change",
        [
            {"redirect_uri": "https://evil.example/"},
            {"redirect_uri": "http://127.0.0.1:18100/login/callback/../x"},
            {"client_id": "other"},
            {"response_type": "token"},
            {"code_challenge_method": "plain"},
            {"code_challenge": ""},
            {"state": ""},
        ],
    )
    async def test_refuses_any_request_but_our_own_without_redirecting(self, auth, change):
        begun = await auth.browser().begin()
        for answer in (
            await auth.http.get(AUTHORIZE, params={**begun, **change}),
            await auth.http.post(AUTHORIZE, data={**begun, "sub": "li-steward", **change}),
        ):
            assert answer.status_code == 400
            assert "location" not in answer.headers

    async def test_knows_only_its_people(self, auth):
        begun = await auth.browser().begin()
        assert (await auth.http.post(AUTHORIZE, data={**begun, "sub": "root"})).status_code == 400


class TestTheTokenEndpoint:
    @pytest.mark.parametrize(
        "change",
        [
            {"code_verifier": "y" * 43},
            {"code_verifier": ""},
            {"redirect_uri": "https://evil.example/"},
            {"client_id": "other"},
            {"grant_type": "password"},
            {"code": "unknown"},
        ],
    )
    async def test_refuses_a_code_that_is_not_the_holders(self, auth, change):
        browser = auth.browser()
        back = await code_of(browser, await browser.begin())
        answer = await auth.http.post("/dev-issuer/token", data=exchange_form(back["code"], **change))
        assert answer.status_code == 400
        assert "id_token" not in answer.text

    async def test_a_code_works_once(self, auth):
        browser = auth.browser()
        begun = await browser.begin()
        back = await code_of(browser, begun)
        await browser.get(f"/login/callback?code={back['code']}&state={back['state']}&iss={back['iss']}")
        assert "__Host-edulake" in browser.cookies
        again = await auth.http.post("/dev-issuer/token", data=exchange_form(back["code"]))
        assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})

    async def test_userinfo_needs_a_token(self, auth):
        for headers in ({}, {"authorization": "Bearer x"}):
            assert (await auth.http.get("/dev-issuer/userinfo", headers=headers)).status_code == 401


class TestProduction:
    async def test_warns_when_it_starts(self, open_auth, capsys):
        async with open_auth():
            assert "development issuer is active" in capsys.readouterr().err

    def test_refuses_production(self):
        class Production:
            env = "production"

        with pytest.raises(RuntimeError, match="refuses production"):
            DevIssuer(Production())

    async def test_is_absent_when_another_provider_is_configured(self, open_auth):
        async with open_auth(oidc_issuer="https://idp.example") as auth:
            for path in ("authorize", "jwks.json", ".well-known/openid-configuration"):
                assert (await auth.http.get(f"/dev-issuer/{path}")).status_code == 404
            assert await auth.rows("SELECT * FROM auth.person") == []
