"""Dates, numbers and truth values as people write them."""

from datetime import date

import polars as pl
import pytest
from edulake.governance.steps import text
from hypothesis import given, settings
from hypothesis import strategies as st

DAYS = st.dates(date(1950, 1, 1), date(2060, 12, 31))


def one(function, value):
    return pl.select(function(pl.lit(value, pl.String))).item()


class TestDates:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("2024-9-1", date(2024, 9, 1)),
            ("2024/09/01", date(2024, 9, 1)),
            ("2024.9.1", date(2024, 9, 1)),
            ("2024年9月1日", date(2024, 9, 1)),
            ("20240901", date(2024, 9, 1)),
            ("2024-09-01 00:00:00", date(2024, 9, 1)),
            ("2024年9月", date(2024, 9, 1)),
            ("2024.10", date(2024, 10, 1)),
            ("2024.01", date(2024, 1, 1)),
            ("202410", date(2024, 10, 1)),
            ("45536", date(2024, 9, 1)),  # what a spreadsheet stores for that day
        ],
    )
    def test_usual_forms_are_read(self, written, meant):
        assert one(text.to_date, written) == meant

    @pytest.mark.parametrize(
        "written",
        [
            "2024.1",
            "202413",
            "112024",
            "2024-02-30",
            "2024-13-01",
            "九月一日",
            "12345",
            "1.5",
            "",
            "2024-9-1-1",
        ],
    )
    def test_what_is_no_date_stays_null(self, written):
        assert one(text.to_date, written) is None

    @given(DAYS, st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y年%m月%d日", "%Y.%m.%d"]))
    def test_every_day_survives_every_form(self, day, form):
        assert one(text.to_date, day.strftime(form)) == day

    def test_a_month_is_known_to_be_only_a_month(self):
        assert one(text.is_month_only, "2024年9月")
        assert one(text.is_month_only, "202409")
        assert not one(text.is_month_only, "2024.1")  # October, if a spreadsheet took its zero
        assert not one(text.is_month_only, "2024年9月1日")


class TestNumbers:
    @pytest.mark.parametrize(
        ("written", "meant"), [("12", 12), ("1,200", 1200), ("12.0", 12), ("12人", 12), ("-3", -3)]
    )
    def test_whole_numbers_are_read(self, written, meant):
        assert one(text.to_integer, written) == meant

    @pytest.mark.parametrize("written", ["12.5", "十二", "1e5", "--", "012002上海", "9" * 16])
    def test_what_is_no_whole_number_is_null_and_never_rounded(self, written):
        assert one(text.to_integer, written) is None

    @given(st.integers(-(10**14), 10**14))
    def test_every_whole_number_survives(self, number):
        assert one(text.to_integer, f"{number:,}") == number


class TestFolding:
    def test_widths_spaces_and_control_characters_go(self):
        assert one(text.fold, "　０１２\n００１ \x07 （甲）\u200b") == "012 001 (甲)"

    @settings(max_examples=500, deadline=None)
    @given(
        st.text(
            alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \u200b\u00ad\u0301e\n　")),
            max_size=20,
        )
    )
    def test_folding_twice_is_folding_once(self, value):
        once = one(text.fold, value)
        assert one(text.fold, once) == once

    @pytest.mark.parametrize("word", ["", "-", "无", "NULL", "#N/A", "——", "无证件"])
    def test_words_for_nothing_are_nothing(self, word):
        assert one(text.empty_to_null, word) is None

    def test_unless_they_mean_something_here(self):
        assert one(lambda cell: text.empty_to_null(cell, ["none"]), "NONE") == "NONE"
        assert one(lambda cell: text.empty_to_null(cell, ["none"]), "无") is None

    @pytest.mark.parametrize(
        ("word", "meant"), [("是", True), ("N", False), ("0", False), ("√", True), ("也许", None)]
    )
    def test_truth_values_are_read_or_left(self, word, meant):
        assert one(text.to_boolean, word) is meant
