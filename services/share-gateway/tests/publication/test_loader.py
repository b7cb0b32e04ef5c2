"""What may become a row of a serving table (P8), and in which order."""

from typing import Any

import polars as pl
import pytest
from edulake.common.mask import HIDDEN, TRANSFORMS
from edulake.common.settings import find_standards
from edulake.common.standards import Contract, Standards
from edulake.share_gateway.publication import loader
from edulake.share_gateway.publication.loader import NotPublishable
from hypothesis import given, settings
from hypothesis import strategies as st

#: Not a fixture for the property tests, which would print it whole when they fail.
STUDENTS = Standards.load(find_standards()).datasets["student_base"]


@pytest.fixture
def students() -> Contract:
    return STUDENTS


def frame(**over: Any) -> pl.DataFrame:
    row = {
        "student_key": "t1.k1.a",
        "student_name": "张*",
        "birth_date": "2012-05",
        "student_number": "G3101**********002X",
        "guardian_phone": "138****1234",
        "home_address": "浦东新区花木街道",
        "class_name": HIDDEN,
        "identity_number": HIDDEN,
        "district_code": "310115",
    }
    return pl.DataFrame([{**row, **over}])


class TestProtection:
    def test_protected_rows_pass(self, students: Contract) -> None:
        loader.check_protected(frame(), students)
        loader.check_protected(frame(student_name=HIDDEN, birth_date="2012", guardian_phone=None), students)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("student_name", "张三"),
            ("student_name", "欧阳锋"),
            ("birth_date", "2012-05-06"),
            ("student_number", "G310115201205061234"),
            ("guardian_phone", "13800001234"),
            ("home_address", "浦东新区花木街道锦绣路1号"),
            ("class_name", "三（2）班"),
            ("identity_number", "310115201205061234"),
            ("identity_number", "3101**********1234"),
            ("guardian_name", "张三"),
        ],
    )
    def test_a_value_in_the_clear_stops_the_publication(
        self, field: str, value: str, students: Contract
    ) -> None:
        with pytest.raises(NotPublishable) as caught:
            loader.check_protected(frame(**{field: value}), students)
        assert field in caught.value.reason_zh
        assert value not in caught.value.reason_zh + caught.value.reason_en

    def test_one_row_among_many_is_enough(self, students: Contract) -> None:
        rows = pl.concat([frame()] * 1000 + [frame(guardian_phone="13800001234")])
        with pytest.raises(NotPublishable):
            loader.check_protected(rows, students)

    @given(
        st.text(min_size=1, max_size=30),
        st.sampled_from(["student_name", "student_number", "birth_date", "home_address"]),
    )
    def test_whatever_a_transform_makes_passes(self, text: str, field: str) -> None:
        contract = STUDENTS
        protect = contract.field(field).protect
        for name in filter(None, (protect.share, protect.minor)):
            loader.check_protected(frame(**{field: TRANSFORMS[name](text)}), contract)

    def test_an_unknown_transform_stops_the_publication(self, students: Contract) -> None:
        field = students.field("student_name")
        broken = field.model_copy(update={"protect": field.protect.model_copy(update={"share": "vanish"})})
        contract = students.model_copy(update={"fields": (broken,)})
        with pytest.raises(NotPublishable, match="vanish"):
            loader.check_protected(frame(), contract)


class TestRows:
    def test_columns_are_the_served_fields_and_nothing_else(self, students: Contract) -> None:
        rows = loader.serving_rows(
            frame(student_name_sealed="v1.x", identity_number_token="t1.x", ethnicity="01", extra="x"),
            students,
        )
        assert rows.columns == ["_n", "_region", *(f.name for f in students.served_fields)]

    def test_a_field_nobody_delivered_is_null(self, students: Contract) -> None:
        rows = loader.serving_rows(frame(), students)
        assert rows["grade"].to_list() == [None]
        assert rows["is_minor"].dtype == pl.Boolean

    def test_the_region_is_the_lakes_or_the_fields(self, students: Contract) -> None:
        assert loader.serving_rows(frame(), students)["_region"].to_list() == ["310115"]
        assert loader.serving_rows(frame(_region="310101"), students)["_region"].to_list() == ["310101"]
        assert loader.serving_rows(frame().drop("district_code"), students)["_region"].to_list() == [None]

    def test_rows_without_a_key_are_refused(self, students: Contract) -> None:
        with pytest.raises(NotPublishable):
            loader.serving_rows(frame().drop("student_key"), students)

    @settings(deadline=None, max_examples=20)
    @given(order=st.permutations(list(range(20))))
    def test_the_order_depends_on_the_keys_alone(self, order: list[int]) -> None:
        contract = STUDENTS
        rows = [frame(student_key=f"t1.k1.{n}", grade=str(order[n])) for n in range(20)]
        one = loader.serving_rows(pl.concat(rows), contract)
        other = loader.serving_rows(pl.concat([rows[n] for n in order]), contract)
        assert one.equals(other)
        assert one["_n"].to_list() == list(range(1, 21))
        assert one["student_key"].to_list() != [f"t1.k1.{n}" for n in range(20)]


class TestChunks:
    def test_pieces_are_bounded_and_complete(
        self, students: Contract, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loader, "COPY_ROWS", 7)
        rows = loader.serving_rows(pl.concat([frame(student_key=f"k{n}") for n in range(20)]), students)
        pieces = list(loader.copy_chunks(rows))
        assert [piece.count(b"\n") for piece in pieces] == [7, 7, 6]

    def test_nothing_makes_no_piece_that_ends_the_copy_early(self, students: Contract) -> None:
        rows = loader.serving_rows(frame().clear(), students)
        assert b"".join(loader.copy_chunks(rows)) == b""
