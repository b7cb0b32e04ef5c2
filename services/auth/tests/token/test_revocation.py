"""Revoking: a client its own tokens, an administrator any; announced in the same transaction."""

import asyncio
import base64
import time
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from edulake.auth.client import repository as clients
from edulake.auth.client.office import set_client_roles
from edulake.auth.role.schemas import RolesIn
from edulake.auth.token import service
from edulake.common.clock import now

FORM = {"grant_type": "client_credentials"}


def claims(token):
    body = token.split(".")[1]
    return orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


async def revoke(auth, client_id, secret, token, **more):
    return await auth.http.post("/oauth/revoke", data={"token": token, **more}, auth=(client_id, secret))


async def announced(auth):
    return await auth.announced("access.token.revoked.v1")


class TestAClientRevokingItsToken:
    async def test_is_announced_with_the_token_id_and_its_expiry(self, auth):
        secret = await auth.new_client("demo")
        token = (await auth.token("demo", secret)).json()["access_token"]
        assert (await revoke(auth, "demo", secret, token, token_type_hint="access_token")).status_code == 200
        [event] = await announced(auth)
        assert event["jti"] == claims(token)["jti"]
        assert event["client_id"] is None
        expires = datetime.fromisoformat(event["expires_at"])
        assert expires == datetime.fromtimestamp(claims(token)["exp"], UTC)

    async def test_the_token_of_another_client_stays_good(self, auth):
        theirs, ours = await auth.new_client("theirs"), await auth.new_client("ours")
        token = (await auth.token("theirs", theirs)).json()["access_token"]
        answer = await revoke(auth, "ours", ours, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        assert await announced(auth) == []

    @pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 20_000])
    async def test_what_is_no_token_of_ours_is_no_error(self, auth, token):
        secret = await auth.new_client("demo")
        assert (await revoke(auth, "demo", secret, token)).status_code == 200
        assert await announced(auth) == []

    async def test_needs_a_token_and_an_authenticated_client(self, auth):
        secret = await auth.new_client("demo")
        missing = await auth.http.post("/oauth/revoke", data={"x": "y"}, auth=("demo", secret))
        assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")
        stranger = await revoke(auth, "demo", "wrong", "x")
        assert (stranger.status_code, stranger.json()["error"]) == (401, "invalid_client")


class TestAnAdministratorRevoking:
    async def test_one_token_by_its_id(self, auth):
        body = {"jti": "abc", "reason": "泄露"}
        answer = await auth.call("POST", "/api/auth/revocations", "security_admin", json=body)
        assert answer.status_code == 201
        [event] = await announced(auth)
        assert (event["jti"], event["client_id"]) == ("abc", None)
        assert datetime.fromisoformat(event["expires_at"]).timestamp() > time.time() + 3600

    async def test_every_token_of_a_client(self, auth):
        body, began = {"client_id": "demo", "reason": "泄露"}, now()
        await auth.call("POST", "/api/auth/revocations", "system_admin", json=body)
        [event] = await announced(auth)
        assert (event["jti"], event["client_id"]) == (None, "demo")
        assert began <= datetime.fromisoformat(event["before"]) <= now()

    @pytest.mark.parametrize(
        "role", ["steward", "owner", "approver", "source_contact", "applicant", "audit_admin"]
    )
    async def test_nobody_else_may(self, auth, role):
        body = {"jti": "abc", "reason": "泄露"}
        answer = await auth.call("POST", "/api/auth/revocations", role, json=body)
        assert answer.status_code == 403
        assert await announced(auth) == []

    @pytest.mark.parametrize("body", [{}, {"jti": "a", "client_id": "b"}, {"jti": ""}])
    async def test_one_of_token_and_client_must_be_named(self, auth, body):
        answer = await auth.call(
            "POST", "/api/auth/revocations", "system_admin", json={"reason": "泄露", **body}
        )
        assert answer.status_code == 422

    async def test_event_and_record_stand_or_fall_together(self, auth):
        await auth.change("ALTER TABLE bus.log ADD CONSTRAINT stop CHECK (name <> 'access.token.revoked.v1')")
        body = {"jti": "abc", "reason": "泄露"}
        answer = await auth.call("POST", "/api/auth/revocations", "system_admin", json=body)
        assert answer.status_code == 500
        assert await auth.rows("SELECT * FROM auth.revocation") == []


