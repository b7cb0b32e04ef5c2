"""Keeping the embedded stores alive: one that ended by itself is started again, with its data and address."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from edulake.cli.embedded import StoreFailed

#: A store that does not start is tried again after so long; orphans of a killed one need a moment to end.
PAUSE_S = 1.0


@dataclass
class StoreKeeper:
    """One store. `start` brings it up where it was, or raises StoreFailed."""

    title: str
    is_alive: Callable[[], bool]
    start: Callable[[], None]
    again_at: float = 0.0

    def revive(self, say: Callable[[str], None]) -> bool:
        """Start the store when it is gone; True when that was done."""
        if time.monotonic() < self.again_at or self.is_alive():
            return False
        say(f"{self.title} 意外结束，重新启动 / ended by itself, starting again")
        try:
            self.start()
        except StoreFailed as error:
            self.again_at = time.monotonic() + PAUSE_S
            say(f"{error}")
            return False
        return True
