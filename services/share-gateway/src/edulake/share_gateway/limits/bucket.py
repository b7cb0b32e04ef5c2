"""A token bucket, pure: what a process uses by itself while nobody else can be asked."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Holds at most `burst` calls and gains `rate_per_s` a second.

    In any span of T seconds it lets through at most `rate_per_s * T + burst` calls.
    """

    rate_per_s: float
    burst: float
    level: float
    at_s: float

    @classmethod
    def full(cls, rate_per_s: float, burst: float, now_s: float) -> "TokenBucket":
        return cls(rate_per_s, burst, burst, now_s)

    def take(self, now_s: float) -> float:
        """Take one call: 0.0 when it was there, else the seconds until it will be."""
        if now_s > self.at_s:
            self.level = min(self.burst, self.level + (now_s - self.at_s) * self.rate_per_s)
            self.at_s = now_s
        if self.level >= 1.0:
            self.level -= 1.0
            return 0.0
        return (1.0 - self.level) / self.rate_per_s
