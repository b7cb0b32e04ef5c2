"""A provider of our own that cheats in one way at a time; each way ends in a page and no session."""

import hashlib
import hmac
import time

import pytest
from edulake.auth import jose

from .provider import (
    CALLBACK,
    ISSUER,
    KEY,
    OTHER_KEY,
    RSA,
    SESSION,
    Provider,
    admit_everybody,
    b64,
    come_back,
    signed,
)


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
async def auth(open_auth, provider):
    async with open_auth(network=provider, oidc_issuer=ISSUER) as running:
        yield running


async def assert_refused(auth, answer, browser, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "重新登录" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert SESSION not in browser.cookies
    assert await auth.rows("SELECT * FROM auth.session") == []


class TestAnHonestProvider:
    async def test_is_believed(self, auth, provider):
        await admit_everybody(auth)
        answer, browser = await come_back(auth, provider)
        assert answer.status_code == 303, answer.text
        assert SESSION in browser.cookies

    async def test_is_sent_the_verifier_of_the_challenge(self, auth, provider):
        browser = auth.browser()
        begun = await browser.begin()
        await browser.get(f"{CALLBACK}?code=c&state={begun['state']}")
        hashed = hashlib.sha256(provider.seen["code_verifier"].encode()).digest()
        assert b64(hashed) == begun["code_challenge"]

    async def test_may_leave_the_name_to_userinfo(self, auth, provider):
        await admit_everybody(auth)
        provider.drop = ("name",)
        assert (await come_back(auth, provider))[0].status_code == 303

    async def test_a_person_is_the_subject_and_never_the_name(self, auth, provider):
        await admit_everybody(auth)
        provider.change = {"sub": "u-3", "name": "u-1"}
        answer, browser = await come_back(auth, provider)
        await assert_refused(auth, answer, browser, 403)

    async def test_the_same_subject_of_another_issuer_is_another_person(self, auth, provider):
        await auth.change(
            "INSERT INTO auth.person (id, issuer, subject, name, status, created_at) "
            "VALUES ('person:u-1', 'https://former.example', 'u-1', 'x', 'active', now())"
        )
        answer, browser = await come_back(auth, provider)
        await assert_refused(auth, answer, browser, 403)

    async def test_may_rotate_its_key_without_our_restart(self, auth, provider, monkeypatch):
        await admit_everybody(auth)
        assert (await come_back(auth, provider))[0].status_code == 303
        provider.key, provider.header = OTHER_KEY, {**provider.header, "kid": "k2"}
        provider.keys.append({**OTHER_KEY.as_dict(private=False), "kid": "k2", "use": "sig"})
        refused, _ = await come_back(auth, provider)
        assert refused.status_code == 401  # read less than a minute ago
        discovery = auth.app.state.resources.extra["parts"].provider._discovery
        monkeypatch.setattr(discovery, "_keys_wait_until_s", discovery._keys_wait_until_s - 61)
        assert (await come_back(auth, provider))[0].status_code == 303


def hs256_with_the_public_key(provider):
    body = f"{b64({'alg': 'HS256', 'typ': 'JWT', 'kid': 'k1'})}.{b64(provider.claims())}"
    pem = KEY.as_pem(private=False)
    return f"{body}.{b64(hmac.new(pem, body.encode(), hashlib.sha256).digest())}"


def unsigned(provider):
    return f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(provider.claims())}."


def unsigned_in_capitals(provider):
    return f"{b64({'alg': 'nOnE', 'typ': 'JWT', 'kid': 'k1'})}.{b64(provider.claims())}."


def signature_stripped(provider):
    return signed(provider.header, provider.claims()).rsplit(".", 1)[0] + "."


def own_key_in_the_header(provider):
    header = {**provider.header, "jwk": OTHER_KEY.as_dict(private=False)}
    return signed(header, provider.claims(), OTHER_KEY)


def key_behind_an_address(provider):
    return signed({**provider.header, "jku": "https://evil.example/jwks"}, provider.claims(), OTHER_KEY)


def certificate_behind_an_address(provider):
    return signed({**provider.header, "x5u": "https://evil.example/x5"}, provider.claims(), OTHER_KEY)


def key_id_is_a_path(provider):
    return signed({**provider.header, "kid": "../../../dev/null"}, provider.claims(), OTHER_KEY)


def key_id_is_sql(provider):
    return signed({**provider.header, "kid": "' OR 1=1 --"}, provider.claims(), OTHER_KEY)


def key_id_is_not_text(provider):
    return signed({**provider.header, "kid": ["k1"]}, provider.claims(), OTHER_KEY)


