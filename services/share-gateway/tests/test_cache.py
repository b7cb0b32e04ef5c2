"""Answers that are kept: for whom, for how long, and never for two."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from edulake.common.errors import Problem
from edulake.share_gateway.cache.answers import AnswerCache, answer_key
from edulake.share_gateway.cache.questions import KEPT_CALLS
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

Give = Callable[..., Awaitable[Any]]
CALL = "/share/v1/schools?district=310115"
parts = st.lists(st.binary(max_size=6), min_size=1, max_size=4)


class TestKeys:
    @given(parts, parts)
    def test_different_parts_never_give_one_key(self, one: list[bytes], two: list[bytes]) -> None:
        assert (answer_key(*one) == answer_key(*two)) == (one == two)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


def make_cache(redis: Redis, **over: Any) -> AnswerCache:
    return AnswerCache(
        redis, **{"max_bytes": 1000, "entry_bytes": 400, "longest_s": 60, "timeout_s": 60.0, **over}
    )


class TestBounds:
    async def test_the_oldest_answers_go_when_the_bytes_are_used_up(self, redis: Redis) -> None:
        cache = make_cache(redis)
        for number in range(5):
            cache.put(b"key%d" % number, b"x" * 300, 60)
        assert [cache.get(b"key%d" % number) is not None for number in range(5)] == [
            False,
            False,
            True,
            True,
            True,
        ]
        assert cache._bytes <= 1000
        await cache.close()

    async def test_an_answer_in_use_outlives_one_that_is_not(self, redis: Redis) -> None:
        cache = make_cache(redis)
        for number in range(3):
            cache.put(b"key%d" % number, b"x" * 300, 60)
            cache.get(b"key0")
        cache.put(b"key3", b"x" * 300, 60)
        assert cache.get(b"key0") is not None
        assert cache.get(b"key1") is None
        await cache.close()

    async def test_large_answers_and_zero_seconds_are_not_kept(self, redis: Redis) -> None:
        cache = make_cache(redis)
        cache.put(b"large", b"x" * 401, 60)
        cache.put(b"brief", b"x", 0)
        assert cache.get(b"large") is None
        assert cache.get(b"brief") is None

    async def test_what_redis_keeps_ends_by_itself(self, redis: Redis) -> None:
        cache = make_cache(redis, longest_s=70)
        cache.put(b"key", b"x", 3600)
        await cache.close()
        (name,) = await redis.keys()
        assert 1 <= await redis.ttl(name) <= 70

    async def test_another_process_finds_it_there(self, redis: Redis) -> None:
        one, two = make_cache(redis), make_cache(redis)
        one.put(b"key", b"x", 60)
        await one.close()
        assert await two.get_shared(b"key", 60) == b"x"
        assert two.get(b"key") == b"x"


class TestQuestions:
    """What is remembered of questions; the engine here is the one that answers from memory."""

    async def test_a_question_is_understood_once(self, gateway: Any) -> None:
        api, questions = gateway.engine.route("schools"), gateway.plane.questions
        assert questions.read(api, b"limit=3") is questions.read(api, b"limit=3")
        assert questions.read(api, b"limit=3") != questions.read(api, b"limit=4")

    async def test_keys_of_persons_and_errors_are_not_remembered(self, gateway: Any) -> None:
        questions = gateway.plane.questions
        student = b"student_key=t1.k1.c2FtcGxlLXRva2VuLW5vdC1hLXBlcnNvbg"
        questions.read(gateway.engine.route("student"), student)
        for _ in range(2):
            with pytest.raises(Problem):
                questions.read(gateway.engine.route("schools"), b"limit=0")
        assert questions._known == {}

    async def test_their_number_is_bounded(self, gateway: Any) -> None:
        api, questions = gateway.engine.route("schools"), gateway.plane.questions
        for number in range(KEPT_CALLS + 50):
            questions.read(api, b"code=%d" % (990000 + number))
        assert len(questions._known) == KEPT_CALLS


@pytest.fixture
async def open_gateway(give: Give, gateway: Any) -> Any:
    await give("one")
    await give("two")
    await gateway.plane.follower.look()
    return gateway


async def body(gateway: Any, issuer: Any, client: str, path: str = CALL) -> bytes:
    answer = await gateway.http.get(path, headers=issuer.bearer(client))
    assert answer.status_code == 200, answer.text
    content: bytes = answer.content
    return content


class TestThroughTheGateway:
    async def test_the_same_question_of_the_same_grant_is_asked_once(
        self, open_gateway: Any, issuer: Any
    ) -> None:
        answers = {await body(open_gateway, issuer, "one") for _ in range(5)}
        assert len(answers) == 1
        assert len(open_gateway.engine.asked) == 1

    async def test_two_principals_never_share_an_answer(self, open_gateway: Any, issuer: Any) -> None:
        assert await body(open_gateway, issuer, "one") != await body(open_gateway, issuer, "two")
        assert len(open_gateway.engine.asked) == 2

    async def test_another_question_is_another_answer(self, open_gateway: Any, issuer: Any) -> None:
        await body(open_gateway, issuer, "one")
        await body(open_gateway, issuer, "one", "/share/v1/schools?district=310101")
        assert len(open_gateway.engine.asked) == 2

    async def test_a_new_data_version_is_seen_at_once(self, open_gateway: Any, issuer: Any) -> None:
        old = await body(open_gateway, issuer, "one")
        open_gateway.engine.version = 2
        assert await body(open_gateway, issuer, "one") != old

    async def test_an_amended_grant_is_seen_at_once(self, open_gateway: Any, give: Give, issuer: Any) -> None:
        await body(open_gateway, issuer, "one")
        await give("one", columns=["school_key"])
        await open_gateway.plane.follower.look()
        assert b"school_name" not in await body(open_gateway, issuer, "one")

    async def test_a_revoked_grant_gets_nothing_from_the_cache(
        self, open_gateway: Any, give: Give, issuer: Any
    ) -> None:
        await body(open_gateway, issuer, "one")
        await give("one", status="revoked")
        await open_gateway.plane.follower.look()
        answer = await open_gateway.http.get(CALL, headers=issuer.bearer("one"))
        assert answer.status_code == 403

    async def test_data_read_while_versions_switch_is_not_filed_under_the_old_one(
        self, open_gateway: Any, issuer: Any
    ) -> None:
        engine = open_gateway.engine
        original = engine.data_version
        engine.data_version = lambda dataset: 1
        engine.version = 2  # memory still says 1, the table is 2 already
        await body(open_gateway, issuer, "one")
        engine.version = 1  # rolled back: version 1 is what is served now
        answer = await body(open_gateway, issuer, "one")
        engine.data_version = original
        assert b'"version":1' in answer

    async def test_many_waiting_for_one_answer_ask_once(self, open_gateway: Any, issuer: Any) -> None:
        open_gateway.engine.pause_s = 0.2
        answers = await asyncio.gather(*(body(open_gateway, issuer, "one") for _ in range(20)))
        assert len(set(answers)) == 1
        assert len(open_gateway.engine.asked) == 1

    async def test_when_the_first_fails_the_others_are_not_lost(self, open_gateway: Any, issuer: Any) -> None:
        open_gateway.engine.pause_s = 0.1
        open_gateway.engine.error = OSError()
        calls = [open_gateway.http.get(CALL, headers=issuer.bearer("one")) for _ in range(5)]
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} == {503}
        open_gateway.engine.error = None
        assert await body(open_gateway, issuer, "one")

    async def test_personal_data_is_never_kept_anywhere(
        self, open_gateway: Any, give: Give, issuer: Any, redis: Redis
    ) -> None:
        await give("one", "student")
        await open_gateway.plane.follower.look()
        path = "/share/v1/student?student_key=t1.k1.c2FtcGxlLXRva2VuLW5vdC1hLXBlcnNvbg"
        for _ in range(3):
            await body(open_gateway, issuer, "one", path)
        assert len(open_gateway.engine.asked) == 3
        assert not [key for key in await redis.keys() if b"answer" in key]
        assert open_gateway.plane.cache._bytes == 0
