"""A form with a file, cut anywhere, goes on whole or not at all."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from edulake.common.errors import BadRequest, UnsupportedMedia
from edulake.portal.upload import Onward, Upload
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

BOUNDARY = "----x9"
FILE = "学校代码,学校名称\r\n990001,示例学校\r\n--almost a boundary\r\n".encode()


def a_part(head: str, body: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FIELDS = a_part('name="csrf"', b"token") + a_part('name="period"', b"2026")
WITH_FILE = FIELDS + a_part('name="file"; filename="\xe5.csv"', FILE)


def arriving(chunks: Sequence[bytes], *, breaks_off: bool = False, kind: str = "") -> Upload:
    """An upload whose body arrives in these chunks; at the end the browser may have left."""
    waiting: list[dict[str, object]] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    left: dict[str, object] = {"type": "http.disconnect"}
    waiting.append(left if breaks_off else {"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, object]:
        return dict(waiting.pop(0))

    content_type = kind or f"multipart/form-data; boundary={BOUNDARY}"
    headers = [(b"content-type", content_type.encode())]
    return Upload(Request({"type": "http", "method": "POST", "headers": headers}, receive))


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({place % len(body) for place in places} - {0}), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


async def whole(upload: Upload) -> bytes:
    return b"".join([piece async for piece in upload.pieces()])


class TestUpload:
    @given(st.lists(st.integers(0, 10_000), max_size=12))
    async def test_reads_the_same_wherever_it_is_cut(self, places: list[int]) -> None:
        upload = arriving(cut(WITH_FILE + END, places))
        await upload.read_fields()
        assert upload.fields == {"csrf": "token", "period": "2026"}
        assert upload.filename
        assert await whole(upload) == FILE

    async def test_the_fields_are_known_before_the_file_is_taken(self) -> None:
        upload = arriving([FIELDS, a_part('name="file"; filename="a.csv"', FILE), END])
        await upload.read_fields()
        assert upload.fields["csrf"] == "token"
        assert await upload._stream.__anext__() == END  # the file's end has not been asked for

    async def test_without_a_file_the_form_is_still_read(self) -> None:
        upload = arriving([FIELDS, END])
        await upload.read_fields()
        assert (upload.filename, upload.fields["period"]) == (None, "2026")
        assert await whole(upload) == b""

    @pytest.mark.parametrize(
        ("chunks", "breaks_off"),
        [([WITH_FILE], True), ([WITH_FILE], False), ([WITH_FILE[:-20]], True)],
        ids=["the browser left", "no closing boundary", "cut inside the file"],
    )
    async def test_half_a_file_is_never_whole(self, chunks: list[bytes], breaks_off: bool) -> None:
        upload = arriving(chunks, breaks_off=breaks_off)
        await upload.read_fields()
        with pytest.raises(BadRequest, match="broke off"):
            await whole(upload)

    @pytest.mark.parametrize(
        "body",
        [
            a_part('name="period"', b"x" * 3000) + END,
            b"".join(a_part(f'name="f{n}"', b"x") for n in range(30)) + END,
            b"no boundary at all",
        ],
        ids=["a long field", "many parts", "no form"],
    )
    async def test_what_no_page_sends_is_refused(self, body: bytes) -> None:
        with pytest.raises(BadRequest):
            await arriving([body]).read_fields()

    def test_another_kind_of_body_is_refused(self) -> None:
        with pytest.raises(UnsupportedMedia):
            arriving([], kind="application/x-www-form-urlencoded")

    async def test_skipping_takes_the_rest(self) -> None:
        upload = arriving([WITH_FILE, END])
        await upload.read_fields()
        await upload.skip()
        assert await whole(upload) == b""


class TestOnward:
    async def test_the_file_goes_on_as_it_came_with_the_period_before_it(self) -> None:
        upload = arriving([WITH_FILE, END])
        await upload.read_fields()
        onward = Onward(upload, "2026-1")
        body = b"".join([piece async for piece in onward])
        again = await read_again(onward, body)
        assert again.fields == {"period": "2026-1"}
        assert await whole(again) == FILE

    async def test_a_file_that_breaks_off_has_no_closing_boundary(self) -> None:
        upload = arriving([WITH_FILE], breaks_off=True)
        await upload.read_fields()
        sent = []
        with pytest.raises(BadRequest):
            async for piece in Onward(upload, "2026"):
                sent.append(piece)  # noqa: PERF401  # what was sent before it broke is what matters
        assert not b"".join(sent).endswith(b"--\r\n")

    async def test_a_name_cannot_add_a_header(self) -> None:
        upload = arriving([FIELDS, a_part('name="file"; filename="a.csv"', FILE), END])
        await upload.read_fields()
        upload.filename = 'x"\r\nX-Evil: yes\r\n\r\n.csv'
        body = b"".join([piece async for piece in Onward(upload, "2026")])
        assert b"\r\nX-Evil" not in body


async def read_again(onward: Onward, body: bytes) -> Upload:
    """What a receiver makes of it."""
    make: Callable[..., Upload] = arriving
    again = make([body], kind=onward.content_type)
    await again.read_fields()
    return again
