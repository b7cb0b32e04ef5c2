"""Pushing rows as JSON: the same way as a file, bounded, and once."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from edulake.ingest.settings import IngestSettings

ROWS = "/api/ingest/sources/roster/datasets/school_base/rows"


@pytest.fixture
def settings(make_settings: Callable[..., Any]) -> IngestSettings:
    made: IngestSettings = make_settings(
        IngestSettings, push_max_bytes=20_000, push_rows_max=50, reader_memory_bytes=1 << 30
    )
    return made


@pytest.fixture
def push(client: httpx.AsyncClient, roster: Any, contact: dict[str, str]) -> Callable[..., Any]:
    async def send(content: Any) -> httpx.Response:
        if isinstance(content, bytes):
            headers = {**contact, "Content-Type": "application/json"}
            return await client.post(ROWS, content=content, headers=headers)
        return await client.post(ROWS, json=content, headers=contact)

    return send


SCHOOL = {"学校代码": "0031", "学校名称": "求真中学", "学生数": 12}


class TestRows:
    async def test_land_as_text(self, push: Any, rows_of: Any) -> None:
        answer = await push({"period": "2024", "rows": [SCHOOL, {"学校代码": "0032", "学校名称": None}]})

        assert answer.status_code == 202, answer.text
        batch = answer.json()
        assert (batch["format"], batch["rows_landed"]) == ("rows", 2)
        frame = await rows_of(batch["digest"])
        assert frame.sort("_row").select("学校代码", "学生数", "学校名称").rows() == [
            ("0031", "12", "求真中学"),
            ("0032", None, None),
        ]

    async def test_keep_the_digits_of_numbers(self, push: Any, rows_of: Any) -> None:
        body = '{"period": "2024", "rows": [{"学校代码": 100, "学校名称": "求真", "x": 1.50, "y": 12345678901234567890}]}'
        batch = (await push(body.encode())).json()
        assert (await rows_of(batch["digest"])).select("学校代码", "x", "y").rows() == [
            ("100", "1.50", "12345678901234567890")
        ]

    async def test_pushed_again_in_another_spelling_are_the_first_batch(self, push: Any, count: Any) -> None:
        first = await push({"period": "2024", "rows": [SCHOOL]})
        again = await push({"rows": [dict(reversed(SCHOOL.items()))], "period": "2024"})

        assert (first.status_code, again.status_code) == (202, 200)
        assert first.json()["batch_id"] == again.json()["batch_id"]
        assert await count("ingest.batch") == 1

    async def test_pushed_again_after_others_are_the_first_batch(self, push: Any) -> None:
        first = await push({"period": "2024", "rows": [SCHOOL]})
        beside = await push({"period": "2024", "rows": [{**SCHOOL, "学校代码": "0032"}]})
        again = await push({"period": "2024", "rows": [SCHOOL]})

        assert (beside.status_code, again.status_code) == (202, 200)
        assert again.json()["batch_id"] == first.json()["batch_id"]

    async def test_pushed_again_after_a_file_that_replaced_them_are_a_new_batch(
        self, push: Any, deliver: Any
    ) -> None:
        first = await push({"period": "2024", "rows": [SCHOOL]})
        file = await deliver(f"{','.join(SCHOOL)}\n{','.join(map(str, SCHOOL.values()))}\n")
        assert file.json()["status"] == "landed"
        again = await push({"period": "2024", "rows": [SCHOOL]})

        assert again.status_code == 202
        assert again.json()["batch_id"] != first.json()["batch_id"]

    async def test_make_the_file_before_them_count_again(self, push: Any, deliver: Any) -> None:
        """A file is all there is of its period: once more, it takes the place of what was pushed since."""
        await deliver()
        await push({"period": "2024", "rows": [SCHOOL]})
        assert (await deliver()).status_code == 202

    async def test_that_came_to_nothing_are_pushed_again_as_a_new_batch(
        self, push: Any, come_to: Any
    ) -> None:
        first = await push({"period": "2024", "rows": [SCHOOL]})
        await come_to(first.json()["batch_id"], "quarantined")
        assert (await push({"period": "2024", "rows": [SCHOOL]})).status_code == 202

    async def test_are_announced_as_rows_that_add(self, push: Any, landed_events: Any) -> None:
        await push({"period": "2024", "rows": [SCHOOL]})
        (event,) = await landed_events()
        assert event["format"] == "rows"

    async def test_are_not_the_same_delivery_as_a_file_of_the_same_bytes(
        self, push: Any, deliver: Any, landed_events: Any
    ) -> None:
        pushed = await push({"period": "2024", "rows": [{"学校代码": "0031", "学校名称": "求真中学"}]})
        content = '{"学校代码": "0031", "学校名称": "求真中学"}\n'
        file = await deliver(content, name="rows.jsonl")

        assert (pushed.status_code, file.status_code) == (202, 202)
        assert pushed.json()["digest"] == file.json()["digest"]
        assert [event["format"] for event in await landed_events()] == ["rows", "jsonl"]


REFUSED: list[tuple[Any, int, str]] = [
    ({"period": "2024"}, 422, "body"),
    ({"period": "2024", "rows": []}, 422, "body.rows"),
    ({"period": "2024", "rows": "x"}, 422, "body.rows"),
    ({"period": None, "rows": [SCHOOL]}, 422, "body.period"),
    ({"period": "2024", "rows": [SCHOOL], "more": 1}, 422, "body"),
    ([], 422, "body"),
    ({"period": "2024", "rows": [SCHOOL, 7]}, 422, "body.rows.1"),
    ({"period": "2024", "rows": [{"a": {"b": 1}}]}, 422, "body.rows.0"),
    ({"period": "2024", "rows": [{"天气": "晴"}]}, 422, "file header"),
    ({"period": "2024", "rows": [SCHOOL] * 51}, 413, "body.rows"),
    (b"{", 400, "body"),
    (b'{"period": "2024", "rows": [{"a": 1, "a": 2}]}', 400, "body"),
    (b"[" * 10_000, 400, "body"),
    (b'{"period": "2024", "rows": [{"a": "\xff"}]}', 400, "body"),
    (b" " * 30_000, 413, "form.file"),
]


class TestRefusals:
    async def test_say_where(self, push: Any, count: Any) -> None:
        for body, status, where in REFUSED:
            answer = await push(body)
            assert (answer.status_code, answer.json()["where"]) == (status, where), body
        assert await count("ingest.batch") == 0

    async def test_do_not_meet_a_period_in_digits(self, push: Any) -> None:
        assert (await push({"period": 2024, "rows": [SCHOOL]})).json()["period"] == "2024"

    async def test_of_another_media_type(
        self, client: httpx.AsyncClient, roster: Any, contact: dict[str, str]
    ) -> None:
        answer = await client.post(ROWS, content=b"a", headers={**contact, "Content-Type": "text/csv"})
        assert answer.status_code == 415
