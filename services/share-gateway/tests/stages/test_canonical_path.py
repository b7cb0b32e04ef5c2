from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest
from edulake.common.errors import Problem
from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.stages.canonical_path import canonical_path
from hypothesis import given
from hypothesis import strategies as st


def examine(target: bytes) -> Exchange:
    path, _, query = target.partition(b"?")
    x: Any = SimpleNamespace(scope={"raw_path": path, "query_string": query}, path="", query=b"")
    canonical_path(cast(Exchange, x))
    return cast(Exchange, x)


class TestWhatPasses:
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/share/v1/schools",
            "/.well-known/jwks.json",
            "/static/app.3f2a.css",
            "/static/a..b.css",
            "/login/callback",
            "/resources/dataset:school_base",
            "/search/%E5%AD%A6%E6%A0%A1",
            "/search/a%20b",
            "/~user/",
        ],
    )
    def test_the_only_spelling_of_an_address_passes_unchanged(self, path: str) -> None:
        assert examine(path.encode()).path == path

    def test_a_query_passes_as_sent(self) -> None:
        query = b"district=310115&name=%E5%AD%A6%E6%A0%A1&x=a+b"
        assert examine(b"/share/v1/schools?" + query).query == query


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "path",
        [
            *(
                "/a/../b",
                "/a/./b",
                "/..",
                "/a//b",
                "//a",
                "/a\\b",
                "/a;b",
                "/a%2fb",
                "/a%5Cb",
                "/a%00b",
                "/a%25b",
            ),
            *(
                "/%61pi",
                "/a%2eb",
                "/a%7Eb",
                "/%C3%28",
                "/%80",
                "/a%0Ab",
                "/a%7fb",
                "/a%3Fb",
                "/a%23b",
                "/a%3bb",
            ),
            *(
                "/%EF%BC%8E%EF%BC%8E/b",
                "/a%EF%BC%8Fb",
                "/a%E2%80%8Bb",
                "/%E2%80%A8",
                "/a%",
                "/a%4",
                "/a%zz",
                "",
                "a",
            ),
            *(
                "/API/x",
                "/Share/v1/schools",
                "/api./x",
                "/api%20/x",
                "/%EF%BD%81pi/x",
                "/INTERNAL/x",
                "/well-known/x",
            ),
        ],
    )
    def test_every_second_spelling_is_refused(self, path: str) -> None:
        with pytest.raises(Problem) as found:
            examine(path.encode())
        assert found.value.status in (400, 404)

    @pytest.mark.parametrize(
        "query", [b"a=%00", b"a=%ff", b"a=%", b"a=\xe5", b"a=b#c", b"a=%0a", b"a= b", b"a=\\"]
    )
    def test_a_query_with_controls_bad_escapes_or_a_fragment(self, query: bytes) -> None:
        with pytest.raises(Problem) as found:
            examine(b"/a?" + query)
        assert found.value.status == 400

    def test_an_address_that_is_too_long(self) -> None:
        for target in (b"/" + b"a" * 2048, b"/a?" + b"b" * 8193):
            with pytest.raises(Problem) as found:
                examine(target)
            assert found.value.status == 414


class TestForAnyText:
    @given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
    def test_what_passes_stands_for_one_path_only(self, segments: list[str]) -> None:
        """If a target passes, decoding it gives the same number of segments, none of them dots."""
        target = "/" + "/".join(quote(segment, safe="") for segment in segments)
        try:
            examine(target.encode())
        except Problem:
            return
        assert not any(set(segment) <= {"."} for segment in segments)
        assert not any(letter in segment for segment in segments for letter in "/\\;#?%\0")

    @given(st.binary(max_size=30))
    def test_any_bytes_are_refused_or_kept_as_they_are(self, raw: bytes) -> None:
        target = b"/" + raw.replace(b"?", b"")
        try:
            x = examine(target)
        except Problem:
            return
        assert x.path.encode() == target
        assert b"//" not in target
