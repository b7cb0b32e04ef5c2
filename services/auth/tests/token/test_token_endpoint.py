"""The token endpoint to the letter of RFC 6749 and RFC 9068."""

import base64
import time

import pytest
from edulake.auth import jose

TOKEN = "/oauth/token"
FORM = {"grant_type": "client_credentials"}


async def keys_of(auth):
    return (await auth.http.get("/.well-known/jwks.json")).json()["keys"]


async def claims_of(auth, token):
    return jose.decode(token, jose.public_keys(await keys_of(auth)), ["EdDSA"])


class TestIssuing:
    async def test_a_token_says_whose_it_is_for_whom_and_how_long(self, auth):
        secret = await auth.new_client("demo", "applicant", "steward", district="310101")
        began = int(time.time())
        answer = await auth.token("demo", secret)
        assert answer.status_code == 200
        body = answer.json()
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
        token = await claims_of(auth, body["access_token"])
        assert token.header["typ"] == "at+jwt"
        assert token.header["alg"] == "EdDSA"
        said = token.claims
        expected = {
            "iss": "http://127.0.0.1:18100",
            "sub": "client:demo",
            "client_id": "demo",
            "aud": "edulake",
            "roles": ["applicant", "steward"],
            "org": "示范区教育局",
            "district": "310101",
        }
        assert {name: said[name] for name in expected} == expected
        assert said["exp"] - said["iat"] == 3600
        assert began <= said["iat"] <= time.time()

    async def test_a_token_says_who_answers_for_its_client(self, auth):
        secrets = {"alone": await auth.new_client("alone")}
        secrets["owned"] = await auth.new_client("owned", owner="person:li-steward")
        said = {}
        for client_id, secret in secrets.items():
            token = (await auth.token(client_id, secret)).json()["access_token"]
            said[client_id] = (await claims_of(auth, token)).claims["accountable"]
        assert said == {"alone": "client:alone", "owned": "person:li-steward"}

    async def test_an_answer_is_never_stored(self, auth):
        secret = await auth.new_client("demo")
        for answer in (await auth.token("demo", secret), await auth.token("demo", "wrong")):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["pragma"] == "no-cache"

    async def test_every_token_has_an_id_of_its_own(self, auth):
        secret = await auth.new_client("demo")
        tokens = [(await auth.token("demo", secret)).json()["access_token"] for _ in range(3)]
        assert len({(await claims_of(auth, token)).claims["jti"] for token in tokens}) == 3

    async def test_a_scope_narrows_the_roles(self, auth):
        secret = await auth.new_client("demo", "applicant", "steward")
        body = (await auth.token("demo", secret, scope="applicant")).json()
        assert body["scope"] == "applicant"
        assert (await claims_of(auth, body["access_token"])).claims["roles"] == ["applicant"]

    async def test_the_secret_may_stand_in_the_form(self, auth):
        secret = await auth.new_client("demo")
        answer = await auth.http.post(TOKEN, data={**FORM, "client_id": "demo", "client_secret": secret})
        assert answer.status_code == 200