def another_algorithm(provider):
    return jose.encode(provider.claims(), RSA, alg="RS256", kid="k1", typ="JWT")


def unknown_critical_extension(provider):
    return signed({**provider.header, "crit": ["x"], "x": 1}, provider.claims())


def another_key(provider):
    return signed(provider.header, provider.claims(), OTHER_KEY)


def access_token_for_id_token(provider):
    return signed({**provider.header, "typ": "at+jwt"}, provider.claims())


def not_a_token(_provider):
    return "not.a.token"


def claims_are_a_list(provider):
    return signed({**provider.header, "cty": "json"}, ["iss"])


FORGERIES = [
    hs256_with_the_public_key,
    unsigned,
    unsigned_in_capitals,
    signature_stripped,
    own_key_in_the_header,
    key_behind_an_address,
    certificate_behind_an_address,
    key_id_is_a_path,
    key_id_is_sql,
    key_id_is_not_text,
    another_algorithm,
    unknown_critical_extension,
    another_key,
    access_token_for_id_token,
    not_a_token,
    claims_are_a_list,
]


class TestAForgedToken:
    @pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
    async def test_is_not_believed(self, auth, provider, forge):
        await admit_everybody(auth)
        provider.token = forge
        answer, browser = await come_back(auth, provider)
        await assert_refused(auth, answer, browser, 401)

    async def test_nothing_is_fetched_from_an_address_in_a_token(self, auth, provider):
        provider.token = key_behind_an_address
        await come_back(auth, provider)
        assert set(provider.reads) == {"/.well-known/openid-configuration", "/token", "/jwks"}

    async def test_forged_key_ids_do_not_make_us_read_the_keys_again_and_again(self, auth, provider):
        provider.token = key_id_is_a_path
        for _ in range(5):
            await come_back(auth, provider)
        assert provider.reads.count("/jwks") == 1

    async def test_the_public_key_as_shared_secret_in_the_jwks_is_left_out(self, auth, provider):
        await admit_everybody(auth)
        provider.keys.append({"kty": "oct", "k": b64(b"x" * 32), "kid": "k1", "use": "sig"})
        provider.token = hs256_with_the_public_key
        answer, browser = await come_back(auth, provider)
        await assert_refused(auth, answer, browser, 401)


WRONG_CLAIMS = {
    "other issuer": {"iss": "https://other.example"},
    "issuer with a slash": {"iss": f"{ISSUER}/"},
    "other audience": {"aud": "somebody-else"},
    "audience missing ours": {"aud": ["a", "b"]},
    "several audiences without azp": {"aud": ["edulake-portal", "other"]},
    "other azp": {"azp": "other"},
    "expired": {"exp": int(time.time()) - 61},
    "expiry not a number": {"exp": "never"},
    "expiry is a boolean": {"exp": True},
    "issued in the future": {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 7200},
    "issued long ago": {"iat": int(time.time()) - 7200},
    "not yet valid": {"nbf": int(time.time()) + 3600},
    "wrong nonce": {"nonce": "somebody-elses"},
    "nonce not text": {"nonce": 7},
    "wrong at_hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "session is not text": {"sid": 7},
    "empty subject": {"sub": ""},
    "subject not text": {"sub": 7},
    "very long subject": {"sub": "x" * 300},
}


class TestAWronglyMadeToken:
    @pytest.mark.parametrize("change", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS.keys())
    async def test_is_not_believed(self, auth, provider, change):
        await admit_everybody(auth)
        provider.change = change
        answer, browser = await come_back(auth, provider)
        await assert_refused(auth, answer, browser, 401)

    @pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "nonce"])
    async def test_must_carry_every_claim(self, auth, provider, name):
        await admit_everybody(auth)
        provider.drop = (name,)
        answer, browser = await come_back(auth, provider)
        await assert_refused(auth, answer, browser, 401)

    async def test_within_the_leeway_of_clocks_is_believed(self, auth, provider):
        await admit_everybody(auth)
        provider.change = {"iat": int(time.time()) + 30, "exp": int(time.time()) + 300}
        assert (await come_back(auth, provider))[0].status_code == 303

    async def test_userinfo_about_somebody_else_is_not_believed(self, auth, provider):
        await admit_everybody(auth)
        provider.drop, provider.userinfo = ("name",), {"sub": "u-2", "name": "李四"}
        answer, browser = await come_back(auth, provider)
        await assert_refused(auth, answer, browser, 401)


