"""One call to one service on behalf of a person; silence is an answer, not an exception."""

from collections.abc import Iterable
from typing import Any

import httpx
from edulake.common.identity import InternalClient, Subject, service_subject
from edulake.common.telemetry import logger
from edulake.portal.clients.reply import Reply, read_reply, silence

log = logger(__name__)
#: Where auth tells names, of which ids, and of how many at once.
NAMES, NAMED, MOST_NAMES = "/internal/subjects/names", ("person:", "client:"), 200


class Calls:
    """The other services, as the pages ask them."""

    def __init__(self, client: InternalClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def ask(self, method: str, service: str, path: str, subject: Subject, **options: Any) -> Reply:
        """The service's reply; `options` are httpx's (`params`, `json`)."""
        answer = await self._ask(method, service, path, subject, **options)
        return silence(service) if answer is None else read_reply(service, answer)

    async def fetch(self, service: str, path: str, subject: Subject) -> Reply | bytes:
        """The bytes of something that is no JSON, or the service's refusal."""
        answer = await self._ask("GET", service, path, subject)
        if answer is None:
            return silence(service)
        return answer.content if answer.is_success else read_reply(service, answer)

    async def names(self, ids: Iterable[str | None]) -> dict[str, str]:
        """Names of people and programs by id, as auth tells a service; empty where it does not answer."""
        wanted = sorted({one for one in ids if one and one.startswith(NAMED)})[:MOST_NAMES]
        if not wanted:
            return {}
        asked = {"ids": wanted}
        reply = await self.ask("POST", "auth", NAMES, service_subject("portal"), json=asked)
        found: dict[str, str] = {} if reply.trouble else reply.data["names"]
        return found

    async def _ask(
        self, method: str, service: str, path: str, subject: Subject, **options: Any
    ) -> httpx.Response | None:
        try:
            return await self._client.request(
                method, service, path, subject=subject, **{"timeout": self._timeout_s, **options}
            )
        except httpx.HTTPError as error:
            log.warning("service did not answer", service=service, error=type(error).__name__)
            return None
