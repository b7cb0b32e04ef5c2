"""From here on nothing stands in the clear that the contract does not keep."""

from datetime import date

import polars as pl
import pytest
from edulake.common.gm import KeyRing, SealBroken, open_sealed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HEADERS = ["姓名", "性别", "身份证号", "学籍号", "学校", "班级", "监护人", "监护人手机", "家庭住址"]
SEAL = KeyRing.of(k1=b"s" * 32)


@pytest.fixture
def student(govern, schools, identity_number):
    def go(birth="20120517", phone="10012345678"):
        number = identity_number(birth)
        row = [
            "欧阳小明",
            "女",
            number,
            "G" + number,
            "样例学校",
            "六3班",
            "欧阳家长",
            phone,
            "浦东新区世纪大道街道示例路12号",
        ]
        outcome = govern("student_base", HEADERS, [row], references={"schools": schools})
        return outcome.accepted.row(0, named=True), row

    return go


class TestShareForms:
    def test_a_person_over_fourteen_is_masked(self, student):
        governed, _ = student("20080517")
        assert governed["student_name"] == "欧阳*"
        assert governed["birth_date"] == "2008-05"
        assert governed["guardian_phone"] == "100****5678"
        assert governed["identity_number"] == "******"

    def test_a_child_under_fourteen_gets_the_stricter_form(self, student):
        governed, _ = student("20120517")
        assert governed["student_name"] == "******"
        assert governed["birth_date"] == "2012"
        assert governed["guardian_phone"] == "******"
        assert governed["home_address"] == "******"

    def test_dropped_fields_and_delivered_text_are_gone(self, student, standards):
        governed, _ = student()
        assert "ethnicity" not in governed
        assert not [c for c in governed if c.startswith("raw:")]
        expected = {c for f in standards.datasets["student_base"].fields for c in f.governed_columns}
        ours = {
            "_row",
            "_row_key",
            "_period",
            "_region",
            "_filled",
            "_district_code_raw",
            "_district_code_mapping",
        }
        assert set(governed) == expected | ours

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(day=st.dates(date(2001, 1, 1), date(2021, 12, 31)), phone=st.integers(10**7, 10**8 - 1))
    def test_no_original_value_is_left_anywhere_in_the_row(self, student, day, phone):
        governed, row = student(f"{day:%Y%m%d}", f"100{phone}")
        shown = {k: v for k, v in governed.items() if not k.endswith("_sealed")}
        for original in (row[0], row[2], row[3], row[6], row[7], row[8], f"{day:%Y-%m-%d}"):
            assert not [k for k, v in shown.items() if isinstance(v, str) and original in v]


class TestTokensAndSeals:
    def test_a_sealed_original_opens_in_its_place_only(self, student):
        governed, row = student()
        place = f"student_base|student_name|{governed['_row_key']}".encode()
        assert open_sealed(SEAL, governed["student_name_sealed"], place).decode() == row[0]
        with pytest.raises(SealBroken):
            open_sealed(SEAL, governed["student_name_sealed"], place + b"x")

    def test_equal_numbers_of_one_field_join_and_fields_do_not(self, student):
        first, second = student()[0], student()[0]
        assert first["identity_number_token"] == second["identity_number_token"]
        tokens = {first["identity_number_token"], first["student_number_token"], first["student_key"]}
        assert len(tokens) == 3

    def test_empty_stays_empty_in_every_form(self, govern, schools, identity_number):
        outcome = govern(
            "student_base",
            HEADERS[:5],
            [["张三", "女", identity_number(), "", "样例学校"]],
            references={"schools": schools},
        )
        row = outcome.accepted.row(0, named=True)
        assert {
            row[c]
            for c in ("student_number", "student_number_token", "student_number_sealed", "guardian_phone")
        } == {None}


class TestAxes:
    def test_period_and_region_stand_on_every_row(self, student):
        governed, _ = student()
        assert (governed["_period"], governed["_region"]) == ("2024", "310104")

    def test_the_period_of_a_quota_is_its_year(self, govern, schools):
        row = ["2023", "示例初级中学", "示例高级中学", "3"]
        outcome = govern(
            "senior_quota", ["年份", "初中学校", "高中学校", "计划数"], [row], references={"schools": schools}
        )
        assert outcome.accepted["_period"].to_list() == ["2023"]

    def test_types_are_those_of_the_contract(self, govern, schools):
        row = ["2023", "示例初级中学", "示例高级中学", "3"]
        outcome = govern(
            "senior_quota", ["年份", "初中学校", "高中学校", "计划数"], [row], references={"schools": schools}
        )
        assert outcome.accepted.schema["planned_seats"] == pl.Int64
        assert outcome.accepted.schema["junior_school_code"] == pl.String
