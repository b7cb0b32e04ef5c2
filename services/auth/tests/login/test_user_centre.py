"""一网通办: who is let in, what is kept of them, and where the portal token does not go."""

import pytest
from edulake.auth.login.providers.mapping import read_mapping
from edulake.auth.settings import AuthSettings
from edulake.common.gm import FileKeyProvider
from edulake.common.settings import find_standards
from pydantic import ValidationError

from .provider import BROWSER, SESSION
from .user_centre import (
    CENTRE,
    ID_NUMBER,
    LEGAL,
    NATURAL,
    SECRET,
    SETTINGS,
    UserCentre,
    admit,
    assert_refused,
    begin,
    come_back,
)


@pytest.fixture
def provider():
    return UserCentre()


@pytest.fixture
async def auth(open_auth, provider):
    async with open_auth(network=provider, **SETTINGS) as running:
        yield running


class TestTheWay:
    async def test_the_browser_goes_to_the_centre_with_the_state_in_the_way_back(self, auth):
        place, back = await begin(auth.browser())
        assert str(place).startswith(f"{CENTRE}/login?")
        state = back.removeprefix("http://127.0.0.1:18100/login/callback/")
        assert len(state) >= 43
        assert state not in str(await auth.rows("SELECT * FROM auth.login_attempt"))

    @pytest.mark.parametrize("between", ["?", "?from=portal&"])
    async def test_however_the_centre_adds_its_token(self, auth, between):
        await come_back(auth)
        await admit(auth)
        answer, browser = await come_back(auth, between=between)
        assert (answer.status_code, answer.headers["location"]) == (303, "/resources")
        assert SESSION in browser.cookies

    async def test_we_show_our_secret_only_server_to_server(self, auth, provider):
        await come_back(auth)
        assert provider.forms == {
            "/token": {"clientId": "edulake", "clientSecret": SECRET},
            "/user": {"accessToken": "at-canary", "portalToken": "pt-1"},
        }

    async def test_legal_persons_have_a_page_of_their_own(self, open_auth, provider):
        async with open_auth(network=provider, **SETTINGS, ywtb_legal_login_url=f"{CENTRE}/legal") as auth:
            browser = auth.browser()
            asked = await browser.get("/login?return_to=/resources")
            assert asked.status_code == 200
            assert "法人登录" in asked.text
            assert "return_to=%2Fresources" in asked.text
            natural, _ = await begin(browser, "&as=natural")
            legal, _ = await begin(browser, "&as=legal")
            assert (natural.path, legal.path) == ("/login", "/legal")


class TestTheState:
    async def refused(self, auth, browser, address, status=400):
        answer = await browser.get(address)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login/refused/bad-response?")
        await assert_refused(auth, await browser.get(answer.headers["location"]), browser, status)

    async def test_works_once(self, auth):
        await come_back(auth)
        await admit(auth)
        browser = auth.browser()
        _, back = await begin(browser)
        assert (await browser.get(f"{back}?access_token=pt-1")).headers["location"] == "/resources"
        await auth.change("DELETE FROM auth.session")
        browser.cookies.pop(SESSION)
        await self.refused(auth, browser, f"{back}?access_token=pt-1")

    async def test_of_another_browser_opens_nothing(self, auth):
        """An attacker's own portal token, planted in somebody else's browser."""
        attacker, victim = auth.browser(), auth.browser()
        _, back = await begin(attacker)
        await begin(victim)
        await self.refused(auth, victim, f"{back}?access_token=pt-1")
        victim.cookies.pop(BROWSER)
        await self.refused(auth, victim, f"{back}?access_token=pt-1")

    async def test_ends_after_ten_minutes(self, auth):
        browser = auth.browser()
        _, back = await begin(browser)
        await auth.change("UPDATE auth.login_attempt SET expires_at = expires_at - interval '601 seconds'")
        await self.refused(auth, browser, f"{back}?access_token=pt-1")

    @pytest.mark.parametrize("query", ["", "?access_token=", "?access_token=a&access_token=b"])
    async def test_alone_or_with_two_tokens_is_no_answer(self, auth, query):
        browser = auth.browser()
        _, back = await begin(browser)
        await self.refused(auth, browser, f"{back}{query}")

    async def test_a_token_without_a_state_is_no_answer(self, auth):
        answer = await auth.browser().get("/login/callback?access_token=pt-1")
        assert answer.status_code == 400


