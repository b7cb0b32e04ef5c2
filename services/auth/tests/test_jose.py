"""Tokens are read with our choice of algorithm and keys, never with theirs."""

import base64
import json

import pytest
from edulake.auth import jose
from joserfc.jwk import OKPKey

KEY = OKPKey.generate_key("Ed25519")
KID = KEY.thumbprint()
KEYS = jose.public_keys([{**KEY.as_dict(private=False), "kid": KID}])


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def rightly_signed(**header):
    """A token of the true key, with these further headers."""
    head = {"alg": "EdDSA", "typ": "JWT", "kid": KID, **header}
    head = {name: value for name, value in head.items() if value is not None}
    body = f"{b64(json.dumps(head).encode())}.{b64(b'{}')}"
    return f"{body}.{b64(KEY.private_key.sign(body.encode()))}"


class TestHeaders:
    def test_plain_ones_are_read(self):
        assert jose.decode(rightly_signed(), KEYS, ["EdDSA"]).claims == {}

    @pytest.mark.parametrize(
        "header",
        [
            {"jwk": KEY.as_dict(private=False)},
            {"jku": "https://evil.example/jwks"},
            {"x5u": "https://evil.example/x5"},
            {"x5c": ["AAAA"]},
            {"crit": ["b64"], "b64": True},
            {"b64": False},
            {"anything": 1},
        ],
    )
    def test_those_that_bring_a_key_or_an_extension_are_refused_though_the_signature_is_right(self, header):
        with pytest.raises(jose.TokenRefused):
            jose.decode(rightly_signed(**header), KEYS, ["EdDSA"])

    def test_an_unknown_key_id_is_told_apart_so_that_keys_can_be_read_again(self):
        with pytest.raises(jose.UnknownKeyId):
            jose.decode(rightly_signed(kid="other"), KEYS, ["EdDSA"])

    @pytest.mark.parametrize("alg", [None, 7, "", "none", "HS256", "ES256"])
    def test_another_algorithm_is_refused(self, alg):
        with pytest.raises(jose.TokenRefused):
            jose.decode(rightly_signed(alg=alg), KEYS, ["EdDSA"])


class TestRegistry:
    @pytest.mark.parametrize("algorithms", [[], ["none"], ["EdDSA", "HS256"]])
    def test_cannot_be_told_to_allow_shared_secrets_or_nothing(self, algorithms):
        with pytest.raises(ValueError, match="asymmetric"):
            jose.StrictRegistry(algorithms)
