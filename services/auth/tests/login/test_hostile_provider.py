"""A provider of our own that cheats in one way at a time; each way ends in a page and no session."""

import base64
import hashlib
import hmac
import json
import time

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from edulake.auth import jose
from edulake.auth.login.id_token import access_token_hash
from joserfc.jwk import ECKey, RSAKey

ISSUER = "https://idp.example"
SESSION = "__Host-edulake"
BROWSER = "__Host-edulake-login"
CALLBACK = "/login/callback"
KEY = ECKey.generate_key("P-256")
OTHER_KEY = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)


def b64(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header, claims, key=KEY):
    """A token with exactly this header, signed like ES256 whatever the header says."""
    body = f"{b64(header)}.{b64(claims)}"
    r, s = decode_dss_signature(key.private_key.sign(body.encode(), ECDSA(SHA256())))
    return f"{body}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class Provider(httpx.AsyncBaseTransport):
    """Honest until told otherwise; counts what is read of it."""

    def __init__(self):
        self.header = {"alg": "ES256", "typ": "JWT", "kid": "k1"}
        self.change = {}
        self.drop = ()
        self.token = None
        self.document = {}
        self.keys = [{**KEY.as_dict(private=False), "kid": "k1", "use": "sig", "alg": "ES256"}]
        self.userinfo = {"sub": "u-1", "name": "张三"}
        self.status = 200
        self.key = KEY
        self.nonce = ""
        self.reads = []
        self.seen = {}

    def claims(self):
        issued = int(time.time())
        honest = {
            "iss": ISSUER,
            "sub": "u-1",
            "aud": "edulake-portal",
            "iat": issued,
            "exp": issued + 300,
            "nonce": self.nonce,
            "at_hash": access_token_hash("ES256", "at-1"),
            "name": "张三",
        }
        return {name: value for name, value in {**honest, **self.change}.items() if name not in self.drop}

    async def handle_async_request(self, request):
        path = request.url.path
        self.reads.append(path)
        if self.status != 200:
            return httpx.Response(self.status, json={})
        if path == "/.well-known/openid-configuration":
            return httpx.Response(200, json=self.discovery())
        if path == "/jwks":
            return httpx.Response(200, json={"keys": self.keys})
        if path == "/userinfo":
            return httpx.Response(200, json=self.userinfo)
        self.seen = dict(httpx.QueryParams((await request.aread()).decode()))
        token = self.token(self) if self.token else signed(self.header, self.claims(), self.key)
        return httpx.Response(200, json={"access_token": "at-1", "token_type": "Bearer", "id_token": token})

    def discovery(self):
        honest = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "code_challenge_methods_supported": ["S256"],
        }
        return {**honest, **self.document}


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
async def auth(open_auth, provider):
    async with open_auth(network=provider, oidc_issuer=ISSUER) as running:
        yield running


async def admit_everybody(auth):
    await auth.change(
        f"INSERT INTO auth.person (id, issuer, subject, name, status, created_at) "
        f"SELECT 'person:' || s, '{ISSUER}', s, s, 'active', now() FROM unnest(ARRAY['u-1', 'u-2']) s"
    )


async def come_back(auth, provider, browser=None, **query):
    """Begin in a browser, let the provider answer, return what the callback says and the browser."""
    browser = browser or auth.browser()
    begun = await browser.begin()
    provider.nonce = begun["nonce"]
    asked = {"code": "c-1", "state": begun["state"], **query}
    asked = {name: value for name, value in asked.items() if value is not None}
    return await browser.get(f"{CALLBACK}?{httpx.QueryParams(asked)}"), browser


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
        monkeypatch.setattr(discovery, "_keys_read_at_s", discovery._keys_read_at_s - 61)
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
            {"code_challenge_methods_supported": ["plain"]},
        ],
    )
    async def test_nobody_is_sent_there(self, auth, provider, document):
        provider.document = document
        answer = await auth.browser().get("/login")
        assert answer.status_code == 503
        assert "location" not in answer.headers

    @pytest.mark.parametrize("status", [302, 404, 500])
    async def test_a_provider_that_fails_is_a_503_page(self, auth, provider, status):
        provider.status = status
        answer = await auth.browser().get("/login")
        assert (answer.status_code, answer.headers["content-type"][:9]) == (503, "text/html")


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