class TestThePortalToken:
    async def test_leaves_no_trace_in_logs_pages_and_referers(self, auth, provider, caplog, capfd):
        caplog.set_level("DEBUG")
        provider.tokens["pt-canary"] = {**NATURAL}
        browser = auth.browser()
        _, back = await begin(browser)
        answers = [await browser.get(f"{back}?access_token=pt-canary")]
        _, back = await begin(browser)
        answers += [await browser.get(f"{back}?access_token=pt-canary-wrong")]
        answers += [await browser.get(answers[-1].headers["location"])]
        for answer in answers[:2]:
            assert answer.status_code == 303
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
        written = (
            caplog.text + "".join(str(vars(record)) for record in caplog.records) + capfd.readouterr().err
        )
        shown = "".join(answer.text + str(answer.headers) for answer in answers)
        assert "login refused" in written
        for secret in ("pt-canary", "at-canary", SECRET):
            assert secret not in written + shown

    @pytest.mark.parametrize("trace", ["", "x", "0" * 31, "<script>"])
    async def test_the_page_of_a_refusal_repeats_nothing_from_its_address(self, auth, trace):
        answer = await auth.http.get(
            f"/login/refused/code-refused?trace={trace}&return_to=//evil.example/{trace}"
        )
        assert (answer.status_code, "登录凭证已失效" in answer.text) == (400, True)
        assert "<script>" not in answer.text
        assert "evil" not in answer.text
        other = await auth.http.get(f"/login/refused/who-knows?trace={'a' * 32}")
        assert (other.status_code, "登录未完成" in other.text) == (400, True)


class TestWhoTheyAre:
    async def test_somebody_new_waits_and_is_never_admitted_by_the_centre(self, auth):
        answer, browser = await come_back(auth)
        await assert_refused(auth, answer, browser, 403)
        [person] = await auth.rows("SELECT issuer, subject, name, kind, status FROM auth.person")
        assert person.pop("subject").startswith("ywtb:t1.")
        assert person == {"issuer": CENTRE, "name": "叶测试", "kind": "natural", "status": "pending"}

    async def test_neither_user_id_nor_identity_number_is_kept_anywhere(self, auth, capfd):
        await come_back(auth)
        await admit(auth)
        _, browser = await come_back(auth)
        tables = await auth.rows(
            "SELECT schemaname || chr(46) || tablename AS place FROM pg_tables WHERE schemaname IN ('auth', 'bus')"
        )
        kept = "".join([str(await auth.rows(f"SELECT t::text FROM {row['place']} t")) for row in tables])
        assert "叶测试" in kept, "the search finds what is there"
        asked = {"json": {"cookie": browser.cookies[SESSION]}}
        told = await auth.call("POST", "/internal/sessions/resolve", "service", who="service:portal", **asked)
        for value in (NATURAL["userId"], ID_NUMBER, NATURAL["mobile"]):
            assert value not in kept + told.text + capfd.readouterr().err

    @pytest.mark.parametrize(
        ("level", "acr"), [("初级", "urn:ywtb:1"), ("中级", "urn:ywtb:2"), ("高级", "urn:ywtb:3")]
    )
    async def test_how_sure_the_centre_is_stays_with_the_session(self, auth, provider, level, acr):
        provider.tokens["pt-1"]["level"] = level
        await come_back(auth)
        await admit(auth)
        await come_back(auth)
        [session] = await auth.rows("SELECT acr, id_token FROM auth.session")
        assert session == {"acr": acr, "id_token": None}

    @pytest.mark.parametrize("status", ["未激活", "注销", "", None, 1])
    async def test_an_account_that_is_not_active_stays_outside(self, auth, provider, status):
        provider.tokens["pt-1"]["status"] = status
        answer, browser = await come_back(auth)
        await assert_refused(auth, answer, browser, 403)
        assert "账号未激活" in answer.text
        assert await auth.rows("SELECT * FROM auth.person") == []

    async def test_a_level_below_the_one_asked_for_stays_outside(self, open_auth, provider):
        async with open_auth(network=provider, **SETTINGS, ywtb_min_level=3) as auth:
            answer, browser = await come_back(auth)
            await assert_refused(auth, answer, browser, 403)
            assert "实名等级不足" in answer.text

    @pytest.mark.parametrize("kind", ["机器人", "", None])
    async def test_who_is_neither_natural_nor_legal_is_not_believed(self, auth, provider, kind):
        provider.tokens["pt-1"]["type"] = kind
        answer, browser = await come_back(auth)
        await assert_refused(auth, answer, browser, 401)

    async def test_an_account_given_to_somebody_else_is_not_believed(self, auth, provider):
        await come_back(auth)
        await admit(auth)
        assert (await come_back(auth))[0].status_code == 303
        await auth.change("DELETE FROM auth.session")
        provider.tokens["pt-1"]["idCardNo"] = "310199199001010021"
        answer, browser = await come_back(auth)
        await assert_refused(auth, answer, browser, 401)

    async def test_the_same_person_is_known_after_a_rotation_of_our_keys(self, auth):
        await come_back(auth)
        await admit(auth)
        FileKeyProvider(auth.settings.secrets, auth.settings.env).rotate("token")
        ring = auth.app.state.resources.extra["parts"].provider._ring
        ring._loaded_at = float("-inf")
        before = await auth.rows("SELECT id, id_hash FROM auth.person")
        answer, _ = await come_back(auth)
        assert answer.status_code == 303
        [person] = await auth.rows("SELECT id, id_hash FROM auth.person")
        assert person["id"] == before[0]["id"]
        assert person["id_hash"] != before[0]["id_hash"], "kept under the newest key from now on"


