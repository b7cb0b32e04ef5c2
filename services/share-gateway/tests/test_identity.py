"""Tokens as they are forged, confused, expired and revoked; and the issuer being away."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from edulake.common.clock import now
from edulake.common.events import AccessClientChanged, AccessTokenRevoked
from edulake.share_gateway.grant.repository import put_client, put_revocation
from joserfc.jwk import OKPKey

Give = Callable[..., Awaitable[Any]]


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def part(members: dict[str, Any]) -> str:
    return text(json.dumps(members).encode())


async def status(gateway: Any, token: str) -> int:
    answer = await gateway.http.get("/share/v1/schools", headers={"Authorization": f"Bearer {token}"})
    return int(answer.status_code)


@pytest.fixture
async def open_gateway(give: Give, gateway: Any) -> Any:
    """A gateway where client `app` may call `schools`."""
    await give()
    await gateway.plane.follower.look()
    return gateway


class TestForgedTokens:
    async def test_the_honest_token_passes(self, open_gateway: Any, issuer: Any) -> None:
        assert await status(open_gateway, issuer.token()) == 200

    @pytest.mark.parametrize(
        "header",
        [
            {"alg": "none"},
            {"alg": "None"},
            {"alg": "HS256"},
            {"alg": "RS256"},
            {"alg": "Ed25519"},
            {"typ": "JWT"},
            {"typ": "id+jwt"},
            {"kid": "../../etc/passwd"},
            {"kid": "unknown"},
            {"kid": None},
            {"jku": "http://127.0.0.1:1/keys"},
            {"x5u": "http://127.0.0.1:1/cert"},
            {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
            {"crit": ["exp"]},
            {"b64": False},
            {"zip": "DEF"},
        ],
    )
    async def test_no_header_but_ours_is_believed(
        self, open_gateway: Any, issuer: Any, header: dict[str, Any]
    ) -> None:
        _, claims, signature = issuer.token().split(".")
        honest = {"alg": "EdDSA", "typ": "at+jwt", "kid": issuer.key.kid}
        assert await status(open_gateway, f"{part({**honest, **header})}.{claims}.{signature}") == 401
        assert await status(open_gateway, f"{part({**honest, **header})}.{claims}.") == 401

    async def test_a_key_that_comes_with_the_token_is_not_used(self, open_gateway: Any, issuer: Any) -> None:
        own = type(issuer)(key=OKPKey.generate_key("Ed25519", {"kid": "k1"}), issuer=issuer.issuer)
        assert await status(open_gateway, own.token()) == 401
        assert await status(open_gateway, own.token(header={"jwk": own.key.as_dict(private=False)})) == 401

    async def test_the_public_key_is_no_shared_secret(self, open_gateway: Any, issuer: Any) -> None:
        signed = f"{part({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'k1'})}.{part(issuer.claims())}"
        public = issuer.key.as_dict(private=False)["x"].encode()
        mac = hmac.digest(public, signed.encode(), "sha256")
        assert await status(open_gateway, f"{signed}.{text(mac)}") == 401

    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": "http://evil.example"},
            {"iss": None},
            {"aud": "other"},
            {"aud": ["edulake", "other"]},
            {"aud": None},
            {"exp": -120},
            {"exp": None},
            {"exp": "9999999999"},
            {"iat": 120},
            {"iat": None},
            {"nbf": 120},
            {"exp": 100_000},
            {"jti": None},
            {"client_id": None},
            {"sub": "person:someone"},
            {"sub": "client:other"},
            {"roles": ["service"]},
            {"roles": ["emperor"]},
            {"roles": "steward"},
            {"org": {"a": 1}},
            {"accountable": ["person:a"]},
        ],
    )
    async def test_claims_that_do_not_hold(
        self, open_gateway: Any, issuer: Any, claims: dict[str, Any]
    ) -> None:
        """Numbers are seconds from now."""
        moment = int(time.time())
        over = {name: moment + value if isinstance(value, int) else value for name, value in claims.items()}
        assert await status(open_gateway, issuer.token(**over)) == 401

    @pytest.mark.parametrize("token", ["a", "a.b", "a.b.c", "..", "a.b.c.d", "é", "x" * 5000, "e30.e30.e30"])
    async def test_what_is_no_token_at_all(self, open_gateway: Any, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}".encode()}
        answer = await open_gateway.http.get("/share/v1/schools", headers=headers)
        assert answer.status_code == 401

    @pytest.mark.parametrize("scheme", ["Basic", "Digest", "bearer:", "DPoP"])
    async def test_another_scheme(self, open_gateway: Any, issuer: Any, scheme: str) -> None:
        headers = {"Authorization": f"{scheme} {issuer.token()}"}
        answer = await open_gateway.http.get("/share/v1/schools", headers=headers)
        assert answer.status_code == 401

    async def test_skew_within_the_leeway_is_forgiven(self, open_gateway: Any, issuer: Any) -> None:
        moment = int(time.time())
        assert await status(open_gateway, issuer.token(iat=moment + 20)) == 200
        assert await status(open_gateway, issuer.token(iat=moment - 60, exp=moment - 10)) == 200

    async def test_the_token_itself_never_stands_in_an_error(self, open_gateway: Any, issuer: Any) -> None:
        token = issuer.token(aud="other")
        answer = await open_gateway.http.get(
            "/share/v1/schools", headers={"Authorization": f"Bearer {token}"}
        )
        assert token not in answer.text
        assert token.split(".")[2] not in answer.text


class TestTheIssuersKeys:
    async def test_are_read_once_for_many_tokens(self, open_gateway: Any, issuer: Any) -> None:
        assert [await status(open_gateway, issuer.token()) for _ in range(5)] == [200] * 5
        assert issuer.asked == 1

    async def test_a_flood_of_unknown_key_ids_asks_the_issuer_at_most_once_a_minute(
        self, open_gateway: Any, issuer: Any
    ) -> None:
        assert await status(open_gateway, issuer.token()) == 200
        forged = [issuer.token(header={"kid": f"k{number}"}) for number in range(100, 130)]
        assert await asyncio.gather(*(status(open_gateway, token) for token in forged)) == [401] * 30
        assert issuer.asked == 1

    async def test_a_new_key_is_learned_when_its_turn_comes(self, open_gateway: Any, issuer: Any) -> None:
        assert await status(open_gateway, issuer.token()) == 200
        issuer.key = OKPKey.generate_key("Ed25519", {"kid": "k2"})
        assert await status(open_gateway, issuer.token()) == 401
        open_gateway.plane.tokens._keys._asked -= 61
        assert await status(open_gateway, issuer.token()) == 200

    async def test_never_known_means_503_and_not_401_and_never_200(
        self, settings: Any, start_gateway: Any, give: Give, issuer: Any
    ) -> None:
        await give()
        issuer.is_down = True
        async with start_gateway(settings) as gateway:
            assert await status(gateway, issuer.token()) == 503
            issuer.is_down = False
            async with asyncio.timeout(60):
                while await status(gateway, issuer.token()) != 200:
                    await asyncio.sleep(0.05)

    async def test_once_known_they_carry_over_a_short_absence(self, open_gateway: Any, issuer: Any) -> None:
        assert await status(open_gateway, issuer.token()) == 200
        issuer.is_down = True
        assert await status(open_gateway, issuer.token()) == 200

    async def test_not_confirmed_for_an_hour_they_are_not_believed(
        self, open_gateway: Any, issuer: Any
    ) -> None:
        assert await status(open_gateway, issuer.token()) == 200
        issuer.is_down = True
        keys = open_gateway.plane.tokens._keys
        keys._asked -= 4000
        keys._confirmed -= 4000
        assert await status(open_gateway, issuer.token()) == 503


class TestRevocation:
    async def test_a_revoked_token_is_refused_though_it_is_remembered(
        self, open_gateway: Any, issuer: Any, database: Any
    ) -> None:
        token, other = issuer.token(jti="j1"), issuer.token(jti="j2")
        assert await status(open_gateway, token) == 200
        gone = AccessTokenRevoked(jti="j1", before=now(), expires_at=now() + timedelta(hours=1))
        async with database.transaction() as session:
            await put_revocation(session, gone)
        await open_gateway.plane.follower.look()
        assert await status(open_gateway, token) == 401
        assert await status(open_gateway, other) == 200

    async def test_all_tokens_of_a_client_before_a_moment(
        self, open_gateway: Any, issuer: Any, database: Any
    ) -> None:
        old = issuer.token(iat=int(time.time()) - 5)
        assert await status(open_gateway, old) == 200
        gone = AccessTokenRevoked(
            client_id="app", before=now() - timedelta(seconds=2), expires_at=now() + timedelta(hours=1)
        )
        async with database.transaction() as session:
            await put_revocation(session, gone)
        await open_gateway.plane.follower.look()
        assert await status(open_gateway, old) == 401

    @pytest.mark.parametrize(("seconds", "expected"), [(25, 401), (35, 200)])
    async def test_of_a_token_dated_after_it_only_what_no_fast_clock_explains(
        self, open_gateway: Any, issuer: Any, database: Any, seconds: int, expected: int
    ) -> None:
        """The issuer's clock may be ahead by the leeway (30 s), and date an older token so."""
        before = now() - timedelta(minutes=1)
        gone = AccessTokenRevoked(client_id="app", before=before, expires_at=now() + timedelta(hours=1))
        async with database.transaction() as session:
            await put_revocation(session, gone)
        await open_gateway.plane.follower.look()
        issued = int((before + timedelta(seconds=seconds)).timestamp())
        assert await status(open_gateway, issuer.token(iat=issued)) == expected

    async def test_a_disabled_client_until_it_is_enabled_again(
        self, open_gateway: Any, issuer: Any, database: Any
    ) -> None:
        for state, expected in (("disabled", 401), ("active", 200)):
            change = AccessClientChanged(client_id="app", status=state, organisation="x")  # type: ignore[arg-type]
            async with database.transaction() as session:
                await put_client(session, change, now())
            await open_gateway.plane.follower.look()
            assert await status(open_gateway, issuer.token()) == expected
