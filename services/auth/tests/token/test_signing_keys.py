"""Keys turn over without anybody noticing: next is known before it signs, previous until it is spent."""

from datetime import timedelta

import orjson
import pytest
from edulake.auth import jose
from edulake.auth.command import rotate_keys
from edulake.common.clock import now
from edulake.common.gm import SealBroken, open_sealed


async def published(auth):
    return {key["kid"]: key for key in (await auth.http.get("/.well-known/jwks.json")).json()["keys"]}


async def states(auth):
    found = await auth.rows("SELECT state, kid FROM auth.signing_key ORDER BY created_at")
    return [(row["state"], row["kid"]) for row in found]


def kid_of(token):
    import base64

    head = token.split(".")[0]
    return orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]


class TestRotation:
    async def test_begins_with_one_current_and_one_next_key(self, auth):
        assert sorted(state for state, _ in await states(auth)) == ["current", "next"]

    async def test_the_next_key_was_published_before_it_signs(self, auth):
        before = await published(auth)
        kid = await auth.app.state.resources.extra["parts"].signing.rotate("service:test")
        secret = await auth.new_client("demo")
        token = (await auth.token("demo", secret)).json()["access_token"]
        assert kid_of(token) == kid
        assert kid in before

    async def test_old_tokens_verify_until_they_expire_and_then_the_key_is_gone(self, auth):
        secret = await auth.new_client("demo")
        token = (await auth.token("demo", secret)).json()["access_token"]
        await auth.app.state.resources.extra["parts"].signing.rotate("service:test")
        keys = jose.public_keys((await published(auth)).values())
        assert jose.decode(token, keys, ["EdDSA"]).claims["client_id"] == "demo"
        until = (await auth.rows("SELECT until FROM auth.signing_key WHERE state = 'previous'"))[0]["until"]
        assert until > now() + timedelta(seconds=3600)
        await auth.change("UPDATE auth.signing_key SET until = now() WHERE state = 'previous'")
        assert kid_of(token) not in await published(auth)

    async def test_the_command_rotates_under_a_running_service(self, auth, monkeypatch):
        secret = await auth.new_client("demo")
        await auth.token("demo", secret)
        kid = await rotate_keys(auth.settings, auth.database)
        signing = auth.app.state.resources.extra["parts"].signing
        monkeypatch.setattr(signing, "_current", None)  # as after `signing_key_cache_s`
        assert kid_of((await auth.token("demo", secret)).json()["access_token"]) == kid

    async def test_many_rotations_leave_one_current_one_next_and_the_unspent(self, auth):
        for _ in range(3):
            await auth.app.state.resources.extra["parts"].signing.rotate("service:test")
        assert sorted(state for state, _ in await states(auth)) == ["current", "next"] + ["previous"] * 3

    async def test_is_written_to_the_trail(self, auth):
        await auth.app.state.resources.extra["parts"].signing.rotate("person:x")
        assert {"kind": "signing-key.rotated", "by": "person:x"} in await auth.rows(
            "SELECT kind, by FROM auth.trail"
        )


class TestStorage:
    async def test_private_keys_are_sealed_for_their_own_row(self, auth):
        first, second = await auth.rows("SELECT kid, sealed FROM auth.signing_key")
        ring = auth.app.state.resources.keys.ring("seal")
        opened = open_sealed(ring, first["sealed"], b"auth.signing_key|" + first["kid"].encode())
        assert orjson.loads(opened)["d"] not in first["sealed"]
        with pytest.raises(SealBroken):
            open_sealed(ring, first["sealed"], b"auth.signing_key|" + second["kid"].encode())

    async def test_a_restart_keeps_the_keys(self, open_auth):
        async with open_auth() as auth:
            before = await states(auth)
        async with open_auth() as auth:
            assert await states(auth) == before
