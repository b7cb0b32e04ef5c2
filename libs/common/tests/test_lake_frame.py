"""The content digest is canonical, and nothing enters the lake in a type that would come back different."""

import random
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest
from edulake.common.lake.frame import content_digest, storable
from hypothesis import given
from hypothesis import strategies as st

cells = st.one_of(st.none(), st.text(max_size=6))
tables = st.lists(st.tuples(cells, cells, st.one_of(st.none(), st.integers(-5, 5))), max_size=8)


def frame(rows: list[tuple]) -> pl.DataFrame:
    schema = {"a": pl.String, "b": pl.String, "n": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


class TestContentDigest:
    def test_it_is_pinned_so_that_no_release_changes_it_unseen(self) -> None:
        rows = pl.DataFrame(
            {"code": ["甲", None], "n": [1, 2], "on": [date(2024, 9, 1), None], "x": [1.5, None]}
        )
        assert content_digest(rows) == "b5c910d8a825f07246fbc05fe63592a36a96c1241d0b243a3194e07a6159e746"

    @given(tables, st.randoms())
    def test_order_of_rows_and_columns_does_not_count(self, rows: list[tuple], rnd: random.Random) -> None:
        shuffled = rnd.sample(rows, len(rows))
        assert content_digest(frame(rows)) == content_digest(frame(shuffled).select("n", "b", "a"))

    @given(tables, tables)
    def test_only_the_same_rows_have_the_same_digest(self, left: list[tuple], right: list[tuple]) -> None:
        def known(row: tuple) -> tuple:
            return tuple((value is None, value if value is not None else 0) for value in row)

        same = sorted(map(repr, map(known, left))) == sorted(map(repr, map(known, right)))
        assert (content_digest(frame(left)) == content_digest(frame(right))) == same

    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ({"a": ["1:x"], "b": ["y"]}, {"a": ["1"], "b": ["x1:y"]}),
            ({"a": ["-"], "b": ["x"]}, {"a": [None], "b": ["x"]}),
            ({"a": [""]}, {"a": [None]}),
            ({"a": ["1"]}, {"a": [1]}),
            ({"a": ["x"]}, {"b": ["x"]}),
            ({"a": ["x", "x"]}, {"a": ["x"]}),
        ],
    )
    def test_lookalikes_differ(self, left: dict, right: dict) -> None:
        assert content_digest(pl.DataFrame(left)) != content_digest(pl.DataFrame(right))

    def test_a_column_without_values_counts_as_absent(self) -> None:
        rows = pl.DataFrame({"a": ["x"]})
        assert content_digest(rows.with_columns(b=pl.lit(None))) == content_digest(rows)

    def test_a_frame_larger_than_a_slice_is_one_frame(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = pl.DataFrame({"a": range(100)})
        whole = content_digest(rows)
        monkeypatch.setattr("edulake.common.lake.frame.SLICE_ROWS", 7)
        assert content_digest(rows) == whole


class TestStorable:
    def test_every_accepted_type_comes_back_from_delta_with_the_same_digest(self, tmp_path) -> None:
        east = timezone(timedelta(hours=8))
        rows = pl.DataFrame(
            {
                "text": ["甲", None],
                "small": pl.Series([1, None], dtype=pl.UInt8),
                "real": pl.Series([0.1, None], dtype=pl.Float32),
                "yes": [True, None],
                "day": [date(2024, 9, 1), None],
                "at": [datetime(2024, 9, 1, 8, tzinfo=east), None],
                "money": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2)),
                "bytes": [b"\x00\xff", None],
                "kind": pl.Series(["x", None], dtype=pl.Categorical),
                "none": [None, None],
            }
        )
        storable(rows).write_delta(str(tmp_path / "t"))
        assert content_digest(pl.read_delta(str(tmp_path / "t"))) == content_digest(rows)
        assert storable(rows)["at"][0] == datetime(2024, 9, 1, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        "column",
        [[[1, 2]], [{"a": 1}], [datetime(2024, 9, 1)], [timedelta(1)]],  # noqa: DTZ001
        ids=["list", "struct", "naive datetime", "duration"],
    )
    def test_a_type_that_would_not_survive_is_named(self, column: list) -> None:
        with pytest.raises(TypeError, match="'odd'"):
            storable(pl.DataFrame({"odd": column}))
