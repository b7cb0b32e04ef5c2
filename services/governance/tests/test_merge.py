"""Merging many sources into one table: who wins, what is remembered, and that order never matters."""

import random

import orjson
import polars as pl
import pytest
from edulake.governance.dataset.merge import Group, Stamp, contribute, merge
from hypothesis import given, settings
from hypothesis import strategies as st

NAME, PHONE = Group("name", ("name",)), Group("phone", ("phone", "phone_token", "phone_sealed"))
GROUPS = [NAME, PHONE]
SCHEMA = {
    "_row_key": pl.String,
    "name": pl.String,
    "phone": pl.String,
    "phone_token": pl.String,
    "phone_sealed": pl.String,
}


def rows(*values: tuple[str, str | None, str | None]) -> pl.DataFrame:
    """Rows of (key, name, phone); the phone's token and seal follow from it."""
    return pl.DataFrame(
        [
            (key, name, phone and phone[:1] + "***", phone and f"t:{phone}", phone and f"s:{phone}")
            for key, name, phone in values
        ],
        schema=SCHEMA,
        orient="row",
    )


def stamp(
    source: str, authority: int, landed_no: int, *, period: str = "2024", is_whole: bool = True
) -> Stamp:
    return Stamp(source, authority, period, landed_no, f"batch-{landed_no}", is_whole)


def put(*deliveries: tuple[pl.DataFrame, Stamp]) -> pl.DataFrame:
    """The governed table after these deliveries; those replaced by later ones leave no trace."""
    return merge(put_parts(*deliveries), GROUPS)


def put_parts(*deliveries: tuple[pl.DataFrame, Stamp]) -> pl.DataFrame:
    parts: pl.DataFrame | None = None
    for frame, by in deliveries:
        after = contribute(parts, frame, by)
        parts = parts if after is None else after
    assert parts is not None
    return parts


def row(frame: pl.DataFrame, key: str) -> dict[str, object]:
    return frame.row(by_predicate=pl.col("_row_key") == key, named=True)


class TestWhoWins:
    def test_the_most_authoritative_source_wins_whichever_landed_first(self) -> None:
        strong = (rows(("k", "strong", None)), stamp("a", 9, 1))
        weak = (rows(("k", "weak", None)), stamp("b", 1, 2))
        assert row(put(strong, weak), "k")["name"] == "strong"
        assert row(put(weak, strong), "k")["name"] == "strong"

    def test_an_empty_field_is_filled_by_the_next_source(self) -> None:
        merged = put(
            (rows(("k", "strong", None)), stamp("a", 9, 1)), (rows(("k", None, "138")), stamp("b", 1, 2))
        )
        assert row(merged, "k")["phone_token"] == "t:138"
        assert row(merged, "k")["name"] == "strong"

    def test_between_equals_the_newer_batch_wins(self) -> None:
        merged = put(
            (rows(("k", "old", None)), stamp("a", 5, 1)), (rows(("k", "new", None)), stamp("b", 5, 2))
        )
        assert row(merged, "k")["name"] == "new"

    def test_a_late_delivery_of_an_earlier_period_does_not_win(self) -> None:
        merged = put(
            (rows(("k", "of 2024", None)), stamp("a", 5, 1, period="2024")),
            (rows(("k", "of 2022", None)), stamp("a", 5, 2, period="2022")),
        )
        assert row(merged, "k")["name"] == "of 2024"

    @pytest.mark.parametrize(
        ("earlier", "later"),
        [
            ("2024-9", "2024-10"),
            ("2024-09", "2024-10"),
            ("2024", "2024-1"),
            ("2023-12", "2024"),
            ("2024-2", "2024-11"),
        ],
    )
    def test_the_later_period_wins_however_its_numbers_are_written(self, earlier: str, later: str) -> None:
        merged = put(
            (rows(("k", "later", None)), stamp("a", 5, 1, period=later)),
            (rows(("k", "earlier", None)), stamp("a", 5, 2, period=earlier)),
        )
        assert row(merged, "k")["name"] == "later"

    def test_two_ways_to_write_a_period_are_of_the_same_time(self) -> None:
        merged = put(
            (rows(("k", "old", None)), stamp("a", 5, 1, period="2024-9")),
            (rows(("k", "new", None)), stamp("b", 5, 2, period="2024-09")),
        )
        assert row(merged, "k")["name"] == "new"

    def test_share_form_token_and_seal_come_from_the_same_row(self) -> None:
        torn = rows(("k", "x", "138")).with_columns(pl.lit(None, pl.String).alias("phone"))
        merged = row(put((torn, stamp("a", 9, 1)), (rows(("k", "x", "999")), stamp("b", 1, 2))), "k")
        assert (merged["phone"], merged["phone_token"], merged["phone_sealed"]) == (None, "t:138", "s:138")


