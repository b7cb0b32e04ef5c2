"""What a delivery lacks of what it replaces, as figures; whatever the delivery, the figures add up."""

from typing import Any

import polars as pl
import pytest
from edulake.common.events import Comparison
from edulake.common.standards import Contract
from edulake.governance.dataset.completeness import compare, findings, is_within, record, words
from edulake.governance.dataset.merge import Stamp, contribute, groups_of, merge
from hypothesis import given
from hypothesis import strategies as st

from .conftest import a_contract

STRICT = a_contract(completeness={"rows_lost_max": 0.2, "values_lost_max": 0.2})
#: The key tells the time of a row, as a year does in a yearly plan.
TIMED = a_contract(
    completeness={"rows_lost_max": 0.2, "values_lost_max": 0.2},
    business_key=["name"],
    time={"kind": "school_year", "from": "name"},
)
YEAR = 2026
Phones = dict[str, str | None]


def rows(found: Phones) -> pl.DataFrame:
    schema = {"_row_key": pl.String, "name": pl.String, "phone": pl.String, "phone_token": pl.String}
    return pl.DataFrame(
        [(k, k, v and v[:2], v and f"t:{v}") for k, v in found.items()], schema=schema, orient="row"
    ).with_row_index("_row", 1)


def numbered(count: int, *, phones: int | None = None, of: str = "k") -> Phones:
    """`count` keys, of which the first `phones` have a phone (all, when not told)."""
    known = count if phones is None else phones
    return {f"{of}{n}": f"138{n}" if n < known else None for n in range(count)}


def stamp(batch: str, landed_no: int, **facts: Any) -> Stamp:
    plain = {"source": "a", "authority": 5, "period": "2024", "landed_no": landed_no, "batch_id": batch}
    return Stamp(**{**plain, **facts})


def parts_of(*deliveries: tuple[Phones, dict[str, Any]]) -> pl.DataFrame:
    parts = None
    for number, (found, facts) in enumerate(deliveries, 1):
        parts = contribute(parts, rows(found), stamp(f"b{number}", number, **facts))
    assert parts is not None
    return parts


def compared(
    before: Phones,
    after: Phones,
    contract: Contract = STRICT,
    *others: tuple[Phones, dict[str, Any]],
    **facts: Any,
) -> Comparison:
    parts = parts_of((before, {}), *others)
    return compare(parts, rows(after), stamp("new", 99, **facts), contract, year=YEAR)


class TestRows:
    def test_a_cut_file_lacks_what_was_cut(self) -> None:
        found = compared(numbered(2000), numbered(199))
        assert (found.rows_before, found.rows_after, found.keys_lost) == (2000, 199, 1801)
        assert found.exceeds == ["rows"]
        (said,) = words(found, STRICT)
        assert "199 行将替代同期 2000 行，缺少其中 1801 个主键（90%）" in said[1]
        assert (record(found)["checked_rows"], record(found)["failed_rows"]) == (2000, 1801)

    def test_a_file_of_the_same_size_with_other_keys_lacks_them_too(self) -> None:
        found = compared(numbered(10), numbered(10, of="x"))
        assert (found.keys_lost, found.exceeds) == (10, ["rows"])

    @pytest.mark.parametrize(("kept", "exceeds"), [(80, []), (79, ["rows"]), (100, [])])
    def test_the_bound_is_the_contracts(self, kept: int, exceeds: list[str]) -> None:
        assert compared(numbered(100), numbered(kept)).exceeds == exceeds

    def test_a_contract_may_let_go_of_everything(self) -> None:
        assert compared(numbered(100), numbered(1), a_contract()).exceeds == []

    def test_the_first_delivery_lacks_nothing(self) -> None:
        found = compare(None, rows(numbered(3)), stamp("b1", 1), STRICT, year=YEAR)
        assert (found.exceeds, found.failed, record(found)["checked_rows"]) == ([], 0, 0)
        assert findings(found, STRICT).is_empty()


class TestValues:
    def test_a_column_that_became_empty_is_told_by_its_title(self) -> None:
        found = compared(numbered(50), numbered(50, phones=0))
        assert (found.keys_lost, found.keys_thinner, found.exceeds) == (0, 50, ["values"])
        (said,) = words(found, STRICT)
        assert said[0] == "phone"
        assert "“电话”原有 50 个值，其中 50 个变为空（100%）" in said[1]

    def test_a_column_that_is_not_delivered_any_more_is_empty(self) -> None:
        parts = parts_of((numbered(50), {}))
        bare = rows(numbered(50)).drop("phone", "phone_token")
        assert compare(parts, bare, stamp("new", 99), STRICT, year=YEAR).exceeds == ["values"]

    def test_more_rows_do_not_hide_a_column_that_became_thinner(self) -> None:
        more = {**numbered(50, phones=20), **numbered(90, of="x")}
        assert compared(numbered(50), more).exceeds == ["values"]

    def test_a_few_corrected_values_hold_nothing_but_are_told(self) -> None:
        found = compared(numbered(50, phones=4), numbered(50, phones=1))
        assert (found.exceeds, found.columns[0].lost, record(found)["severity"]) == ([], 3, "warning")


