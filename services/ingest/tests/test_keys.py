"""A source names its delivery: the same key is the same batch, a new key a new one (ADR 0017)."""

import asyncio
from typing import Any

import httpx
import pytest
from edulake.common import faults
from edulake.ingest.batch.keys import BadKey, read_key

ROWS = "/api/ingest/sources/roster/datasets/school_base/rows"
ONE = {"学校代码": "0031", "学校名称": "求真中学"}
TWO = {**ONE, "学校名称": "求真学校"}


@pytest.fixture
def push(client: httpx.AsyncClient, roster: Any, contact: dict[str, str]) -> Any:
    async def send(row: dict[str, str], key: str | None = None, period: str = "2024") -> httpx.Response:
        named = {} if key is None else {"Idempotency-Key": key}
        return await client.post(ROWS, json={"period": period, "rows": [row]}, headers={**contact, **named})

    return send


class TestPushedRows:
    async def test_that_come_back_to_their_first_value_are_three_batches(
        self, push: Any, landed_events: Any
    ) -> None:
        answers = [await push(ONE, "m-1"), await push(TWO, "m-2"), await push(ONE, "m-3")]
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        numbers = [event["landed_no"] for event in await landed_events()]
        assert len(numbers) == 3
        assert numbers == sorted(numbers)
        assert answers[0].json()["digest"] == answers[2].json()["digest"]

    async def test_of_a_repeated_message_change_nothing_after_later_ones(
        self, push: Any, landed_events: Any
    ) -> None:
        first = await push(ONE, "m-1")
        await push(TWO, "m-2")
        again = await push(ONE, "m-1")
        assert (again.status_code, again.json()["batch_id"]) == (200, first.json()["batch_id"])
        assert again.json()["idempotency_key"] == "m-1"
        assert len(await landed_events()) == 2

    async def test_without_a_key_are_known_by_their_content(self, push: Any) -> None:
        first = await push(ONE, "m-1")
        again = await push(ONE)
        assert (again.status_code, again.json()["batch_id"]) == (200, first.json()["batch_id"])


class TestTheSameKey:
    @pytest.mark.parametrize("other", ["row", "period", "way"])
    async def test_with_another_delivery_is_refused_and_names_its_batch(
        self, push: Any, deliver: Any, contact: dict[str, str], landed_events: Any, other: str
    ) -> None:
        first = (await push(ONE, "m-1")).json()
        if other == "way":  # the very bytes, as a file
            content = '{"学校代码": "0031", "学校名称": "求真中学"}\n'
            headers = {**contact, "Idempotency-Key": "m-1"}
            answer = await deliver(content, name="rows.jsonl", headers=headers)
        else:
            answer = await push(
                TWO if other == "row" else ONE, "m-1", "2025" if other == "period" else "2024"
            )
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert problem["type"] == "urn:edulake:problem:idempotency-key-reused"
        assert problem["batch_id"] == first["batch_id"]
        assert len(await landed_events()) == 1

    async def test_is_the_first_answer_also_after_a_withdrawal(
        self, push: Any, client: httpx.AsyncClient, contact: dict[str, str]
    ) -> None:
        batch = (await push(ONE, "m-1")).json()["batch_id"]
        taken_back = await client.post(f"/api/ingest/batches/{batch}/withdraw", headers=contact)
        assert taken_back.status_code == 200
        again = await push(ONE, "m-1")
        assert (again.status_code, again.json()["batch_id"]) == (200, batch)
        assert again.json()["status"] == "withdrawn"
        assert (await push(ONE, "m-2")).status_code == 202

    async def test_quoted_and_bare_is_one(self, push: Any) -> None:
        assert (await push(ONE, '"m-1"')).status_code == 202
        assert (await push(ONE, "m-1")).status_code == 200

    async def test_at_once_makes_one_batch_and_answers_all(self, push: Any, landed_events: Any) -> None:
        answers = await asyncio.gather(*(push(ONE, "m-1") for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 202]
        assert len({answer.json()["batch_id"] for answer in answers}) == 1
        assert len(await landed_events()) == 1

    async def test_at_once_with_different_periods_makes_one_batch_and_a_refusal(
        self, push: Any, landed_events: Any
    ) -> None:
        answers = await asyncio.gather(push(ONE, "m-1", "2024"), push(ONE, "m-1", "2025"))
        assert sorted(answer.status_code for answer in answers) == [202, 422]
        assert len(await landed_events()) == 1

    async def test_after_a_crash_before_the_answer_is_the_batch_that_landed(
        self, push: Any, landed_events: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def crash(name: str) -> None:
            if name == "ingest.after_commit":
                raise RuntimeError("the process ended")

        with monkeypatch.context() as broken:
            broken.setattr(faults, "point", crash)
            assert (await push(ONE, "m-1")).status_code == 500
        again = await push(ONE, "m-1")
        (event,) = await landed_events()
        assert (again.status_code, again.json()["batch_id"]) == (200, event["batch_id"])


class TestAFile:
    async def test_with_a_new_key_lands_again(self, deliver: Any, contact: dict[str, str]) -> None:
        answers = [
            await deliver(headers={**contact, "Idempotency-Key": key}) for key in ("f-1", "f-1", "f-2")
        ]
        assert [answer.status_code for answer in answers] == [202, 200, 202]


class TestReadKey:
    @pytest.mark.parametrize(
        ("field", "key"), [(None, None), ("a", "a"), (' "8e03-1" ', "8e03-1"), ("~" * 255, "~" * 255)]
    )
    def test_takes_what_the_draft_allows(self, field: str | None, key: str | None) -> None:
        assert read_key(field) == key

    @pytest.mark.parametrize("field", ["", '""', '"', "a b", 'a"b', "a\\b", "键", "a" * 256, "a\tb", "\x7f"])
    def test_refuses_what_is_no_key(self, field: str) -> None:
        with pytest.raises(BadKey):
            read_key(field)

    async def test_a_bad_one_is_told_before_the_delivery_is_read(self, push: Any, landed_events: Any) -> None:
        answer = await push(ONE, "a b")
        assert (answer.status_code, answer.json()["where"]) == (400, "header.idempotency-key")
        assert await landed_events() == []
