"""What a client showed to prove itself, taken out of a token request (RFC 6749 §2.3, RFC 7523 §2.2).

Nothing is believed here; the reader only refuses requests that are malformed or show two proofs.
"""

import binascii
from base64 import b64decode
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from edulake.auth.token.errors import InvalidClient, InvalidRequest
from fastapi import Request

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_FORM_BYTES = 32_768
MAX_FIELDS = 20
MAX_ID_CHARS = 63
MAX_SECRET_CHARS = 256


@dataclass(frozen=True)
class BySecret:
    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class ByAssertion:
    #: The form's client_id, when it was sent; the assertion must name the same.
    client_id: str | None
    assertion: str = field(repr=False)


Shown = BySecret | ByAssertion


async def read_form(request: Request) -> dict[str, str]:
    """The fields of an `application/x-www-form-urlencoded` body; raises InvalidRequest.

    A parameter sent twice is refused (RFC 6749 §3.2), so is any in the query: addresses get logged.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidRequest("the body must be application/x-www-form-urlencoded")
    if request.url.query:
        raise InvalidRequest("parameters belong in the body, not in the address")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise InvalidRequest("the body is too large")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError:
        raise InvalidRequest("the body is not a form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidRequest("a parameter was sent twice")
    # An empty value counts as absent (RFC 6749 §3.2).
    return {name: value for name, value in form.items() if value}


def shown_credentials(authorization: str | None, form: dict[str, str]) -> Shown:
    """The one proof in a request; raises InvalidRequest for two, InvalidClient for none."""
    has_assertion = "client_assertion" in form or "client_assertion_type" in form
    ways = [authorization is not None, "client_secret" in form, has_assertion]
    if sum(ways) > 1:
        raise InvalidRequest("use one way of client authentication")
    if authorization is not None:
        return _from_basic(authorization, form.get("client_id"))
    if has_assertion:
        return _from_assertion(form)
    if "client_secret" in form and "client_id" in form:
        return _checked(form["client_id"], form["client_secret"])
    raise InvalidClient("client authentication is missing")


def _from_basic(authorization: str, form_client_id: str | None) -> BySecret:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("only Basic is understood here")
    try:
        client_id, colon, secret = b64decode(value.strip(), validate=True).decode().partition(":")
        client_id, secret = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, ValueError):
        raise InvalidClient("the Authorization header is malformed") from None
    if not colon:
        raise InvalidClient("the Authorization header is malformed")
    if form_client_id not in (None, client_id):
        raise InvalidRequest("the header and the form name different clients")
    return _checked(client_id, secret)


def _from_assertion(form: dict[str, str]) -> ByAssertion:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidRequest("client_assertion_type must be jwt-bearer")
    if "client_assertion" not in form:
        raise InvalidRequest("client_assertion is missing")
    return ByAssertion(form.get("client_id"), form["client_assertion"])


def _checked(client_id: str, secret: str) -> BySecret:
    if not 0 < len(client_id) <= MAX_ID_CHARS or not 0 < len(secret) <= MAX_SECRET_CHARS:
        raise InvalidClient("client authentication failed")
    return BySecret(client_id, secret)
