"""Everything that can be wrong with a delivery: a clear problem, and no batch, event or object left."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from edulake.cli.synthetic import identity_number
from edulake.common.service import Resources
from edulake.ingest.batch import delivery, receive
from edulake.ingest.settings import IngestSettings
from edulake.ingest.source.readers.run import ReaderFailed
from fastapi import FastAPI

CSV = "学校代码,学校名称,所属区\n0031,求真中学,宝山区\n"
BASE = "/api/ingest/sources"
DELIVERIES = f"{BASE}/roster/datasets/school_base/deliveries"


@pytest.fixture
def settings(make_settings: Callable[..., Any]) -> IngestSettings:
    made: IngestSettings = make_settings(
        IngestSettings,
        upload_max_bytes=200_000,
        rows_max=100,
        columns_max=20,
        reader_memory_bytes=1 << 30,
        expanded_max_bytes=5 << 20,
    )
    return made


@pytest.fixture
async def nothing_left(count: Any, landed_events: Any, resources: Resources) -> AsyncIterator[None]:
    """After the test: no batch, no event, nothing staged, nothing in the lake."""
    yield
    assert await count("ingest.batch") == 0
    assert await landed_events() == []
    home: Path = resources.settings.home
    assert list((home / "tmp" / "ingest").iterdir()) == []
    assert not [path for path in (home / "lake").rglob("*") if path.is_file()]


def zipped(**files: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["trace_id"]
    assert " / " in body["title"]
    return str(body["type"]).removeprefix("urn:edulake:problem:")


@pytest.mark.usefixtures("nothing_left")
class TestTheAddress:
    async def test_unknown_dataset_lists_the_known_ones(self, deliver: Any) -> None:
        answer = await deliver(url=f"{BASE}/roster/datasets/no_such/deliveries")
        assert (answer.status_code, code_of(answer)) == (404, "unknown-dataset")
        assert "school_base" in answer.json()["known"]

    async def test_unknown_source(self, deliver: Any) -> None:
        answer = await deliver(url=f"{BASE}/nobody/datasets/school_base/deliveries")
        assert (answer.status_code, code_of(answer)) == (404, "unknown-source")

    async def test_dataset_the_source_is_not_registered_for(self, deliver: Any) -> None:
        answer = await deliver(url=f"{BASE}/roster/datasets/student_base/deliveries")
        assert (answer.status_code, code_of(answer)) == (404, "dataset-not-of-source")
        assert answer.json()["known"] == ["school_base"]

    async def test_contact_of_another_source(self, deliver: Any, stranger: dict[str, str]) -> None:
        answer = await deliver(headers=stranger)
        assert (answer.status_code, code_of(answer)) == (404, "unknown-source")

    async def test_name_of_the_contact_without_the_role(self, deliver: Any, as_subject: Any) -> None:
        applicant = as_subject("applicant", id="person:wu-contact", audience="ingest")
        assert (await deliver(headers=applicant)).status_code == 403

    async def test_nobody(self, client: httpx.AsyncClient, roster: Any) -> None:
        answer = await client.post(DELIVERIES, files={"file": ("a.csv", CSV)}, data={"period": "2024"})
        assert answer.status_code == 401

    async def test_suspended_source(
        self, client: httpx.AsyncClient, deliver: Any, steward: dict[str, str], roster: Any
    ) -> None:
        body = {name: roster[name] for name in ("title", "organisation", "contact", "datasets")}
        await client.put(f"{BASE}/roster", json={**body, "status": "suspended"}, headers=steward)
        answer = await deliver()
        assert (answer.status_code, code_of(answer)) == (403, "source-suspended")


UNREADABLE = [
    (CSV.encode("utf-16"), 415, "unsupported-encoding"),
    (CSV.encode("utf-16-le"), 415, "binary-content"),
    (b"\x00\x01\x02\x03", 415, "binary-content"),
    (b"%PDF-1.7", 415, "unsupported-format"),
    (b"", 422, "empty-file"),
    ("学校代码,学校名称\n".encode(), 422, "no-rows"),
    ("学校代码,学校代码\n1,2\n".encode(), 422, "duplicate-header"),
    ("学校代码,,x\n1,2,3\n".encode(), 422, "empty-header"),
    ('学校代码,学校名称\n1,"2\n'.encode(), 422, "broken-quotes"),
    ('{"学校代码": {"a": 1}}\n'.encode(), 422, "nested-value"),
    (("学校代码\n" + "1\n" * 101).encode(), 413, "too-many-rows"),
    ((",".join(f"c{n}" for n in range(21)) + "\n1\n").encode(), 422, "too-many-columns"),
    (("学校代码\n" + "x" * 40_000 + "\n").encode(), 422, "cell-too-long"),
    (zipped(**{"a.csv": CSV, "b.csv": CSV}), 415, "plain-archive"),
    (zipped(**{"[Content_Types].xml": "", "xl/workbook.xml": "\0" * (6 << 20)}), 413, "archive-bomb"),
    (zipped(**{"[Content_Types].xml": "", "xl/workbook.xml": "<a"}), 422, "broken-workbook"),
]


@pytest.mark.usefixtures("nothing_left")
class TestTheContent:
    async def test_wrong_header_names_what_came_and_what_was_expected(self, deliver: Any) -> None:
        answer = await deliver("天气,温度\n晴,20\n")
        assert (answer.status_code, code_of(answer)) == (422, "wrong-header")
        body = answer.json()
        assert body["where"] == "file header"
        assert body["delivered"] == ["第 1 列（汉字 1–4 位）", "第 2 列（汉字 1–4 位）"]
        assert body["expected"]
        assert "天气" not in answer.text

    async def test_without_a_header_row_is_refused_without_repeating_its_first_person(
        self, deliver: Any
    ) -> None:
        row = f"卡纳瑞,{identity_number('20120517', 12)},宝山区"
        answer = await deliver(f"{row}\n{row}\n")
        assert (answer.status_code, code_of(answer)) == (422, "personal-header")
        assert answer.json()["places"] == [2]
        assert "卡纳瑞" not in answer.text
        assert "310199" not in answer.text

    async def test_named_after_a_person_by_period_or_key_is_refused(
        self, deliver: Any, contact: dict[str, str]
    ) -> None:
        number = identity_number("20120517", 12)
        by_period = await deliver(period=number)
        by_key = await deliver(headers={**contact, "Idempotency-Key": f"k-{number}"})
        for answer in (by_period, by_key):
            assert (answer.status_code, code_of(answer)) == (422, "personal-name")
            assert number not in answer.text

    async def test_that_cannot_be_read_is_named(self, deliver: Any) -> None:
        for content, status, code in UNREADABLE:
            answer = await deliver(content)
            assert (code, answer.status_code, code_of(answer)) == (code, status, code)

    async def test_that_the_reader_dies_of_is_our_defect_and_can_be_retried(
        self, deliver: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def die(*_args: object, **_more: object) -> None:
            raise ReaderFailed("exit code 1")

        monkeypatch.setattr(delivery, "read_delivery", die)
        answer = await deliver()
        assert (answer.status_code, code_of(answer)) == (503, "reader-failed")

    async def test_never_reaches_a_log(self, deliver: Any, capfd: pytest.CaptureFixture[str]) -> None:
        await deliver("310101201001011234,canary-name\n1,2\n")
        assert "310101201001011234" not in "".join(capfd.readouterr())


@pytest.mark.usefixtures("nothing_left")
class TestTheForm:
    async def test_missing_file(
        self, client: httpx.AsyncClient, roster: Any, contact: dict[str, str]
    ) -> None:
        answer = await client.post(
            DELIVERIES, files={"other": ("a.csv", CSV)}, data={"period": "2024"}, headers=contact
        )
        assert (answer.status_code, code_of(answer)) == (422, "missing-part")
        assert answer.json()["where"] == "form.file"

    async def test_missing_period(self, deliver: Any) -> None:
        answer = await deliver(period=None)
        assert (answer.status_code, answer.json()["where"]) == (422, "form.period")

    async def test_bad_period(self, deliver: Any) -> None:
        for period in ("", "2024年", "../../etc", "x" * 33, "2024 '"):
            answer = await deliver(period=period)
            assert (answer.status_code, answer.json()["where"]) == (422, "form.period")

    async def test_two_files(self, client: httpx.AsyncClient, roster: Any, contact: dict[str, str]) -> None:
        files = [("file", ("a.csv", CSV)), ("file", ("b.csv", CSV))]
        answer = await client.post(DELIVERIES, files=files, data={"period": "2024"}, headers=contact)
        assert (answer.status_code, code_of(answer)) == (400, "bad-form")

    async def test_no_form_at_all(
        self, client: httpx.AsyncClient, roster: Any, contact: dict[str, str]
    ) -> None:
        answer = await client.post(DELIVERIES, json={"a": 1}, headers=contact)
        assert (answer.status_code, code_of(answer)) == (415, "not-multipart")

    async def test_endless_field(
        self, client: httpx.AsyncClient, roster: Any, contact: dict[str, str]
    ) -> None:
        answer = await client.post(
            DELIVERIES, files={"file": ("a.csv", CSV)}, data={"period": "2" * 5000}, headers=contact
        )
        assert (answer.status_code, code_of(answer)) == (400, "bad-form")

    async def test_many_parts(self, client: httpx.AsyncClient, roster: Any, contact: dict[str, str]) -> None:
        answer = await client.post(
            DELIVERIES,
            files={"file": ("a.csv", CSV)},
            data={f"f{number}": "x" for number in range(30)},
            headers=contact,
        )
        assert (answer.status_code, code_of(answer)) == (400, "bad-form")

    async def test_garbage_between_the_boundaries(
        self, client: httpx.AsyncClient, roster: Any, contact: dict[str, str]
    ) -> None:
        headers = {**contact, "Content-Type": "multipart/form-data; boundary=b"}
        answer = await client.post(DELIVERIES, content=b"--b\r\n\x00\x01:\r\n", headers=headers)
        assert (answer.status_code, code_of(answer)) == (400, "bad-form")


def form(content: str = CSV) -> bytes:
    return (
        '--b\r\nContent-Disposition: form-data; name="period"\r\n\r\n2024\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        f"{content}\r\n--b--\r\n"
    ).encode()


@pytest.mark.usefixtures("nothing_left", "roster")
class TestTheTransfer:
    @pytest.fixture
    def headers(self, contact: dict[str, str]) -> dict[str, str]:
        return {**contact, "Content-Type": "multipart/form-data; boundary=b"}

    async def test_too_large_by_its_own_word(
        self, client: httpx.AsyncClient, headers: dict[str, str]
    ) -> None:
        answer = await client.post(
            DELIVERIES, content=b"x", headers={**headers, "Content-Length": "900000000"}
        )
        assert (answer.status_code, code_of(answer)) == (413, "upload-too-large")

    async def test_too_large_without_a_word(self, client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        async def endless() -> AsyncIterator[bytes]:
            yield form()[:200]
            for _ in range(100):
                yield b"1,2,3\n" * 1000

        answer = await client.post(DELIVERIES, content=endless(), headers=headers)
        assert (answer.status_code, code_of(answer)) == (413, "upload-too-large")

    @pytest.mark.parametrize("cut", [30, 100, -20, -4])
    async def test_cut_anywhere(self, client: httpx.AsyncClient, headers: dict[str, str], cut: int) -> None:
        async def partial() -> AsyncIterator[bytes]:
            yield form()[:cut]

        answer = await client.post(DELIVERIES, content=partial(), headers=headers)
        assert (answer.status_code, code_of(answer)) == (400, "truncated-upload")

    async def test_another_length_than_declared(
        self, client: httpx.AsyncClient, headers: dict[str, str]
    ) -> None:
        answer = await client.post(
            DELIVERIES, content=form(), headers={**headers, "Content-Length": str(len(form()) + 10)}
        )
        assert (answer.status_code, code_of(answer)) == (400, "truncated-upload")

    async def test_standing_still(
        self, client: httpx.AsyncClient, resources: Resources, headers: dict[str, str]
    ) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield form()[:100]
            await asyncio.Event().wait()

        vars(resources.settings)["upload_idle_s"] = 0.2
        answer = await client.post(DELIVERIES, content=slow(), headers=headers)
        assert (answer.status_code, code_of(answer)) == (408, "upload-stalled")

    async def test_a_lost_connection(self, app: FastAPI, headers: dict[str, str]) -> None:
        messages = iter(
            [{"type": "http.request", "body": form()[:100], "more_body": True}, {"type": "http.disconnect"}]
        )
        sent: list[Any] = []

        async def receive_message() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http", "method": "POST", "path": DELIVERIES, "raw_path": DELIVERIES.encode(),
            "query_string": b"", "headers": raw, "http_version": "1.1", "scheme": "http",
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "app": app,
        }  # fmt: skip
        await app(scope, receive_message, send)
        assert sent[0]["status"] == 400

    async def test_a_full_disk(
        self, client: httpx.AsyncClient, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(receive.FormReader, "feed", full)
        answer = await client.post(DELIVERIES, content=form(), headers=headers)
        assert (answer.status_code, code_of(answer)) == (503, "storage-full")
        assert answer.headers["retry-after"] == "60"
