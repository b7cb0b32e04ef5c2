"""A multipart body means the same however it is cut on its way."""

import io
import tempfile
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from edulake.common.errors import BadRequest, Problem, Unprocessable
from edulake.common.gm import sm3_hex
from edulake.ingest.batch.multipart import Form, FormReader, plain_name
from hypothesis import given, settings
from hypothesis import strategies as st

BOUNDARY = b"a-boundary"


def body_of(content: bytes, period: str = "2024", name: str = "f.csv") -> bytes:
    body = io.BytesIO()
    for disposition, part in (
        ('name="period"', period.encode()),
        (f'name="file"; filename="{name}"', content),
    ):
        body.write(b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; " + disposition.encode())
        body.write(b"\r\nContent-Type: application/octet-stream\r\n\r\n" + part + b"\r\n")
    body.write(b"--" + BOUNDARY + b"--\r\n")
    return body.getvalue()


def read(pieces: list[bytes], max_bytes: int = 10_000) -> tuple[Form, bytes, bool]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "original"
        reader = FormReader(BOUNDARY, target, max_bytes)
        try:
            for piece in pieces:
                reader.feed(piece)
            return reader.form, target.read_bytes() if reader.finish() else b"", reader.finish()
        finally:
            reader.close()


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


class TestAForm:
    @given(content=st.binary(max_size=300), places=st.lists(st.integers(0, 10_000), max_size=8))
    @settings(max_examples=80, deadline=None)
    def test_is_the_same_however_it_is_cut(self, content: bytes, places: list[int]) -> None:
        form, stored, complete = read(cut(body_of(content), places))

        assert complete
        assert stored == content
        assert (form.filename, form.size_bytes, form.fields) == ("f.csv", len(content), {"period": "2024"})
        assert form.digest == sm3_hex(content)

    @given(
        content=st.lists(st.sampled_from([b"\r\n", b"--", BOUNDARY, b"-", b"x", b"\r"]), max_size=20).map(
            b"".join
        )
    )
    @settings(max_examples=80, deadline=None)
    def test_keeps_content_that_looks_like_a_boundary(self, content: bytes) -> None:
        if b"\r\n--" + BOUNDARY in b"\r\n" + content:
            return  # a real sender picks another boundary then
        assert read([body_of(content)])[1] == content

    @given(end=st.integers(1, 10_000))
    @settings(max_examples=60, deadline=None)
    def test_cut_short_is_never_complete(self, end: int) -> None:
        body = body_of(b"a,b\n1,2\n")
        # The line break after the closing boundary carries nothing.
        short = body[: end % (len(body) - 4)]
        assert not read([short])[2]

    @given(noise=st.binary(min_size=1, max_size=200))
    @settings(max_examples=80, deadline=None)
    def test_of_noise_is_a_problem_or_incomplete_and_never_a_crash(self, noise: bytes) -> None:
        outcome = []
        with suppress(BadRequest, Unprocessable):
            form, _, complete = read([noise])
            outcome.append(complete and form.filename is not None)
        assert outcome in ([], [False])

    def test_holds_at_the_largest_file(self) -> None:
        assert read([body_of(b"x" * 100)], max_bytes=100)[2]
        with pytest.raises(Problem) as refused:
            read([body_of(b"x" * 101)], max_bytes=100)
        assert (refused.value.status, refused.value.where) == (413, "form.file")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a.csv", "a.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\学校\\名册.xlsx", "名册.xlsx"),
        ("a\x00b\n.csv", "ab.csv"),
        ("", "unnamed"),
        ("x/", "unnamed"),
        ("长" * 500, "长" * 200),
    ],
)
def test_a_name_is_for_showing_only(sent: str, shown: str) -> None:
    assert plain_name(sent) == shown
