"""Authorization server metadata (RFC 8414): what this server offers, no more."""

from typing import Any

from edulake.auth.client.assertion import ALGORITHMS
from edulake.auth.settings import AuthSettings
from edulake.common.identity import ROLES

METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]


def metadata(settings: AuthSettings) -> dict[str, Any]:
    """The document at /.well-known/oauth-authorization-server."""
    issuer = settings.issuer
    return {
        "issuer": issuer,
        "token_endpoint": settings.token_endpoint,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "scopes_supported": sorted(set(ROLES) - {"service"}),
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
    }
