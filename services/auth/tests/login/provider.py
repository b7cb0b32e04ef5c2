"""An OpenID provider of our own that can cheat, fail and be slow in every way we know."""

import asyncio
import base64
import json
import time

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from edulake.auth.login.providers.id_token import access_token_hash
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


class Endless(httpx.AsyncByteStream):
    """A body that never ends and hardly moves."""

    async def __aiter__(self):
        yield b"{"
        await asyncio.Event().wait()


def answer_of(said):
    """The answer, or the network's error; an answer may be made anew for each request."""
    if isinstance(said, Exception):
        raise said
    return said() if callable(said) else said


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
        self.says = {}  # by path: what is answered instead of the truth, or the error of the network

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
        if path in self.says:
            return answer_of(self.says[path])
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
