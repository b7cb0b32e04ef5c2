"""Time: always aware, always UTC; tests pass a fixed clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class Clock(Protocol):
    """Whatever tells the time; units: aware datetimes in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return now()


@dataclass
class FixedClock:
    """A clock that moves only when told to."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
