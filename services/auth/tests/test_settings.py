"""What auth refuses to start with."""

import pytest
from edulake.auth.settings import AuthSettings
from pydantic import ValidationError

PRODUCTION = {"env": "production", "public_url": "https://data.example", "oidc_issuer": "https://idp.example"}
STRONG = "0123456789abcdef0123456789abcdef"


class TestProduction:
    def test_starts_with_a_provider_and_a_strong_secret(self):
        made = AuthSettings(**PRODUCTION, oidc_client_auth="client_secret_basic", oidc_client_secret=STRONG)
        assert not made.uses_dev_issuer

    @pytest.mark.parametrize("issuer", ["", "https://data.example/dev-issuer", "http://idp.example"])
    def test_refuses_the_development_issuer_and_plain_http(self, issuer):
        with pytest.raises(ValidationError, match="EDULAKE_OIDC_ISSUER"):
            AuthSettings(**{**PRODUCTION, "oidc_issuer": issuer})

    @pytest.mark.parametrize("secret", ["", "secret", "changeme", "short-but-unknown"])
    def test_refuses_known_short_and_empty_secrets(self, secret):
        with pytest.raises(ValidationError, match="EDULAKE_OIDC_CLIENT_SECRET") as refused:
            AuthSettings(**PRODUCTION, oidc_client_auth="client_secret_post", oidc_client_secret=secret)
        assert "short-but-unknown" not in str(refused.value)

    def test_refuses_a_secret_that_would_never_be_sent(self):
        with pytest.raises(ValidationError, match="EDULAKE_OIDC_CLIENT_AUTH") as refused:
            AuthSettings(**PRODUCTION, oidc_client_secret=STRONG)
        assert STRONG not in str(refused.value)


class TestDevelopment:
    def test_uses_its_own_issuer_reached_inside_and_named_outside(self):
        made = AuthSettings(port=9000)
        assert made.provider_issuer == "http://127.0.0.1:9000/dev-issuer"
        assert made.provider_internal_url == "http://127.0.0.1:9001/dev-issuer"

    def test_refuses_a_foreign_provider_without_tls(self):
        with pytest.raises(ValidationError, match="https"):
            AuthSettings(oidc_issuer="http://idp.example")

    def test_never_shows_the_secret(self):
        assert STRONG not in repr(
            AuthSettings(oidc_client_auth="client_secret_post", oidc_client_secret=STRONG)
        )
