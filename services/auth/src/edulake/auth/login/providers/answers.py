"""Asking a provider's server, and sorting its answers by whose turn it is to act.

No answer, 5xx and 429 mean the provider is away: waiting helps (`ProviderDown`). Any other status that
was not expected means that the two sides are not set up for each other: only the operator can help
(`Misconfigured`). An answer that cannot be read is `ProviderBroken`. What only the caller can tell, such as a
code that was used already, is left to the caller. Every answer is bounded in bytes and in time as a whole, so
that a provider that sends a byte a second holds nobody.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from edulake.auth.login.errors import RETRY_AFTER_S, Misconfigured, ProviderBroken, ProviderDown

MAX_ANSWER_BYTES = 262_144
MAX_RETRY_AFTER_S = 300


@dataclass(frozen=True)
class Answer:
    """`document` is None where the body was no JSON object."""

    status: int
    document: dict[str, Any] | None


class Asker:
    """One provider's server, asked with the same limits everywhere."""

    def __init__(self, http: httpx.AsyncClient, timeout_s: float) -> None:
        self._http = http
        self._timeout_s = timeout_s

    async def ask(self, method: str, address: str, **options: Any) -> Answer:
        """One answer below 500; raises ProviderDown or ProviderBroken. Redirects are not followed."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **options.pop("headers", {})}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(method, address, headers=headers, **options) as answer,
            ):
                body = await _bounded(answer)
        except TimeoutError as error:
            raise ProviderDown("answer too slow") from error
        except httpx.HTTPError as error:
            raise ProviderDown(type(error).__name__) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Misconfigured("address cannot be called") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            wait_s = _retry_after_s(answer.headers.get("retry-after", ""))
            raise ProviderDown(f"status {answer.status_code}", retry_after_s=wait_s)
        return Answer(answer.status_code, _object(body))

    async def fetch(self, method: str, address: str, **options: Any) -> dict[str, Any]:
        """A JSON object that must be there; raises Misconfigured too."""
        return whole(await self.ask(method, address, **options))


def whole(answer: Answer) -> dict[str, Any]:
    """The object of a good answer; raises Misconfigured or ProviderBroken."""
    if answer.status != 200:
        raise Misconfigured(f"status {answer.status}")
    if answer.document is None:
        raise ProviderBroken("not a json object")
    return answer.document


async def _bounded(answer: httpx.Response) -> bytes:
    body = bytearray()
    # One compressed chunk may unpack to a thousand times its size: none is asked for, none is unpacked.
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise ProviderBroken("answer is compressed")
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ProviderBroken("answer too large")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _retry_after_s(header: str) -> int:
    """The provider's own wish, in seconds and within reason."""
    wished = int(header) if header.isascii() and header.isdigit() and len(header) < 6 else RETRY_AFTER_S
    return min(max(wished, 1), MAX_RETRY_AFTER_S)
