"""What belongs to a person is told from what does not, in any text; and a shape tells no value."""

import string

import polars as pl
import pytest
from edulake.cli.synthetic import identity_number
from edulake.common.mask import shape
from edulake.common.standards import Standards
from edulake.common.standards.detect import folded, found_in, is_certain, is_identity_number
from edulake.common.standards.headers import labels
from hypothesis import given
from hypothesis import strategies as st

NUMBER = identity_number("20120517", 12)
serials = st.integers(0, 999)
#: What may stand beside a number: anything but a digit.
beside = st.text(st.characters(exclude_categories=["Nd", "Nl", "No", "Cs", "Cf", "M"]), max_size=4)


@pytest.fixture(scope="session")
def detectors(standards: Standards):
    return standards.grading.detectors


def name_of(detectors, text):
    found = found_in(detectors, text)
    return found.name if found else None


class TestPeople:
    @given(serial=serials, before=beside, after=beside)
    def test_an_identity_number_is_seen_whatever_stands_beside_it(self, detectors, serial, before, after):
        text = f"{before}{identity_number('19880305', serial)}{after}"
        assert found_in(detectors, text) is not None

    @pytest.mark.parametrize(
        "text",
        [
            f"上海市黄浦ID{NUMBER}初级中学",
            f"a_{NUMBER}_b",
            f"学号{NUMBER}号",
            f"{NUMBER[:6]} {NUMBER[6:14]} {NUMBER[14:]}",
            f"{NUMBER[:6]}-{NUMBER[6:14]}-{NUMBER[14:]}",
            " ".join(NUMBER),
            NUMBER.translate(dict(zip(map(ord, string.digits), "０１２３４５６７８９", strict=True))),
            f"{NUMBER[:9]}\u200b{NUMBER[9:]}",
        ],
    )
    def test_and_however_it_is_typed(self, detectors, text):
        assert name_of(detectors, text) == "identity_number"
        cells = pl.DataFrame({"cell": ["无", text]}).select(folded(pl.col("cell"))).to_series()
        assert is_certain(detectors[0], cells)

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("310199880305123", "identity_number_15"),
            ("身份证310199880305123号", "identity_number_15"),
            ("G" + NUMBER, "identity_number"),
            ("J310199201205191234", "identity_number"),
            ("学籍L31019920120519123A", "student_number"),
            ("电话13800138000", "mobile_phone"),
            ("tel:138-0013-8000", "mobile_phone"),
            ("+86 138 0013 8000", "mobile_phone"),
            ("ID13800138000X", "mobile_phone"),
            ("１３８００１３８０００", "mobile_phone"),
            ("联系：a.b@example.invalid。", "email"),
        ],
    )
    def test_every_other_kind_is_seen(self, detectors, text, name):
        assert name_of(detectors, text) == name

    def test_a_wrong_check_digit_is_not_certain(self, detectors):
        wrong = NUMBER[:-1] + ("1" if NUMBER[-1] != "1" else "2")
        assert not is_identity_number(wrong)
        assert not is_certain(detectors[0], pl.Series([wrong]))
        assert is_certain(detectors[0], pl.Series([wrong, f"x{NUMBER}"]))


class TestNobody:
    @pytest.mark.parametrize(
        "text",
        [
            "012001",
            "PD0134",
            "3101150001",
            "2024-09-01",
            "20240901",
            "2024-1",
            "021-12345678",
            "上海市黄浦区求真初级中学",
            "上南路1234弄56号"[:6],
            "12310115425012345X",
            "52310000MJ0000000X",
            "9131010012345678XA",
            "第12345678901234567890号",
        ],
    )
    def test_codes_and_names_are_left_alone(self, detectors, text):
        assert name_of(detectors, text) is None

    @given(st.from_regex(r"\A([0-9]{6}|[A-Z]{2}[0-9]{4}|[0-9]{10})\Z"))
    def test_no_school_code_is_taken_for_a_person(self, detectors, code):
        assert found_in(detectors, code) is None

    @given(serial=serials, before=st.sampled_from(string.digits), after=st.sampled_from(string.digits))
    def test_digits_beside_make_another_number(self, detectors, serial, before, after):
        number = identity_number("19880305", serial)
        told = found_in(
            [d for d in detectors if d.name == "identity_number"], f"{before}{number[:17]}0{after}"
        )
        assert told is None

    def test_the_words_of_the_standards_are_no_people(self, standards, detectors):
        words = {
            w for c in standards.datasets.values() for f in c.fields for w in (f.name, f.title, *f.aliases)
        }
        words |= {w for t in standards.codes.values() for r in t.rows for w in (r.code, r.name, *r.aliases)}
        assert [word for word in sorted(words) if found_in(detectors, word)] == []


class TestShape:
    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("张三", "汉字 1–4 位"),
            ("欧阳小明", "汉字 1–4 位"),
            ("7", "数字 1–4 位"),
            (NUMBER, "数字 18 位"),
            (NUMBER[:-1] + "X", "数字、字母 18 位"),
            ("a@b", "字母、符号 1–4 位"),
            ("上海市第一中学校", "汉字 5–9 位"),
            (" ", "空白"),
            ("长" * 21, "汉字 20 位以上"),
        ],
    )
    def test_says_kinds_and_a_class_of_length(self, value, said):
        assert shape(value) == said

    @given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=4))
    def test_all_names_of_one_person_look_the_same(self, name):
        assert shape(name) == "汉字 1–4 位"


class TestLabels:
    def test_a_known_header_is_called_by_the_word_of_the_contract(self, standards):
        contract = standards.datasets["school_base"]
        found = labels(["校 名（张三）", "XX名", "学校代码"], [contract], {"XX名": "school_name"})
        assert list(found.values()) == ["校名", "XX名", "学校代码"]

    def test_of_any_other_only_place_and_shape_are_told(self, standards):
        found = labels(["学校名称", "张三", "校长", "学校名称*"], standards.datasets.values(), {})
        assert list(found.values()) == [
            "学校名称",
            "第 2 列（汉字 1–4 位）",
            "第 3 列（汉字 1–4 位）",
            "学校名称（第 4 列）",
        ]