class TestProvenance:
    def test_names_the_losers_that_differ_and_only_those(self) -> None:
        merged = put(
            (rows(("k", "right", "138"), ("only-a", "x", None)), stamp("a", 9, 1)),
            (rows(("k", "wrong", "138")), stamp("b", 5, 2)),
            (rows(("k", "odd", None)), stamp("c", 1, 3)),
        )
        provenance = orjson.loads(str(row(merged, "k")["_provenance"]))
        assert provenance == {"name": [{"source": "b", "value": "wrong"}, {"source": "c", "value": "odd"}]}
        assert row(merged, "only-a")["_provenance"] == "{}"

    def test_sources_stand_in_order_of_precedence(self) -> None:
        merged = put((rows(("k", "x", None)), stamp("b", 1, 1)), (rows(("k", "y", None)), stamp("z", 9, 2)))
        assert row(merged, "k")["_sources"] == '["z","b"]'

    def test_tells_values_apart_by_token_but_shows_only_the_share_form(self) -> None:
        merged = put((rows(("k", "x", "138")), stamp("a", 9, 1)), (rows(("k", "x", "139")), stamp("b", 1, 2)))
        text = str(row(merged, "k")["_provenance"])
        assert orjson.loads(text) == {"phone": [{"source": "b", "value": "1***"}]}

    def test_history_of_the_winning_source_is_not_a_conflict(self) -> None:
        merged = put(
            (rows(("k", "old", None)), stamp("a", 5, 1, period="2023")),
            (rows(("k", "new", None)), stamp("a", 5, 2, period="2024")),
        )
        assert row(merged, "k")["_provenance"] == "{}"


class TestEvidence:
    GROUPS = (Group("name", ("name",), ("_name_raw",)), PHONE)

    def merged(self, *deliveries: tuple[pl.DataFrame, Stamp]) -> dict[str, object]:
        return row(merge(put_parts(*deliveries), [*self.GROUPS, Group("_filled", ("_filled",))]), "k")

    def test_the_raw_value_goes_with_the_value_and_never_wins_alone(self) -> None:
        empty = rows(("k", None, None)).with_columns(
            pl.lit("unreadable").alias("_name_raw"), pl.lit(None, pl.String).alias("_filled")
        )
        named = rows(("k", "name", None)).with_columns(
            pl.lit("NAME").alias("_name_raw"), pl.lit(None, pl.String).alias("_filled")
        )
        merged = self.merged((empty, stamp("a", 9, 1)), (named, stamp("b", 1, 2)))
        assert (merged["name"], merged["_name_raw"]) == ("name", "NAME")

    def test_filled_speaks_of_the_winning_values_only(self) -> None:
        strong = rows(("k", "name", None)).with_columns(
            pl.lit(None, pl.String).alias("_name_raw"), pl.lit('{"phone":"derived"}').alias("_filled")
        )
        weak = rows(("k", "other", "138")).with_columns(
            pl.lit(None, pl.String).alias("_name_raw"),
            pl.lit('{"name":"schools:code","phone":"register"}').alias("_filled"),
        )
        merged = self.merged((strong, stamp("a", 9, 1)), (weak, stamp("b", 1, 2)))
        assert merged["_filled"] == '{"phone":"register"}'


class TestContribute:
    def test_a_whole_delivery_replaces_what_the_source_sent_for_the_period(self) -> None:
        merged = put(
            (rows(("gone", "x", None), ("k", "old", None)), stamp("a", 5, 1)),
            (rows(("k", "new", None)), stamp("a", 5, 2)),
        )
        assert merged["_row_key"].to_list() == ["k"]

    def test_pushed_rows_add_to_it(self) -> None:
        merged = put(
            (rows(("stays", "x", None), ("k", "old", None)), stamp("a", 5, 1)),
            (rows(("k", "new", None)), stamp("a", 5, 2, is_whole=False)),
        )
        assert merged["name"].to_list() == ["new", "x"]

    def test_other_periods_and_sources_stay(self) -> None:
        merged = put(
            (rows(("p", "x", None)), stamp("a", 5, 1, period="2023")),
            (rows(("q", "x", None)), stamp("b", 5, 2)),
            (rows(("r", "x", None)), stamp("a", 5, 3)),
        )
        assert merged["_row_key"].to_list() == ["p", "q", "r"]

    def test_an_older_batch_cannot_replace_a_later_whole_delivery(self) -> None:
        parts = contribute(None, rows(("k", "new", None)), stamp("a", 5, 2))
        assert contribute(parts, rows(("k", "old", None)), stamp("a", 5, 1)) is None

    def test_putting_a_batch_in_twice_changes_nothing(self) -> None:
        once = (rows(("k", "x", "138")), stamp("a", 5, 1))
        assert put(once, once).equals(put(once))