class TestPushes:
    def test_take_nothing_away(self) -> None:
        """A pushed null loses against any value that is there: the governed table keeps it."""
        parts = parts_of((numbered(50), {}))
        push = stamp("push", 99, is_whole=False)
        assert compare(parts, rows(numbered(50, phones=0)), push, STRICT, year=YEAR).exceeds == []
        together = contribute(parts, rows(numbered(50, phones=0)), push)
        assert together is not None
        assert merge(together, groups_of(STRICT, together.columns))["phone"].null_count() == 0

    def test_governed_again_with_fewer_rows_lack_them(self) -> None:
        parts = parts_of((numbered(10), {"is_whole": False}))
        again = stamp("b1", 1, is_whole=False)
        assert compare(parts, rows(numbered(2)), again, STRICT, year=YEAR).exceeds == ["rows"]

    def test_a_file_that_leaves_out_what_was_pushed_lacks_it(self) -> None:
        found = compared(numbered(10), numbered(10), STRICT, (numbered(9, of="x"), {"is_whole": False}))
        assert (found.keys_lost, found.exceeds) == (9, ["rows"])


class TestPeriod:
    def test_rows_of_another_year_are_those_of_another_period(self) -> None:
        found = compared(
            numbered(10, of="2024-"),
            numbered(9, of="2023-"),
            TIMED,
            (numbered(9, of="2023-"), {"period": "2023"}),
        )
        assert (found.other_period, found.other_period_keys) == ("2023", 9)
        assert found.exceeds == ["rows", "period"]

    def test_also_where_nothing_is_replaced_yet(self) -> None:
        found = compared(numbered(10, of="2024-"), numbered(10, of="2024-"), TIMED, period="2025")
        assert (found.other_period, found.exceeds, found.keys_lost) == ("2024", ["period"], 0)
        assert record(found)["failed_rows"] == 10

    def test_the_same_list_every_year_is_no_mistake(self) -> None:
        assert compared(numbered(10), numbered(10), period="2025").exceeds == []

    def test_content_of_another_period_in_the_place_of_its_own_is(self) -> None:
        last_year = ({name: f"139{name}" for name in numbered(10)}, {"period": "2023"})
        found = compared(numbered(10), last_year[0], STRICT, last_year)
        assert (found.other_period, found.exceeds, found.keys_lost) == ("2023", ["period"], 0)

    @pytest.mark.parametrize(
        ("period", "is_odd"),
        [("2025", False), ("2027", False), ("2042", True), ("1924", True), ("spring", False)],
    )
    def test_far_from_all_others_is_asked_about(self, period: str, is_odd: bool) -> None:
        assert ("period" in compared(numbered(10), numbered(10), period=period).exceeds) is is_odd

    def test_a_much_shorter_list_than_last_year_is_told_and_goes_on(self) -> None:
        """What last year's delivery said stays beside it: nothing is lost."""
        found = compared(numbered(100), numbered(10), period="2025")
        assert (found.exceeds, found.holds, found.compared_with, found.keys_lost) == (
            ["fewer"],
            False,
            "2024",
            90,
        )
        assert record(found)["severity"] == "warning"


class TestSource:
    OTHER = (numbered(30, of="x"), {"source": "b"})

    def test_most_keys_of_another_source_and_hardly_any_of_its_own(self) -> None:
        found = compared(numbered(10), numbered(30, of="x"), STRICT, self.OTHER)
        assert (found.other_source, found.other_source_keys) == ("b", 30)
        assert found.exceeds == ["rows", "source"]

    def test_two_sources_may_know_the_same_rows(self) -> None:
        same = {**numbered(10), **numbered(30, of="x")}
        assert compared(numbered(10), same, STRICT, self.OTHER).exceeds == []

    def test_a_new_source_has_nothing_of_its_own_yet(self) -> None:
        parts = parts_of((numbered(10), {}))
        first = stamp("new", 99, source="c")
        assert compare(parts, rows(numbered(10)), first, STRICT, year=YEAR).exceeds == []


KEYS = st.dictionaries(st.sampled_from("abcdefgh"), st.none() | st.sampled_from(["1", "2"]), min_size=1)


class TestAnyDelivery:
    @given(before=KEYS, after=KEYS)
    def test_the_figures_are_those_of_the_two_tables(self, before: Phones, after: Phones) -> None:
        found = compared(before, after)
        thinner = [k for k in before if k in after and before[k] and not after[k]]
        assert found.keys_lost == len(before.keys() - after.keys())
        assert found.keys_thinner == len(thinner)
        assert sum(column.lost for column in found.columns) == len(thinner)
        assert found.rows_after == len(after)

    @given(before=KEYS)
    def test_the_same_again_lacks_nothing(self, before: Phones) -> None:
        found = compared(before, before)
        assert (found.failed, found.exceeds) == (0, [])

    @given(before=KEYS, after=KEYS)
    def test_who_agreed_to_a_loss_agreed_to_it_again_and_to_none_larger(
        self, before: Phones, after: Phones
    ) -> None:
        found = compared(before, after)
        assert is_within(found, found)
        assert not is_within(found.model_copy(update={"keys_lost": found.keys_lost + 1}), found)

    @given(before=KEYS, after=KEYS)
    def test_words_and_record_hold_no_value(self, before: Phones, after: Phones) -> None:
        found = compared({k: v and f"1380000{v}" for k, v in before.items()}, after)
        assert "1380000" not in f"{words(found, STRICT)}{record(found)}{found}"
