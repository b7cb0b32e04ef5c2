"""Stored numbers become the text that a person sees in the cell."""

import pytest
from edulake.ingest.source.readers.numberformat import PLAIN, Style, is_imprecise, number_text, style_of
from hypothesis import given
from hypothesis import strategies as st


class TestStyleOfAFormat:
    @pytest.mark.parametrize(
        ("code", "style"),
        [
            ("General", PLAIN),
            ("@", PLAIN),
            ("0", PLAIN),
            ("0.00", PLAIN),
            ("#,##0", PLAIN),
            ("0%", PLAIN),
            ("0.00E+00", PLAIN),
            ("000000", Style(zeros=6)),
            ('"G"000', PLAIN),
            ("yyyy-mm-dd", Style(date=True)),
            ('yyyy"年"m"月"d"日"', Style(date=True)),
            ("[$-804]yyyy年m月d日;@", Style(date=True)),
            ("m/d/yy h:mm", Style(date=True, time=True)),
            ("h:mm:ss AM/PM", Style(time=True)),
            ("[h]:mm:ss", Style(time=True, elapsed=True)),
            ("[Red]0.0", PLAIN),
        ],
    )
    def test_tells_dates_times_and_padded_codes(self, code: str, style: Style) -> None:
        assert style_of(200, {200: code}) == style

    def test_knows_the_chinese_built_in_dates(self) -> None:
        assert style_of(31, {}) == Style(date=True)
        assert style_of(57, {}) == Style(date=True)


class TestText:
    @pytest.mark.parametrize(
        ("raw", "style", "text"),
        [
            ("12", PLAIN, "12"),
            ("31", Style(zeros=4), "0031"),
            ("12345", Style(zeros=4), "12345"),
            ("3.1400000000000001", PLAIN, "3.14"),
            ("0.30000000000000004", PLAIN, "0.3"),
            ("1E-7", PLAIN, "0.0000001"),
            ("-0", PLAIN, "0"),
            ("-5", PLAIN, "-5"),
            ("-0.5", PLAIN, "-0.5"),
            ("45536", Style(date=True), "2024-09-01"),
            ("45536.354166666664", Style(date=True, time=True), "2024-09-01 08:30:00"),
            ("45536.5", Style(date=True), "2024-09-01 12:00:00"),
            ("0.35416666666666669", Style(time=True), "08:30:00"),
            ("1.25", Style(time=True, elapsed=True), "30:00:00"),
            ("59", Style(date=True), "1900-02-28"),
            ("61", Style(date=True), "1900-03-01"),
            ("-1", Style(date=True), "-1"),
            ("99999999", Style(date=True), "99999999"),
            ("not a number", PLAIN, "not a number"),
            ("NaN", PLAIN, "NaN"),
            ("310101201001011000", PLAIN, "3.10101E+17"),
            ("3.10101201001011E+17", Style(zeros=18), "3.10101E+17"),
            ("1000000000000000", Style(date=True), "1.00000E+15"),
            ("-1E+400", PLAIN, "-1.00000E+400"),
            ("999999999999999", PLAIN, "999999999999999"),
        ],
    )
    def test_is_what_the_cell_shows(self, raw: str, style: Style, text: str) -> None:
        assert number_text(raw, style) == text

    def test_counts_from_1904_where_the_workbook_does(self) -> None:
        assert number_text("44074", Style(date=True), epoch_1904=True) == "2024-09-01"

    @given(st.integers(-(10**14), 10**14))
    def test_of_a_whole_number_is_its_digits(self, number: int) -> None:
        assert number_text(str(number), PLAIN) == str(number)

    @given(st.decimals(min_value=-(10**6), max_value=10**6, places=4))
    def test_of_a_fraction_is_the_same_number(self, number: object) -> None:
        assert float(number_text(repr(float(str(number))), PLAIN)) == float(str(number))


def test_long_whole_numbers_are_known_to_be_imprecise() -> None:
    assert is_imprecise("3.10101201001010E+17")
    assert not is_imprecise("123456789012345")
    assert not is_imprecise("0.12345678901234567")
