"""Settings, cursors and logs."""

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from edulake.common.paging import BadCursor, decode_cursor, encode_cursor, page_of
from edulake.common.settings import Settings
from edulake.common.telemetry import JsonFormatter, adopt_trace, logger, traceparent
from hypothesis import given
from hypothesis import strategies as st

KEY = b"k" * 32


class TestSettings:
    def test_ports_follow_the_gateway(self) -> None:
        settings = Settings(port=9000)
        assert settings.service_url("catalog") == "http://127.0.0.1:9002"
        assert settings.issuer == "http://127.0.0.1:9000"

    def test_an_address_can_be_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDULAKE_CATALOG_URL", "http://catalog:80/")
        assert Settings().service_url("catalog") == "http://catalog:80"

    def test_production_refuses_plain_http(self) -> None:
        with pytest.raises(ValueError, match="https"):
            Settings(env="production", public_url="http://lake.example")

    @pytest.mark.parametrize("url", ["lake.example", "ftp://x", "http://x/path", "http://"])
    def test_a_public_url_must_be_an_origin(self, url: str) -> None:
        with pytest.raises(ValueError, match="PUBLIC_URL"):
            Settings(public_url=url)

    def test_the_internal_key_is_made_once_and_private(self, tmp_path: Path) -> None:
        first, second = Settings(home=tmp_path).internal_key, Settings(home=tmp_path).internal_key
        assert first == second
        assert (tmp_path / "secrets" / "internal.key").stat().st_mode & 0o077 == 0

    def test_production_makes_no_key(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match=r"internal\.key"):
            _ = Settings(home=tmp_path, env="production", public_url="https://lake.example").internal_key


class TestCursor:
    @given(st.lists(st.one_of(st.text(), st.integers(-(2**60), 2**60), st.none()), max_size=4))
    def test_comes_back_as_it_was(self, values: list[object]) -> None:
        as_is = [lambda value: value] * len(values)
        assert decode_cursor(encode_cursor(values, KEY), KEY, *as_is) == values

    @pytest.mark.parametrize(
        ("values", "read"),
        [
            ([1], (str, str)),
            (["x", "y"], (str,)),
            (["no number"], (int,)),
            (["2026-01-01T00:00:00Z", "no uuid"], (datetime.fromisoformat, UUID)),
            ([5, "x"], (datetime.fromisoformat, str)),
        ],
    )
    def test_one_that_another_list_issued_is_refused(
        self, values: list[object], read: tuple[Any, ...]
    ) -> None:
        with pytest.raises(BadCursor, match="another list"):
            decode_cursor(encode_cursor(values, KEY), KEY, *read)

    @pytest.mark.parametrize("forged", ["", "x", "!!", "AAAA", "' OR 1=1 --", "é" * 20])
    def test_what_we_did_not_make_is_refused(self, forged: str) -> None:
        with pytest.raises(BadCursor):
            decode_cursor(forged, KEY)

    def test_another_key_is_refused(self) -> None:
        with pytest.raises(BadCursor):
            decode_cursor(encode_cursor([1], KEY), b"o" * 32)

    def test_the_last_page_has_no_next(self) -> None:
        assert page_of([1, 2], 2, lambda row: [row], KEY).next is None
        page = page_of([1, 2, 3], 2, lambda row: [row], KEY)
        assert page.items == [1, 2]
        assert decode_cursor(page.next or "", KEY, int) == [2]


class TestLogs:
    def lines(self, caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
        return [json.loads(JsonFormatter().format(record)) for record in caplog.records]

    def test_are_json_with_the_trace(self, caplog: pytest.LogCaptureFixture) -> None:
        trace = adopt_trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        with caplog.at_level(logging.INFO):
            logger("t").info("batch landed", rows=3)
        (line,) = self.lines(caplog)
        assert (line["event"], line["rows"], line["trace_id"]) == ("batch landed", 3, trace)
        assert traceparent().split("-")[1] == trace

    def test_withhold_personal_fields(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            logger("t").info("oops", student_name="张三", secret="s3cret")
        assert "张三" not in str(self.lines(caplog))
        assert "s3cret" not in str(self.lines(caplog))

    def test_a_stack_shows_places_and_no_values(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            value = "".join(["张", "三"])
            try:
                raise ValueError(value)
            except ValueError:
                logger("t").exception("failed")
        (line,) = self.lines(caplog)
        assert "test_kit.py" in str(line["stack"])
        assert "张三" not in str(line)

    @pytest.mark.parametrize("header", [None, "", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "x" * 99])
    def test_an_unusable_traceparent_begins_a_new_trace(self, header: str | None) -> None:
        assert len(adopt_trace(header)) == 32
        assert set(adopt_trace(header)) != {"0"}
