"""Unified social credit codes (GB 32100-2015): known answers, and what is none."""

import polars as pl
import pytest
from edulake.governance.steps import credit
from hypothesis import given
from hypothesis import strategies as st

#: Codes of well-known organisations, published by themselves, and the example that is passed on with the standard.
KNOWN = ("91350100M000100Y43", "91110000600037341L", "91110000802100433B", "9144030071526726XG")


def one(expression, value):
    return pl.select(expression(pl.lit(value, pl.String))).item()


class TestCode:
    @pytest.mark.parametrize("code", KNOWN)
    def test_known_ones_are_valid(self, code):
        assert one(credit.check_character, code) == code[17]
        assert one(credit.is_valid, code)

    @pytest.mark.parametrize(
        "code",
        [
            "91350100M000100Y44",
            "91350100M000100Y4",
            "91350100M000100I43",
            "91350100m000100y43",
            "X1350100M000100Y43",
            "",
        ],
        ids=["check character", "length", "alphabet", "lower case", "registration office", "empty"],
    )
    def test_what_is_none_is_not(self, code):
        assert one(credit.is_valid, code) is False

    @given(st.sampled_from(KNOWN), st.integers(8, 17), st.sampled_from(credit.ALPHABET))
    def test_one_wrong_character_is_always_found(self, code, place, wrong):
        changed = code[:place] + wrong + code[place + 1 :]
        assert one(credit.is_valid, changed) is (changed == code)

    def test_nothing_is_neither(self):
        assert one(credit.is_valid, None) is None


class TestField:
    @pytest.fixture
    def roster(self, govern):
        def go(code, header="统一社会信用代码"):
            headers = ["学校名称", "所属区", header]
            return govern("school_base", headers, [["上海市求真中学", "黄浦区", code]], title="初中名册")

        return go

    def test_a_code_is_kept_as_issued(self, roster, rules_failed):
        outcome = roster("９１350100m000100y43 ")
        assert outcome.accepted["credit_code"].to_list() == [KNOWN[0]]
        assert "credit_code.check" not in rules_failed(outcome).get(1, set())

    def test_a_wrong_one_is_found_and_does_not_hold_the_school_back(self, roster, rules_failed):
        outcome = roster("91350100M000100Y44")
        assert outcome.accepted.height == 1
        assert "credit_code.check" in rules_failed(outcome, "warning")[1]

    def test_a_code_that_looks_like_an_identity_number_stops_no_roster(self, roster):
        """A school of 奉贤 (310120): characters 7 to 14 read as a date of the year 2005."""
        code = "123101200501123460"
        assert one(credit.is_valid, code)
        assert roster(code).blocked is None
        assert roster(code, "证照").blocked is not None

    def test_an_identity_number_in_its_column_still_stops_the_roster(self, roster, identity_number):
        assert roster(identity_number()).blocked is not None
