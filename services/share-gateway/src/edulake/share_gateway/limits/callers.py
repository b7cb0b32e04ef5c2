"""How fast one caller may ask the services and the administration: a bucket a caller, in each process.

Quotas are for the shared APIs and are bought with a grant; this one keeps a caller from taking the
connections, the database and the processor of everybody else. It asks nobody and waits for nobody.
"""

import time
from collections import OrderedDict

from edulake.share_gateway.limits.bucket import TokenBucket
from edulake.share_gateway.problems import CallerTooFast

#: Callers remembered; whoever was longest silent is forgotten, and begins with a full bucket again.
CALLERS_MAX = 10_000


class CallerRates:
    """The buckets of one kind of address: `rate_per_s`, and twice as many at once."""

    def __init__(self, rate_per_s: int) -> None:
        self._rate_per_s = float(rate_per_s)
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, caller: str) -> None:
        """Use one call; raises CallerTooFast (429) with the seconds to wait."""
        now_s = time.monotonic()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = TokenBucket.full(self._rate_per_s, 2 * self._rate_per_s, now_s)
            if len(self._buckets) > CALLERS_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(caller)
        wait_s = bucket.take(now_s)
        if wait_s:
            raise CallerTooFast(
                "调用过于频繁",
                f"more than {self._rate_per_s:.0f} calls a second",
                mend_zh="按 Retry-After 等待后重试",
                mend_en="wait as Retry-After says",
                headers={"Retry-After": str(max(1, round(wait_s)))},
            )
