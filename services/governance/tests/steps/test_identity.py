"""GB 11643 and student numbers, against a plain Python oracle."""

from datetime import date

import polars as pl
import pytest
from edulake.governance.steps import identity
from hypothesis import given
from hypothesis import strategies as st

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
BODIES = st.builds(
    lambda day, serial: f"310199{day:%Y%m%d}{serial:03d}",
    st.dates(date(1950, 1, 1), date(2024, 12, 31)),
    st.integers(0, 999),
)


def oracle(body):
    return "10X98765432"[sum(int(d) * w for d, w in zip(body, WEIGHTS, strict=True)) % 11]


def one(function, *values):
    return pl.select(function(*(pl.lit(v) for v in values))).item()


class TestIdentityNumber:
    def test_the_example_of_the_standard_is_valid(self):
        assert one(identity.is_valid, "11010519491231002X")

    @given(BODIES)
    def test_the_check_digit_is_that_of_the_oracle(self, body):
        assert one(identity.check_digit, body) == oracle(body)

    @given(BODIES, st.integers(0, 16), st.integers(1, 9))
    def test_one_wrong_digit_is_always_found(self, body, place, shift):
        number = body + oracle(body)
        wrong = number[:place] + str((int(number[place]) + shift) % 10) + number[place + 1 :]
        assert not one(identity.is_valid, wrong)

    @pytest.mark.parametrize(
        "number",
        ["", "310199", "31019920230230001X", "三一〇一九九", "3101992012051701250", "310199201205170x25"],
    )
    def test_other_text_is_not_valid_and_no_error(self, number):
        assert not one(identity.is_valid, number)

    def test_sex_is_in_the_17th_digit(self):
        assert one(identity.sex, "11010519491231002X") == "2"
        assert one(identity.sex, "11010519491231001X") == "1"


class TestStudentNumber:
    @given(BODIES)
    def test_g_and_an_identity_number_is_one(self, body):
        assert one(identity.is_student_number, "G" + body + oracle(body))
        assert one(identity.behind, "G" + body + oracle(body)) == body + oracle(body)

    @pytest.mark.parametrize(
        ("number", "is_one"),
        [
            ("J310104201105170011", True),
            ("L3101042011051700AB", True),
            ("J310104201113170011", False),
            ("G310199201205170120", False),
            ("X310104201105170011", False),
        ],
    )
    def test_temporary_forms_need_a_day_that_exists(self, number, is_one):
        assert bool(one(identity.is_student_number, number)) is is_one


class TestPerson:
    def test_the_identity_number_and_its_student_number_are_one_person(self):
        number = "11010519491231002X"
        assert one(identity.person, number, "G" + number) == number
        assert pl.select(identity.person(pl.lit(None, pl.String), pl.lit("G" + number))).item() == number


class TestAge:
    @given(st.dates(date(1990, 1, 1), date(2024, 8, 31)), st.dates(date(2024, 9, 1), date(2030, 1, 1)))
    def test_age_is_full_years(self, birth, day):
        oracle_age = day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
        assert one(identity.age_on, birth, day) == oracle_age

    def test_the_fourteenth_birthday_counts(self):
        assert one(identity.age_on, date(2010, 9, 1), date(2024, 9, 1)) == 14
        assert one(identity.age_on, date(2010, 9, 2), date(2024, 9, 1)) == 13