class TestReplicasWhoseClocksDiffer:
    """One clock decides whether a token was issued before a revocation: the database's."""

    async def test_a_token_of_a_fast_one_does_not_outlive_a_revocation_of_a_slow_one(self, auth, monkeypatch):
        secret = await auth.new_client("demo")
        with monkeypatch.context() as fast:
            fast.setattr(time, "time", lambda real=time.time: real() + 300)
            token = (await auth.token("demo", secret)).json()["access_token"]
        with monkeypatch.context() as slow:
            slow.setattr(service, "now", lambda: now() - timedelta(seconds=300), raising=False)
            body = {"client_id": "demo", "reason": "泄露"}
            await auth.call("POST", "/api/auth/revocations", "system_admin", json=body)
        [event] = await announced(auth)
        assert claims(token)["iat"] <= datetime.fromisoformat(event["before"]).timestamp()
        assert datetime.fromisoformat(event["expires_at"]).timestamp() > claims(token)["exp"]

    async def test_a_proof_waits_for_a_change_of_its_client_under_way(self, auth):
        """Otherwise it reads the old roles, and its token, issued after `before`, keeps them."""
        secret = await auth.new_client("demo", "steward", "applicant")
        async with auth.database.transaction() as session:
            client = await clients.lock(session, "demo")
            asked = asyncio.create_task(auth.token("demo", secret))
            while not await auth.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
                assert not asked.done(), "the token was issued in the middle of the change"
            wanted = RolesIn(roles=frozenset({"applicant"}))
            await set_client_roles(session, auth.settings, client, wanted, by="person:x")
        assert (await asked).json()["scope"] == "applicant"


class TestWhatElseVoidsTokens:
    async def test_disabling_the_client(self, auth):
        await auth.new_client("demo")
        await auth.call("POST", "/api/auth/clients/demo/disable", "security_admin")
        assert [event["client_id"] for event in await announced(auth)] == ["demo"]
        assert [e["status"] for e in await auth.announced("access.client.changed.v1")] == [
            "active",
            "disabled",
        ]

    async def test_taking_a_role_away(self, auth):
        await auth.new_client("demo", "steward", "applicant")
        await auth.set_roles("clients", "demo", "applicant")
        assert [event["client_id"] for event in await announced(auth)] == ["demo"]

    async def test_giving_a_role_does_not(self, auth):
        await auth.new_client("demo", "applicant")
        await auth.set_roles("clients", "demo", "applicant", "steward")
        assert await announced(auth) == []


class TestSoonAfter:
    """For as long as the gateway forgives a clock that is ahead, it refuses what was issued after a revocation."""

    async def test_no_token_is_given_that_would_be_refused_for_its_whole_life(self, open_auth):
        async with open_auth(token_leeway_s=30) as auth:
            secret = await auth.new_client("demo", "applicant", "steward")
            assert (await auth.set_roles("clients", "demo", "applicant")).status_code == 200
            asked = await auth.http.post("/oauth/token", data=FORM, auth=("demo", secret))
            assert (asked.status_code, asked.json()["error"]) == (503, "temporarily_unavailable")
            wait_s = int(asked.headers["retry-after"])
            assert 1 <= wait_s <= 31
            await auth.change(f"UPDATE auth.revocation SET before = before - interval '{wait_s} s'")
            issued = await auth.token("demo", secret)
            assert (issued.status_code, issued.json()["scope"]) == (200, "applicant")
            (revoked,) = await auth.rows(
                "SELECT extract(epoch FROM before)::float AS before FROM auth.revocation"
            )
            assert claims(issued.json()["access_token"])["iat"] > revoked["before"] + 30

    async def test_another_client_and_another_token_do_not_wait(self, open_auth):
        async with open_auth(token_leeway_s=30) as auth:
            secret, other = await auth.new_client("demo", "applicant"), await auth.new_client("other")
            token = (await auth.token("demo", secret)).json()["access_token"]
            form = {"token": token, "client_id": "demo", "client_secret": secret}
            assert (await auth.http.post("/oauth/revoke", data=form)).status_code == 200
            for client_id, proof in (("demo", secret), ("other", other)):
                asked = await auth.http.post("/oauth/token", data=FORM, auth=(client_id, proof))
                assert asked.status_code == 200