KEYS = st.sampled_from(["k1", "k2", "k3"])
VALUES = st.one_of(st.none(), st.sampled_from(["u", "v", "w"]))
ROWS = st.lists(st.tuples(KEYS, VALUES, VALUES), min_size=1, max_size=4)
SOURCES = {"a": 9, "b": 5, "c": 5}
PERIODS = ["2023", "2024-9", "2024-09", "2024-10", "2024-11"]  # in order of time; the second is the third


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[pl.DataFrame, Stamp]]:
    made = []
    for landed_no in range(1, draw(st.integers(2, 5)) + 1):
        source = draw(st.sampled_from(sorted(SOURCES)))
        by = stamp(
            source,
            SOURCES[source],
            landed_no,
            period=draw(st.sampled_from(PERIODS)),
            is_whole=draw(st.booleans()),
        )
        made.append((rows(*draw(ROWS)), by))
    return made


class TestEveryMerge:
    @settings(max_examples=150, deadline=None)
    @given(deliveries(), st.integers(0, 10_000))
    def test_does_not_depend_on_the_order_of_work(
        self, made: list[tuple[pl.DataFrame, Stamp]], seed: int
    ) -> None:
        expected = put(*made)
        shuffled = list(made)
        random.Random(seed).shuffle(shuffled)
        assert put(*shuffled).equals(expected)

    @settings(max_examples=100, deadline=None)
    @given(deliveries(), st.integers(0, 10_000))
    def test_does_not_depend_on_the_order_of_rows(
        self, made: list[tuple[pl.DataFrame, Stamp]], seed: int
    ) -> None:
        parts = put_parts(*made)
        assert merge(parts.sample(fraction=1, shuffle=True, seed=seed), GROUPS).equals(merge(parts, GROUPS))

    @settings(max_examples=100, deadline=None)
    @given(deliveries())
    def test_takes_of_equal_sources_the_value_of_the_latest_period(
        self, made: list[tuple[pl.DataFrame, Stamp]]
    ) -> None:
        parts = put_parts(*made)
        for key, name in merge(parts, GROUPS).select("_row_key", "name").iter_rows():
            offered = parts.filter((pl.col("_row_key") == key) & pl.col("name").is_not_null())
            best = offered.filter(pl.col("_authority") == pl.col("_authority").max())
            times = [PERIODS.index(p.replace("-09", "-9")) for p in best["_delivered_period"]]
            latest = [n for n, time in zip(best["name"], times, strict=True) if time == max(times)]
            assert name in latest if latest else name is None

    @settings(max_examples=100, deadline=None)
    @given(deliveries())
    def test_keeps_every_key_once_and_invents_no_value(self, made: list[tuple[pl.DataFrame, Stamp]]) -> None:
        parts = put_parts(*made)
        merged = merge(parts, GROUPS)
        assert merged["_row_key"].to_list() == sorted(parts["_row_key"].unique().to_list())
        for key, name in merged.select("_row_key", "name").iter_rows():
            offered = parts.filter(pl.col("_row_key") == key)["name"].drop_nulls().to_list()
            assert name in offered if offered else name is None

    @settings(max_examples=100, deadline=None)
    @given(deliveries())
    def test_never_mixes_a_token_with_another_rows_seal(self, made: list[tuple[pl.DataFrame, Stamp]]) -> None:
        merged = merge(put_parts(*made), GROUPS)
        for token, sealed in merged.select("phone_token", "phone_sealed").iter_rows():
            assert (token and token[2:]) == (sealed and sealed[2:])


def test_an_empty_contribution_is_refused() -> None:
    with pytest.raises(ValueError, match="contributes nothing"):
        contribute(None, rows(), stamp("a", 1, 1))


@pytest.mark.parametrize("count", [20_000])
def test_many_rows_merge_in_bounded_time(count: int) -> None:
    frame = rows(*((f"k{i}", "x", "138") for i in range(count)))
    other = rows(*((f"k{i}", "y", None) for i in range(0, count, 2)))
    merged = put((frame, stamp("a", 9, 1)), (other, stamp("b", 1, 2)))
    assert merged.height == count
