"""Clients that prove themselves with a key (RFC 7523)."""

import base64
import time
import uuid

import pytest
from edulake.auth import jose
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ISSUER = "http://127.0.0.1:18100"
KEYS = {
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
    "RS256": RSAKey.generate_key(2048),
}
#: An RSA key of 1024 bits: everything about it is in order but its size.
WEAK = {
    "kty": "RSA",
    "e": "AQAB",
    "n": base64.urlsafe_b64encode(b"\xc5" * 127 + b"\x01").rstrip(b"=").decode(),
}


def claims(**change):
    honest = {
        "iss": "demo",
        "sub": "demo",
        "aud": f"{ISSUER}/oauth/token",
        "exp": int(time.time()) + 60,
        "iat": int(time.time()),
        "jti": uuid.uuid4().hex,
    }
    return {name: value for name, value in {**honest, **change}.items() if value is not None}


def made(alg="EdDSA", key=None, **change):
    key = key or KEYS[alg]
    return jose.encode(claims(**change), key, alg=alg, kid=KEYS[alg].thumbprint(), typ="JWT")


async def ask(auth, assertion, **form):
    data = {
        "grant_type": "client_credentials",
        "client_assertion_type": TYPE,
        "client_assertion": assertion,
        **form,
    }
    return await auth.http.post("/oauth/token", data=data)


async def register(auth, *keys):
    body = {"keys": [key.as_dict(private=False) for key in keys]}
    return await auth.call("PUT", "/api/auth/clients/demo/keys", "system_admin", json=body)


@pytest.fixture
async def demo(auth):
    await auth.new_client("demo", "applicant")
    assert (await register(auth, *KEYS.values())).status_code == 200
    return auth


def refused(answer):
    return (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


class TestProvingByKey:
    @pytest.mark.parametrize("alg", KEYS)
    async def test_each_allowed_algorithm(self, demo, alg):
        assert (await ask(demo, made(alg))).status_code == 200

    @pytest.mark.parametrize("audience", [ISSUER, [f"{ISSUER}/oauth/token"]])
    async def test_the_audience_may_be_the_issuer_or_a_list_of_one(self, demo, audience):
        assert (await ask(demo, made(aud=audience))).status_code == 200

    async def test_an_assertion_is_good_once(self, demo):
        assertion = made()
        assert (await ask(demo, assertion)).status_code == 200
        assert refused(await ask(demo, assertion))

    async def test_a_replay_fails_even_when_redis_is_lost(self, open_auth):
        async with open_auth(redis_url="redis://127.0.0.1:1/0") as auth:
            await auth.new_client("demo")
            await register(auth, *KEYS.values())
            assertion = made()
            assert (await ask(auth, assertion)).status_code == 200
            assert refused(await ask(auth, assertion))

    async def test_an_id_used_stays_used_though_the_request_failed_otherwise(self, demo):
        assertion = made()
        assert (await ask(demo, assertion, scope="nonsense")).json()["error"] == "invalid_scope"
        assert refused(await ask(demo, assertion))

    async def test_a_replaced_key_proves_nothing(self, demo):
        await register(demo, ECKey.generate_key("P-256"))
        assert refused(await ask(demo, made()))

    async def test_a_disabled_client_proves_nothing(self, demo):
        await demo.call("POST", "/api/auth/clients/demo/disable", "system_admin")
        assert refused(await ask(demo, made()))


class TestRefusingAssertions:
    @pytest.mark.parametrize(
        "change",
        [
            {"iss": "other"},
            {"sub": "other"},
            {"iss": None},
            {"aud": "https://other.example"},
            {"aud": [ISSUER, "https://other.example"]},
            {"aud": None},
            {"exp": None},
            {"exp": int(time.time()) - 61},
            {"exp": int(time.time()) + 3600},
            {"exp": "soon"},
            {"exp": float("1e400")},
            {"iat": int(time.time()) + 3600},
            {"nbf": int(time.time()) + 3600},
            {"jti": None},
            {"jti": ""},
            {"jti": 7},
            {"jti": "x" * 129},
        ],
    )
    async def test_with_wrong_claims(self, demo, change):
        assert refused(await ask(demo, made(**change)))

    async def test_signed_by_another_key(self, demo):
        assert refused(await ask(demo, made("EdDSA", OKPKey.generate_key("Ed25519"))))

    async def test_of_a_client_without_keys(self, auth):
        await auth.new_client("demo")
        assert refused(await ask(auth, made()))

    async def test_of_a_client_that_does_not_exist(self, auth):
        assert refused(await ask(auth, made()))

    @pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "..", "e30.e30.e30", "e30.bnVsbA.x"])
    async def test_that_cannot_be_read(self, demo, assertion):
        answer = await ask(demo, assertion)
        assert answer.status_code in (400, 401)
        assert answer.json()["error"] in ("invalid_request", "invalid_client")

    async def test_with_another_type(self, demo):
        answer = await ask(demo, made(), client_assertion_type="urn:x")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    async def test_for_another_client_than_the_form_names(self, demo):
        assert refused(await ask(demo, made(), client_id="other"))


class TestRegisteringKeys:
    @pytest.mark.parametrize(
        "document",
        [
            KEYS["EdDSA"].as_dict(private=True),
            OctKey.generate_key(256).as_dict(private=True),
            WEAK,
            {"kty": "EC"},
            {"kty": "none"},
            {},
        ],
        ids=["private", "symmetric", "weak", "empty", "unknown", "nothing"],
    )
    async def test_only_strong_public_keys(self, auth, document):
        await auth.new_client("demo")
        body = {"keys": [document]}
        answer = await auth.call("PUT", "/api/auth/clients/demo/keys", "system_admin", json=body)
        assert answer.status_code == 422
        assert answer.json()["where"] == "body.keys.0"
        assert await auth.rows("SELECT keys FROM auth.client") == [{"keys": []}]