class TestRefusing:
    @pytest.mark.parametrize(
        ("form", "error"),
        [
            ({}, "invalid_request"),
            ({"grant_type": ""}, "invalid_request"),
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
            ({**FORM, "scope": "system_admin"}, "invalid_scope"),
            ({**FORM, "scope": "applicant  applicant"}, "invalid_scope"),
            ({**FORM, "scope": "nonsense"}, "invalid_scope"),
        ],
    )
    async def test_says_what_is_wrong_in_the_words_of_the_standard(self, auth, form, error):
        secret = await auth.new_client("demo", "applicant")
        answer = await auth.http.post(TOKEN, data=form, auth=("demo", secret))
        assert (answer.status_code, answer.json()["error"]) == (400, error)
        assert answer.headers["content-type"] == "application/json"

    @pytest.mark.parametrize(
        "authorization",
        [
            "Basic",
            "Basic !!!",
            "Basic " + base64.b64encode(b"demo").decode(),
            "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
            "Basic " + base64.b64encode(b":x").decode(),
            "Basic " + base64.b64encode(b"demo:").decode(),
            "Basic " + base64.b64encode(b"demo:wrong").decode(),
            "Basic " + base64.b64encode(b"nobody:wrong").decode(),
            "Basic " + base64.b64encode(b"demo:" + b"x" * 5000).decode(),
            "Bearer abc",
            "Digest x",
        ],
    )
    async def test_a_client_that_does_not_prove_itself(self, auth, authorization):
        await auth.new_client("demo")
        answer = await auth.http.post(TOKEN, data=FORM, headers={"authorization": authorization})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic realm=")

    async def test_an_unknown_client_and_a_wrong_secret_look_alike(self, auth):
        await auth.new_client("demo")
        known, unknown = await auth.token("demo", "wrong"), await auth.token("nobody", "wrong")
        assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())

    async def test_a_disabled_client(self, auth):
        secret = await auth.new_client("demo")
        await auth.call("POST", "/api/auth/clients/demo/disable", "system_admin")
        answer = await auth.token("demo", secret)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    async def test_two_ways_of_authentication_at_once(self, auth):
        secret = await auth.new_client("demo")
        both = {**FORM, "client_id": "demo", "client_secret": secret}
        answer = await auth.http.post(TOKEN, data=both, auth=("demo", secret))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    async def test_a_parameter_sent_twice(self, auth):
        secret = await auth.new_client("demo")
        body = "grant_type=client_credentials&grant_type=client_credentials"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await auth.http.post(TOKEN, content=body, headers=headers, auth=("demo", secret))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    async def test_parameters_in_the_address_because_addresses_are_logged(self, auth):
        secret = await auth.new_client("demo")
        answer = await auth.http.post(f"{TOKEN}?client_secret=x", data=FORM, auth=("demo", secret))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
    async def test_another_content_type(self, auth, kind):
        answer = await auth.http.post(TOKEN, content=b"{}", headers={"content-type": kind})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    async def test_a_huge_body_and_a_flood_of_fields(self, auth):
        headers = {"content-type": "application/x-www-form-urlencoded"}
        for body in (b"a=" + b"x" * 50_000, b"&".join(b"a%d=1" % n for n in range(100)), b"a=\xff"):
            answer = await auth.http.post(TOKEN, content=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    async def test_nothing_that_was_sent_comes_back(self, auth):
        answer = await auth.token("canary-client", "canary-secret", scope="canary-scope")
        assert "canary" not in answer.text


class TestThrottling:
    async def test_too_many_failures_must_wait_even_with_the_right_secret(self, open_auth):
        async with open_auth(client_failures=3) as auth:
            secret = await auth.new_client("demo")
            answers = [(await auth.token("demo", "wrong")).status_code for _ in range(4)]
            late = await auth.token("demo", secret)
        assert answers == [401, 401, 401, 429]
        assert (late.status_code, late.json()["error"]) == (429, "invalid_client")
        assert int(late.headers["retry-after"]) > 0

    async def test_one_client_does_not_lock_out_another(self, open_auth):
        async with open_auth(client_failures=1) as auth:
            secret = await auth.new_client("other")
            for _ in range(3):
                await auth.token("demo", "wrong")
            assert (await auth.token("other", secret)).status_code == 200

    async def test_holds_when_redis_is_lost(self, open_auth):
        async with open_auth(client_failures=3, redis_url="redis://127.0.0.1:1/0") as auth:
            secret = await auth.new_client("demo")
            assert (await auth.token("demo", secret)).status_code == 200
            answers = [(await auth.token("demo", "wrong")).status_code for _ in range(4)]
            assert answers == [401, 401, 401, 429]

    async def test_the_wait_ends(self, open_auth):
        async with open_auth(client_failures=1) as auth:
            secret = await auth.new_client("demo")
            await auth.token("demo", "wrong")
            assert (await auth.token("demo", secret)).status_code == 429
            await auth.app.state.resources.redis.flushall()
            assert (await auth.token("demo", secret)).status_code == 200


class TestWhatTheServerSaysOfItself:
    async def test_metadata_names_the_public_addresses(self, auth):
        said = (await auth.http.get("/.well-known/oauth-authorization-server")).json()
        assert said["issuer"] == "http://127.0.0.1:18100"
        assert said["token_endpoint"] == "http://127.0.0.1:18100/oauth/token"
        assert said["jwks_uri"] == "http://127.0.0.1:18100/.well-known/jwks.json"
        assert said["grant_types_supported"] == ["client_credentials"]
        assert "none" not in said["token_endpoint_auth_signing_alg_values_supported"]

    async def test_the_key_set_holds_no_private_part(self, auth):
        for key in await keys_of(auth):
            assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}


class TestNothingSecretIsLogged:
    async def test_secrets_and_tokens_stay_out_of_the_log_and_the_database(self, auth, caplog, capfd):
        caplog.set_level("DEBUG")
        secret = await auth.new_client("demo")
        token = (await auth.token("demo", secret)).json()["access_token"]
        await auth.token("demo", "canary-wrong-secret")
        await auth.http.post(
            TOKEN, data={**FORM, "client_id": "demo", "client_secret": "canary-wrong-secret"}
        )
        await auth.http.post("/oauth/revoke", data={"token": token}, auth=("demo", secret))
        written = (
            caplog.text + "".join(str(vars(record)) for record in caplog.records) + capfd.readouterr().err
        )
        stored = str(
            [await auth.rows(f"SELECT * FROM auth.{name}") for name in ("client", "client_secret", "trail")]
        )
        assert "client authentication failed" in written
        for value in (secret, token, "canary-wrong-secret"):
            assert value not in written
            assert value not in stored