class TestAnAnswerThatIsNotOurs:
    async def test_without_state(self, auth, provider):
        answer, browser = await come_back(auth, provider, state=None)
        await assert_refused(auth, answer, browser, 400)

    async def test_with_a_state_nobody_began(self, auth, provider):
        answer, browser = await come_back(auth, provider, state="A" * 43)
        await assert_refused(auth, answer, browser, 400)

    async def test_with_a_replayed_state(self, auth, provider):
        await admit_everybody(auth)
        browser = auth.browser()
        begun = await browser.begin()
        provider.nonce = begun["nonce"]
        address = f"{CALLBACK}?code=c-1&state={begun['state']}"
        assert (await browser.get(address)).status_code == 303
        browser.cookies.pop(SESSION)
        again = await browser.get(address)
        assert again.status_code == 400
        assert SESSION not in browser.cookies

    async def test_in_another_browser(self, auth, provider):
        await admit_everybody(auth)
        victim, attacker = auth.browser(), auth.browser()
        begun = await attacker.begin()
        await victim.begin()
        provider.nonce = begun["nonce"]
        answer = await victim.get(f"{CALLBACK}?code=c-1&state={begun['state']}")
        await assert_refused(auth, answer, victim, 400)

    async def test_in_a_browser_without_the_cookie(self, auth, provider):
        await admit_everybody(auth)
        browser = auth.browser()
        begun = await browser.begin()
        provider.nonce = begun["nonce"]
        browser.cookies.clear()
        answer = await browser.get(f"{CALLBACK}?code=c-1&state={begun['state']}")
        await assert_refused(auth, answer, browser, 400)

    async def test_after_ten_minutes(self, auth, provider):
        await admit_everybody(auth)
        browser = auth.browser()
        begun = await browser.begin()
        provider.nonce = begun["nonce"]
        await auth.change("UPDATE auth.login_attempt SET expires_at = expires_at - interval '601 seconds'")
        answer = await browser.get(f"{CALLBACK}?code=c-1&state={begun['state']}")
        await assert_refused(auth, answer, browser, 400)

    async def test_that_names_another_issuer(self, auth, provider):
        answer, browser = await come_back(auth, provider, iss="https://other.example")
        await assert_refused(auth, answer, browser, 400)

    async def test_that_names_no_issuer_though_the_provider_promised(self, auth, provider):
        provider.document = {"authorization_response_iss_parameter_supported": True}
        answer, browser = await come_back(auth, provider)
        await assert_refused(auth, answer, browser, 400)

    async def test_that_names_a_parameter_twice(self, auth, provider):
        browser = auth.browser()
        begun = await browser.begin()
        answer = await browser.get(f"{CALLBACK}?code=c&state={begun['state']}&code=d")
        await assert_refused(auth, answer, browser, 400)

    async def test_an_error_of_the_provider_is_not_repeated_to_the_person(self, auth, provider):
        words = "<script>alert(1)</script>"
        answer, browser = await come_back(auth, provider, error=words, error_description=words)
        await assert_refused(auth, answer, browser, 400)
        assert "<script>" not in answer.text


class TestAProviderThatContradictsItself:
    @pytest.mark.parametrize(
        "document",
        [
            {"issuer": "https://other.example"},
            {"issuer": f"{ISSUER}/"},
            {"issuer": None},
            {"token_endpoint": "http://idp.example.org/token"},
            {"authorization_endpoint": "javascript:alert(1)"},
            {"jwks_uri": "file:///etc/passwd"},
            {"token_endpoint": None},
            {"end_session_endpoint": "javascript:alert(1)"},
            {"end_session_endpoint": "https://[evil/"},
            {"code_challenge_methods_supported": ["plain"]},
        ],
    )
    async def test_nobody_is_sent_there(self, auth, provider, document):
        provider.document = document
        answer = await auth.browser().get("/login")
        assert answer.status_code == 502
        assert "location" not in answer.headers


class TestNothingSecretIsLogged:
    async def test_codes_tokens_states_and_verifiers_stay_out_of_the_log(self, auth, provider, caplog, capfd):
        await admit_everybody(auth)
        caplog.set_level("DEBUG")
        browser = auth.browser()
        begun = await browser.begin()
        provider.nonce = begun["nonce"]
        await browser.get(f"{CALLBACK}?code=canary-code&state={begun['state']}")
        provider.change = {"nonce": "wrong"}
        await come_back(auth, provider, code="canary-code")
        written = (
            caplog.text + "".join(str(vars(record)) for record in caplog.records) + capfd.readouterr().err
        )
        secret = [begun["state"], begun["nonce"], "canary-code", "at-1", provider.seen["code_verifier"]]
        secret += list(browser.cookies.values())
        assert "login refused" in written
        assert [value for value in secret if value in written] == []