class TestLegalPersons:
    @pytest.fixture
    async def body(self, auth, provider):
        provider.tokens["pt-1"] = dict(LEGAL)
        await come_back(auth)
        await admit(auth, "测试中学")
        [person] = await auth.rows("SELECT id, kind FROM auth.person")
        assert person["kind"] == "legal"
        return person["id"]

    async def test_deliver_and_apply(self, auth, body):
        answer = await auth.set_roles("people", body, "source_contact", "applicant")
        assert answer.status_code == 200, answer.text
        assert (await come_back(auth))[0].status_code == 303

    @pytest.mark.parametrize(
        "role", ["steward", "owner", "approver", "system_admin", "security_admin", "audit_admin"]
    )
    async def test_neither_decide_nor_administer(self, auth, body, role):
        answer = await auth.set_roles("people", body, role)
        assert answer.status_code == 409
        assert "法人账号只能" in answer.text

    async def test_are_told_apart_in_the_list_of_people(self, auth, body):
        listed = (await auth.call("GET", "/api/auth/people", "system_admin")).json()
        assert [one["kind"] for one in listed["items"]] == ["legal"]

    async def test_an_account_that_turns_from_a_body_into_a_human_is_not_believed(self, auth, provider, body):
        provider.tokens["pt-1"]["type"] = "个人"
        answer, browser = await come_back(auth)
        await assert_refused(auth, answer, browser, 401)


class TestSigningOut:
    async def leave(self, auth):
        await come_back(auth)
        await admit(auth)
        _, browser = await come_back(auth)
        answer = await browser.post("/logout", {}, origin="http://127.0.0.1:18100")
        assert await auth.rows("SELECT * FROM auth.session") == []
        return browser, answer.headers["location"]

    async def test_ends_only_our_own_session_and_says_so(self, auth):
        browser, place = await self.leave(auth)
        assert place == "/logout/done"
        assert "可能仍然有效" in (await browser.get(place)).text

    async def test_leads_to_the_configured_page_and_back(self, open_auth, provider):
        async with open_auth(network=provider, **SETTINGS, ywtb_logout_url=f"{CENTRE}/logout") as auth:
            browser, place = await self.leave(auth)
            assert place.startswith(
                f"{CENTRE}/logout?redirect_uri=http%3A%2F%2F127.0.0.1%3A18100%2Flogout%2Fdone"
            )
            back = place.split("state%3D")[1]
            assert "您已退出本系统和一网通办" in (await browser.get(f"/logout/done?state={back}")).text


