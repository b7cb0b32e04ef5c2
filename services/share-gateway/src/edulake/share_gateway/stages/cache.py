"""An answer given a moment ago to the same grant for the same question on the same data."""

from collections.abc import Awaitable

from edulake.share_gateway.cache.answers import answer_key
from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.problems import NotPublished


def cache(x: Exchange) -> Awaitable[None] | None:
    """Set `x.version`, and `x.body` when the answer is known; 503 when the data is not published."""
    api = x.api
    version = x.plane.engine.data_version(api.dataset)
    if version is None:
        raise NotPublished("数据尚未发布", "the dataset is not published yet", mend_zh="稍后重试")
    x.version = version
    if api.is_personal or api.cache_s <= 0 or x.plane.settings.cache_s <= 0:
        return None
    key = answer_key(api.name.encode(), api.stamp, b"%d" % version, x.access.fingerprint, x.call.key)
    x.body = x.plane.cache.get(key)
    if x.body is not None:
        return None
    x.cache_key = key
    return _ask_others(x)


async def _ask_others(x: Exchange) -> None:
    answers = x.plane.cache
    flight = answers.flight(x.cache_key)
    if flight is not None:
        x.body = await flight.wait()
        return
    x.flight = answers.lead(x.cache_key)
    x.body = await answers.get_shared(x.cache_key, x.api.cache_s)
    if x.body is not None:
        x.flight.land(x.body)
