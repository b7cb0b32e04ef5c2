"""A service that fails again and again is left alone for a moment."""

import time

from edulake.share_gateway.problems import UpstreamDown

BREAK_AFTER = 5
BREAK_S = 1.0


class Breaker:
    """After some failures in a row a service is not asked for a moment, so that its queue can drain."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_until = 0.0

    def check(self) -> None:
        if time.monotonic() < self._open_until:
            raise down()

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= BREAK_AFTER:
            self._open_until = time.monotonic() + BREAK_S

    def succeeded(self) -> None:
        self._failures = 0


def down() -> UpstreamDown:
    return UpstreamDown("后端服务暂不可用", "the service behind is not reachable", mend_zh="稍后重试")
