"""What other services know of a subject or a source at this moment, asked when it decides; silence refuses.

Nothing is kept: a source's contact that changed, a role that was taken away hold for the next call.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import httpx
from edulake.common.errors import Unavailable
from edulake.common.identity import InternalClient, Subject, service_subject
from edulake.common.settings import Settings

if TYPE_CHECKING:
    from edulake.common.service import Resources

#: A caller waits for this, so it is short; longer silence is 503.
WAIT_S = 5.0
SOURCES, CONTACTS = "/internal/sources", "/internal/sources/contacts"
SUBJECTS = "/internal/subjects"


class Asking(Protocol):
    """Who is the contact of a source now."""

    async def contacts_of(self, sources: Iterable[str]) -> dict[str, str]:
        """The present contacts of sources, at most 500; a source there is not is absent. Raises Unavailable."""

    async def sources_of(self, contact: str) -> frozenset[str]:
        """The ids of the sources whose contact this is. Raises Unavailable."""


class AskedOnce:
    """Asks each question once: what is decided for one request is decided by one answer."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._contacts: dict[str, str | None] = {}
        self._sources: dict[str, frozenset[str]] = {}

    async def contacts_of(self, sources: Iterable[str]) -> dict[str, str]:
        wanted = set(sources)
        if new := wanted - self._contacts.keys():
            found = await self._asking.contacts_of(new)
            self._contacts |= {source: found.get(source) for source in new}
        told = {source: self._contacts[source] for source in wanted}
        return {source: contact for source, contact in told.items() if contact is not None}

    async def sources_of(self, contact: str) -> frozenset[str]:
        if contact not in self._sources:
            self._sources[contact] = await self._asking.sources_of(contact)
        return self._sources[contact]


class Neighbours:
    """Asks ingest and auth by signed calls of this service."""

    def __init__(self, settings: Settings, me: str, *, transport: httpx.AsyncBaseTransport | None = None):
        self.client = InternalClient(settings, me, transport=transport)
        self._me = service_subject(me)

    async def contacts_of(self, sources: Iterable[str]) -> dict[str, str]:
        wanted = {"ids": sorted(set(sources))}
        answer = await self._ask("POST", "ingest", CONTACTS, json=wanted) if wanted["ids"] else None
        return dict(answer.json()["contacts"]) if answer else {}

    async def sources_of(self, contact: str) -> frozenset[str]:
        answer = await self._ask("GET", "ingest", SOURCES, params={"contact": contact})
        return frozenset(answer.json()["ids"])

    async def subject(self, subject_id: str) -> Subject | None:
        """Who this is, with the roles held now; None for nobody, and for who is not let in. Raises Unavailable."""
        answer = await self._ask("GET", "auth", f"{SUBJECTS}/{quote(subject_id, safe=':')}", missing=True)
        return None if answer.status_code == httpx.codes.NOT_FOUND else Subject.model_validate(answer.json())

    async def _ask(
        self, method: str, service: str, path: str, *, missing: bool = False, **options: Any
    ) -> httpx.Response:
        """An answer of success, or of absence where that is one. Anything else decides nothing: Unavailable."""
        try:
            answer = await self.client.request(
                method, service, path, subject=self._me, timeout=WAIT_S, **options
            )
        except httpx.HTTPError as error:
            raise _silent(service) from error
        if answer.is_success or (missing and answer.status_code == httpx.codes.NOT_FOUND):
            return answer
        raise _silent(service)


def _silent(service: str) -> Unavailable:
    return Unavailable(
        "暂时无法确认您的权限：相关服务没有应答",
        f"what you may do cannot be told: {service} does not answer",
        mend_zh="稍后重试",
        mend_en="retry shortly",
    )


def asking_of(resources: "Resources") -> Neighbours:
    found: Neighbours = resources.extra["asking"]
    return found


@asynccontextmanager
async def asking_neighbours(
    resources: "Resources", transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[None]:
    """Let a service ask the others for as long as it runs (`resources.extra["asking"]`)."""
    opened = Neighbours(resources.settings, resources.name, transport=transport)
    resources.extra["asking"] = opened
    try:
        yield
    finally:
        await opened.client.close()
