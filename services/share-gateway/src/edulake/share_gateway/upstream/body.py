"""A request body as it comes in: bounded in size, in silence, in slowness and in time.

uvicorn has no read timeout. Only the time in which we wait for the caller counts as slowness: what the
service behind needs to take the body is not the caller's.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from edulake.common.errors import Problem, TooLarge
from edulake.share_gateway.problems import BodyTimeout
from starlette.types import Message, Receive


class CallerLeftError(Exception):
    """The caller closed the connection before its request was complete."""


class InboundBody:
    """Reads one body. Remembers what went wrong, because clients that carry it wrap errors."""

    def __init__(
        self,
        receive: Receive,
        *,
        max_bytes: int,
        silence_s: float,
        deadline_s: float,
        min_bytes_per_s: float = 0.0,
    ) -> None:
        """The rate is asked for after the first `silence_s` of waiting; 0: none is."""
        self._receive = receive
        self._max_bytes = max_bytes
        self._silence_s = silence_s
        self._ends = time.monotonic() + deadline_s
        self._min_bytes_per_s = min_bytes_per_s
        self._seen = 0
        self._waited_s = 0.0
        self.problem: Problem | None = None
        self.is_complete = False
        self.has_left = False

    async def message(self) -> Message:
        """The next ASGI message; raises BodyTimeout (408), TooLarge (413), CallerLeftError."""
        if self.is_complete:
            return await self._receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(self._patience_s(began), 0)):
                message = await self._receive()
        except TimeoutError:
            raise self._stop(BodyTimeout("请求内容接收超时", "the body did not come in time")) from None
        self._waited_s += time.monotonic() - began
        if message["type"] == "http.disconnect":
            self.has_left = True
            raise CallerLeftError
        self._seen += len(message.get("body", b""))
        if self._seen > self._max_bytes:
            raise self._stop(too_large(self._max_bytes))
        self.is_complete = not message.get("more_body", False)
        return message

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, chunk by chunk."""
        while not self.is_complete:
            chunk = (await self.message()).get("body", b"")
            if chunk:
                yield chunk

    def _patience_s(self, now_s: float) -> float:
        """How long the next bytes may take; below zero when the time is over."""
        patience_s = min(self._silence_s, self._ends - now_s)
        if self._min_bytes_per_s:
            earned_s = self._silence_s + self._seen / self._min_bytes_per_s
            patience_s = min(patience_s, earned_s - self._waited_s)
        return patience_s

    def _stop(self, problem: Problem) -> Problem:
        self.problem = problem
        return problem


def too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"内容超过 {max_bytes} 字节", f"the body is larger than {max_bytes} bytes", limit_bytes=max_bytes
    )
