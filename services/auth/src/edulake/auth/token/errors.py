"""The token endpoint's own error language (RFC 6749 §5.2), not problem+json.

Descriptions are ASCII because §5.2 allows nothing else, and are constant: no value that a caller
sent ever comes back.
"""

from typing import Any, ClassVar

from edulake.common.problems import REFUSALS
from fastapi.responses import JSONResponse

#: RFC 6749 §5.1: no answer of these endpoints may be stored.
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
#: What the document of an endpoint says of this language.
_REFUSAL: dict[str, Any] = {
    "description": "RFC 6749 §5.2",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
            }
        }
    },
}
OAUTH_REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": _REFUSAL,
    # `temporarily_unavailable` in the words of OAuth, a lost database in those of every service.
    "503": {**REFUSALS["503"], "content": {**REFUSALS["503"]["content"], **_REFUSAL["content"]}},
}


def form_body(*required: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The document's words for an `application/x-www-form-urlencoded` body that is read by hand."""
    fields = {name: {"type": "string"} for name in (*required, *optional)}
    schema = {"type": "object", "required": list(required), "properties": fields}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


class OAuthError(Exception):
    """An answer of the token or revocation endpoint; subclasses fix status and code."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid_request"

    def __init__(self, description: str = "", *, retry_after_s: int | None = None) -> None:
        super().__init__(description or self.code)
        self.description = description
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        body = {"error": self.code}
        if self.description:
            body["error_description"] = self.description
        return JSONResponse(body, self.status, headers={**NO_STORE, **self.headers()})

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_s)} if self.retry_after_s else {}


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed, or there is more than one way of authentication."""


class InvalidClient(OAuthError):
    """The client is unknown, disabled or did not prove itself; which of these is not told."""

    status, code = 401, "invalid_client"

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "WWW-Authenticate": 'Basic realm="edulake", charset="UTF-8"'}


class TooManyFailures(InvalidClient):
    """The client failed too often; 429 because waiting helps and another secret does not."""

    status = 429


class InvalidGrant(OAuthError):
    """The token was issued to another client (RFC 7009 §2.1)."""

    code = "invalid_grant"


class TemporarilyUnavailable(OAuthError):
    """No token of this client would be accepted yet; `Retry-After` says when one will."""

    status, code = 503, "temporarily_unavailable"


class UnsupportedGrantType(OAuthError):
    code = "unsupported_grant_type"


class InvalidScope(OAuthError):
    code = "invalid_scope"
