from edulake.share_gateway.limits.bucket import TokenBucket
from hypothesis import given
from hypothesis import strategies as st

rates = st.floats(min_value=0.1, max_value=1000)
steps = st.lists(st.floats(min_value=0, max_value=5), min_size=1, max_size=200)


class TestTakingCalls:
    def test_a_full_bucket_gives_its_burst_and_then_waits(self) -> None:
        bucket = TokenBucket.full(10, 3, 0.0)
        assert [bucket.take(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
        assert bucket.take(0.0) > 0.0

    def test_the_wait_it_names_is_long_enough(self) -> None:
        bucket = TokenBucket.full(4, 1, 0.0)
        bucket.take(0.0)
        wait = bucket.take(0.0)
        assert bucket.take(wait + 1e-9) == 0.0

    def test_a_clock_that_goes_back_gives_nothing(self) -> None:
        bucket = TokenBucket.full(1, 1, 100.0)
        bucket.take(100.0)
        assert bucket.take(0.0) > 0.0

    @given(rates, st.integers(min_value=1, max_value=50), steps)
    def test_no_span_lets_through_more_than_rate_times_time_plus_burst(
        self, rate: float, burst: int, pauses: list[float]
    ) -> None:
        bucket, now, passed = TokenBucket.full(rate, burst, 0.0), 0.0, 0
        for pause in pauses:
            now += pause
            passed += bucket.take(now) == 0.0
        assert passed <= rate * now + burst + 1e-6
