"""The keys of access tokens: next, current, previous.

The next key stands in the JWKS before it signs, so that a verifier which caches the set knows it;
the previous one stays until the last token it signed has expired. Rotation needs no restart: every
process reads the current key again after `signing_key_cache_s`. Private halves are sealed with the
`seal` ring for the place `auth.signing_key|<kid>`.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from edulake.auth import jose
from edulake.auth.models import SigningKey
from edulake.auth.settings import AuthSettings
from edulake.auth.token import repository
from edulake.auth.trail.repository import record
from edulake.common.clock import now
from edulake.common.db import Database
from edulake.common.gm import KeyProvider, open_sealed, seal
from joserfc.jwk import KeySet, OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

ALGORITHM = "EdDSA"


@dataclass(frozen=True)
class _Loaded:
    kid: str
    key: OKPKey
    read_at_s: float


class SigningKeys:
    """Signs with the current key and publishes all that verify."""

    def __init__(self, settings: AuthSettings, database: Database, keys: KeyProvider) -> None:
        self._settings = settings
        self._database = database
        self._keys = keys
        self._current: _Loaded | None = None

    async def ensure(self) -> None:
        """Make the first current and next key; does nothing when they stand."""
        async with self._database.transaction() as session:
            await repository.lock_rotation(session)
            for state in ("current", "next"):
                if await repository.key_in_state(session, state) is None:
                    await repository.add_key(session, self._make(state))

    async def rotate(self, by: str) -> str:
        """Put the next key to work and return its id; the old one verifies until its tokens expire."""
        at = now()
        verify_s = self._settings.token_ttl_s + self._settings.signing_key_cache_s + 60
        async with self._database.transaction() as session:
            await repository.lock_rotation(session)
            await repository.forget_old_keys(session, at)
            current = await repository.key_in_state(session, "current")
            following = await repository.key_in_state(session, "next")
            if current:
                await repository.move_key(
                    session, current.kid, "previous", until=at + timedelta(seconds=verify_s)
                )
            promoted = following or self._make("next")
            if following is None:
                await repository.add_key(session, promoted)
            await repository.move_key(session, promoted.kid, "current")
            await repository.add_key(session, self._make("next"))
            await record(session, "signing-key.rotated", by=by, about=promoted.kid)
        self._current = None
        return promoted.kid

    async def jwks(self, session: AsyncSession) -> list[dict[str, Any]]:
        """Public keys of every token that may still be good, and of those to come."""
        return [key.public for key in await repository.published_keys(session, now())]

    async def key_set(self, session: AsyncSession) -> KeySet:
        return jose.public_keys(await self.jwks(session), alg=ALGORITHM)

    async def sign(self, session: AsyncSession, claims: dict[str, Any], *, typ: str) -> str:
        """A signed token with the current key."""
        loaded = await self._load(session)
        return jose.encode(claims, loaded.key, alg=ALGORITHM, kid=loaded.kid, typ=typ)

    async def _load(self, session: AsyncSession) -> _Loaded:
        fresh_after_s = time.monotonic() - self._settings.signing_key_cache_s
        if self._current and self._current.read_at_s > fresh_after_s:
            return self._current
        stored = await repository.key_in_state(session, "current")
        if stored is None:
            raise RuntimeError("there is no current signing key: start auth once or rotate the keys")
        secret = open_sealed(self._keys.ring("seal"), stored.sealed, _place(stored.kid))
        self._current = _Loaded(stored.kid, OKPKey.import_key(orjson.loads(secret)), time.monotonic())
        return self._current

    def _make(self, state: str) -> SigningKey:
        key = OKPKey.generate_key("Ed25519")
        kid = key.thumbprint()
        secret = orjson.dumps(key.as_dict(private=True))
        public = {**key.as_dict(private=False), "kid": kid, "alg": ALGORITHM, "use": "sig"}
        sealed = seal(self._keys.ring("seal"), secret, _place(kid))
        return SigningKey(kid=kid, public=public, sealed=sealed, state=state, created_at=now(), until=None)


def _place(kid: str) -> bytes:
    return b"auth.signing_key|" + kid.encode()