class TestSettings:
    @pytest.mark.parametrize("name", ["ywtb_login_url", "ywtb_token_url", "ywtb_user_url", "ywtb_client_id"])
    def test_nothing_may_be_missing(self, name):
        with pytest.raises(ValidationError, match=f"EDULAKE_{name.upper()}"):
            AuthSettings(**{**SETTINGS, name: ""})

    @pytest.mark.parametrize(
        "name", ["ywtb_login_url", "ywtb_user_url", "ywtb_legal_login_url", "ywtb_logout_url"]
    )
    def test_nothing_but_tls(self, name):
        with pytest.raises(ValidationError, match="https"):
            AuthSettings(**{**SETTINGS, name: "http://user-centre.example/x"})

    def test_production_refuses_loopback_and_weak_secrets(self):
        real = {**SETTINGS, "env": "production", "public_url": "https://data.example"}
        assert AuthSettings(**real).login_provider == "ywtb"
        for change in ({"ywtb_token_url": "http://127.0.0.1/t"}, {"ywtb_client_secret": "changeme"}):
            with pytest.raises(ValidationError, match="EDULAKE_YWTB"):
                AuthSettings(**{**real, **change})

    async def test_every_relaxation_is_said_at_start(self, open_auth, provider, capfd):
        async with open_auth(network=provider, **SETTINGS, ywtb_mapping="zwdtsw"):
            said = [line for line in capfd.readouterr().err.splitlines() if "login is relaxed" in line]
        for word in (
            "no signed identity",
            "no nonce",
            "names no audience",
            "back-channel",
            "status",
            "level",
        ):
            assert any(word in one for one in said), word

    async def test_the_development_issuer_is_absent(self, auth):
        assert (await auth.http.get("/dev-issuer/jwks.json")).status_code == 404


class TestTheOtherPrefix:
    async def test_is_a_mapping_and_no_code(self, open_auth, provider):
        provider.tokens["pt-1"] = {
            "zwdtswUserId": "u-7",
            "zwdtswUserType": "个人",
            "zwdtswName": "叶测试",
            "zwdtswCertId": ID_NUMBER,
        }
        over = {**SETTINGS, "ywtb_mapping": "zwdtsw", "ywtb_min_level": 0}
        async with open_auth(network=provider, **over) as auth:
            await come_back(auth)
            await admit(auth)
            assert (await come_back(auth))[0].status_code == 303

    async def test_a_level_that_is_not_told_reaches_no_level_that_is_asked_for(self, open_auth, provider):
        provider.tokens["pt-1"] = {"zwdtswUserId": "u-7", "zwdtswUserType": "个人", "zwdtswName": "叶测试"}
        async with open_auth(network=provider, **SETTINGS, ywtb_mapping="zwdtsw") as auth:
            answer, browser = await come_back(auth)
            await assert_refused(auth, answer, browser, 403)


class TestMappings:
    @pytest.mark.parametrize("name", [path.stem for path in (find_standards() / "login").glob("*.yaml")])
    def test_of_the_house_are_whole(self, name):
        assert read_mapping(find_standards(), name).name == name

    @pytest.mark.parametrize(
        ("former", "latter"),
        [
            ("status: status\n", ""),
            ("active: [激活]\n", ""),
            ("levels: {", "lvls: {"),
            ("level: level\n", "level: level\n  colour: x\n"),
            ("name: ywtb", "name: other"),
            ("kinds: {", "relaxations: [status]\nkinds: {"),
        ],
    )
    def test_that_leave_something_unsaid_do_not_start(self, tmp_path, former, latter):
        text = (find_standards() / "login" / "ywtb.yaml").read_text(encoding="utf-8")
        assert former in text
        (tmp_path / "login").mkdir()
        (tmp_path / "login" / "ywtb.yaml").write_text(text.replace(former, latter, 1), encoding="utf-8")
        with pytest.raises(RuntimeError, match=r"ywtb\.yaml"):
            read_mapping(tmp_path, "ywtb")
