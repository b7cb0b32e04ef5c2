"""Request bodies on their way to a service: whole before it is asked, or streaming in a bounded number.

A caller that sends slowly holds its own connection and nothing else: a connection to the service is taken
when the body is there, or when more of it is there than is held.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from edulake.share_gateway.problems import UploadsBusy
from edulake.share_gateway.upstream.body import InboundBody

#: Bodies up to this are taken whole before the service is asked.
HELD_MAX_BYTES = 2**20
#: Bodies up to this are taken whole however many others are held.
ALWAYS_HELD_BYTES = 64 * 2**10


class Uploads:
    """The request bodies of one process: `streams_max` to one service, `held_max_bytes` of all."""

    def __init__(self, *, streams_max: int, held_max_bytes: int) -> None:
        self._streams_max = streams_max
        self._held_max_bytes = held_max_bytes
        self._streams: Counter[str] = Counter()
        self.held_bytes = 0

    async def ahead(self, body: InboundBody) -> bytes:
        """The body, or its beginning when it is larger than what is held; raises UploadsBusy (503)."""
        held = bytearray()
        try:
            while not body.is_complete and len(held) <= HELD_MAX_BYTES:
                chunk = (await body.message()).get("body", b"")
                held += chunk
                self.held_bytes += len(chunk)
                if len(held) > ALWAYS_HELD_BYTES and self.held_bytes > self._held_max_bytes:
                    raise _busy()
        finally:
            self.held_bytes -= len(held)
        return bytes(held)

    @contextmanager
    def streaming(self, service: str) -> Iterator[None]:
        """Count a body that streams; raises UploadsBusy (503) when as many as may do so already."""
        if self._streams[service] >= self._streams_max:
            raise _busy()
        self._streams[service] += 1
        try:
            yield
        finally:
            self._streams[service] -= 1


async def joined(held: bytes, body: InboundBody) -> AsyncIterator[bytes]:
    """The body from its beginning."""
    if held:
        yield held
    async for chunk in body.chunks():
        yield chunk


def _busy() -> UploadsBusy:
    return UploadsBusy(
        "同时上传过多", "too many bodies are coming in", mend_zh="稍后重试", mend_en="retry shortly"
    )
