"""A 一网通办 stand-in for development: a real OpenID provider without passwords.

It speaks the whole protocol (discovery, code flow with PKCE, JWKS, userinfo), so that the relying
party has one code path. It warns when it starts and refuses production. State is in memory: a
restart only asks people to log in again.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from edulake.auth import jose, opaque
from edulake.auth.login.dev_people import BY_SUB, DevPerson
from edulake.auth.login.providers.id_token import access_token_hash
from edulake.auth.settings import AuthSettings
from edulake.common.telemetry import logger
from joserfc.jwk import ECKey

log = logger(__name__)
CODE_TTL_S = 60
TOKEN_TTL_S = 300
MAX_KEPT = 1000
ALGORITHM = "ES256"


class Misused(Exception):
    """A request the provider refuses; the text is an OAuth error code."""


@dataclass(frozen=True)
class Grant:
    """What a code stands for."""

    sub: str
    nonce: str
    challenge: str
    ends_s: float


class DevIssuer:
    """Raises RuntimeError in production."""

    def __init__(self, settings: AuthSettings) -> None:
        if settings.env == "production":
            raise RuntimeError("the development issuer refuses production: configure EDULAKE_OIDC_ISSUER")
        self._settings = settings
        self._key = ECKey.generate_key("P-256")
        self._kid = self._key.thumbprint()
        self._codes: OrderedDict[str, Grant] = OrderedDict()
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()
        log.warning("development issuer is active: anybody can log in as anybody", issuer=settings.dev_issuer)

    def discovery(self) -> dict[str, Any]:
        issuer = self._settings.dev_issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/jwks.json",
            "end_session_endpoint": f"{issuer}/end-session",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, Any]:
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "kid": self._kid, "use": "sig", "alg": ALGORITHM}]}

    def check_request(self, query: dict[str, str]) -> None:
        """Raise Misused unless this is our own relying party with PKCE; checked before any redirect."""
        expected = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self._settings.callback_url,
            "code_challenge_method": "S256",
        }
        if any(query.get(name) != value for name, value in expected.items()):
            raise Misused("invalid_request")
        if not query.get("code_challenge") or not query.get("state"):
            raise Misused("invalid_request")

    def approve(self, query: dict[str, str], sub: str) -> str:
        """The code for a person who pressed a button; raises Misused for an unknown one."""
        self.check_request(query)
        if sub not in BY_SUB:
            raise Misused("access_denied")
        code = opaque.fresh()
        ends_s = time.monotonic() + CODE_TTL_S
        self._codes[code] = Grant(sub, query.get("nonce", ""), query["code_challenge"], ends_s)
        _shrink(self._codes)
        return code

    def exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """Tokens for a code and its verifier; a code works once. Raises Misused."""
        if form.get("grant_type") != "authorization_code":
            raise Misused("unsupported_grant_type")
        grant = self._codes.pop(form.get("code", ""), None)
        if grant is None or grant.ends_s < time.monotonic():
            raise Misused("invalid_grant")
        if form.get("client_id") != self._settings.oidc_client_id:
            raise Misused("invalid_client")
        shown = create_s256_code_challenge(form.get("code_verifier", ""))
        right_place = form.get("redirect_uri") == self._settings.callback_url
        if not right_place or not hmac.compare_digest(shown.encode(), grant.challenge.encode()):
            raise Misused("invalid_grant")
        return self._tokens_for(BY_SUB[grant.sub], grant.nonce)

    def end_session(self, query: dict[str, str]) -> str:
        """Where the browser goes after signing out; raises Misused unless our own relying party asks.

        There is no session to end, since everybody is asked who they are at every login; tokens given out end. A
        hint made before a restart cannot be read and counts as none.
        """
        place = self._settings.logged_out_url
        if (query.get("client_id"), query.get("post_logout_redirect_uri")) != (
            self._settings.oidc_client_id,
            place,
        ):
            raise Misused("invalid_request")
        hint = query.get("id_token_hint")
        if hint:
            self._forget_tokens_of(hint)
        state = query.get("state")
        return f"{place}?{urlencode({'state': state})}" if state else place

    def _forget_tokens_of(self, hint: str) -> None:
        try:
            claims = jose.decode(hint, jose.public_keys(self.jwks()["keys"]), [ALGORITHM]).claims
        except jose.UnknownKeyId:
            return
        except jose.TokenRefused as error:
            raise Misused("invalid_request") from error
        over = [token for token, (sub, _) in self._tokens.items() if sub == claims.get("sub")]
        for token in over:
            del self._tokens[token]

    def userinfo(self, authorization: str | None) -> dict[str, str]:
        """Who an access token speaks of; raises Misused."""
        token = (authorization or "").removeprefix("Bearer ")
        sub, ends_s = self._tokens.get(token, ("", 0.0))
        if ends_s < time.monotonic():
            raise Misused("invalid_token")
        return {"sub": sub, "name": BY_SUB[sub].name}

    def _tokens_for(self, person: DevPerson, nonce: str) -> dict[str, Any]:
        access_token, issued_at = secrets.token_urlsafe(32), int(time.time())
        self._tokens[access_token] = (person.sub, time.monotonic() + TOKEN_TTL_S)
        _shrink(self._tokens)
        claims = {
            "iss": self._settings.dev_issuer,
            "sub": person.sub,
            "aud": self._settings.oidc_client_id,
            "iat": issued_at,
            "exp": issued_at + TOKEN_TTL_S,
            "nonce": nonce,
            "at_hash": access_token_hash(ALGORITHM, access_token),
            "name": person.name,
        }
        id_token = jose.encode(claims, self._key, alg=ALGORITHM, kid=self._kid, typ="JWT")
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": TOKEN_TTL_S,
            "id_token": id_token,
        }


def _shrink(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)
