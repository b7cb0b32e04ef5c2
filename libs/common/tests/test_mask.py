"""Masks show what they promise and nothing more."""

import re

import polars as pl
import pytest
from edulake.common import mask
from edulake.common.mask import HIDDEN, TRANSFORMS, Transform
from hypothesis import given
from hypothesis import strategies as st

DIGITS = "0123456789"
every = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
digits = lambda n: st.text(DIGITS, min_size=n, max_size=n)  # noqa: E731
chinese = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)


class TestKnownForms:
    @pytest.mark.parametrize(
        ("transform", "value", "shown"),
        [
            ("mask_name", "张三", "张*"),
            ("mask_name", "王小明", "王*"),
            ("mask_name", "欧阳修", "欧阳*"),
            ("mask_name", "欧阳", "欧*"),
            ("mask_name", "阿卜杜拉·买买提", "阿*"),
            ("mask_name", "John Smith", "J*"),
            ("mask_name", "李", "*"),
            ("mask_id_number", "11010519491231002X", "1101**********002X"),
            ("mask_id_number", "440524188001010014", "4405**********0014"),
            ("mask_id_number", "110105491231002", HIDDEN),
            ("mask_phone", "13800001234", "138****1234"),
            ("mask_phone", "021-63123456", HIDDEN),
            ("mask_phone", "+8613800001234", HIDDEN),
            ("mask_student_number", "G11010519491231002X", "G1101**********002X"),
            ("mask_student_number", "20240001", HIDDEN),
            ("mask_text", "对花生过敏", "对***"),
            ("generalise_month", "2013-05-07", "2013-05"),
            ("generalise_month", "20130507", "2013-05"),
            ("generalise_month", "2013年05月07日", "2013-05"),
            ("generalise_month", "2013-05-07 00:00:00", "2013-05"),
            ("generalise_month", "2013", "2013"),
            ("generalise_month", "五月七日", HIDDEN),
            ("generalise_year", "2013/05/07", "2013"),
            ("generalise_year", "2013-05", "2013"),
            ("generalise_address", "上海市徐汇区天平路街道衡山路1号2弄301室", "上海市徐汇区天平路街道"),
            ("generalise_address", "浦东新区惠南镇听潮路5号", "浦东新区惠南镇"),
            ("generalise_address", "上海市静安区镇宁路405弄", "上海市静安区"),
            ("generalise_address", "崇明县新河镇", "崇明县新河镇"),
            ("generalise_address", "衡山路1号", HIDDEN),
            ("generalise_address", "12号院3区5室", HIDDEN),
            ("hide", "任何内容", HIDDEN),
        ],
    )
    def test_a_value_is_shown_as_the_office_writes_it(self, transform: str, value: str, shown: str) -> None:
        assert TRANSFORMS[transform](value) == shown


@every
class TestEveryTransform:
    def test_none_stays_none_and_the_height_stays(self, transform: Transform) -> None:
        frame = pl.DataFrame({"x": [None, "张三", None, "", "2013-05-07"]})
        masked = frame.select(transform.expression("x"))["x"]
        assert [value is None for value in masked] == [True, False, True, False, False]
        assert transform(None) is None

    @given(st.text(max_size=40))
    def test_masking_twice_is_masking_once(self, transform: Transform, value: str) -> None:
        once = transform(value)
        assert transform(once) == once or once == HIDDEN

    @given(st.text(min_size=1, max_size=60))
    def test_whatever_comes_in_the_output_is_short(self, transform: Transform, value: str) -> None:
        masked = transform(value)
        assert masked is not None
        assert len(masked) <= max(len(value), len(HIDDEN))

    @given(st.text("张欧阳三0123456789Xx-/G路号区镇*", min_size=2, max_size=24))
    def test_nothing_passes_unmasked_except_what_is_already_general(
        self, transform: Transform, value: str
    ) -> None:
        if transform(value) == value:
            already = r".*[*]+.*|\d{4}(-\d{2})?|[^\d]*(区|镇)"
            assert re.fullmatch(already, value), value

    def test_a_column_of_another_type_is_masked_as_its_text(self, transform: Transform) -> None:
        frame = pl.DataFrame({"x": [20130507, None]})
        masked = frame.select(transform.expression(pl.col("x")))["x"]
        assert masked.dtype == pl.String
        assert masked[0] == transform("20130507")
        assert masked[1] is None

    def test_words_exist_in_both_languages(self, transform: Transform) -> None:
        assert transform.title_zh
        assert transform.title_en


class TestIrreversibility:
    """Values that differ only in what is hidden look the same, so no mask can be turned round."""

    @given(digits(10), digits(10))
    def test_identity_numbers(self, a: str, b: str) -> None:
        assert mask.mask_id_number(f"3101{a}002X") == mask.mask_id_number(f"3101{b}002X")
        assert mask.mask_student_number(f"G3101{a}002X") == mask.mask_student_number(f"G3101{b}002X")

    @given(digits(4), digits(4))
    def test_phones(self, a: str, b: str) -> None:
        assert mask.mask_phone(f"138{a}1234") == mask.mask_phone(f"138{b}1234")

    @given(st.text(chinese, min_size=1, max_size=4), st.text(chinese, min_size=1, max_size=4))
    def test_given_names_and_their_length(self, a: str, b: str) -> None:
        assert mask.mask_name(f"张{a}") == mask.mask_name(f"张{b}") == "张*"
        assert mask.mask_name(f"诸葛{a}") == mask.mask_name(f"诸葛{b}") == "诸葛*"

    @given(st.text(max_size=30), st.text(max_size=30))
    def test_texts_and_hidden_values(self, a: str, b: str) -> None:
        assert mask.mask_text(f"甲x{a}") == mask.mask_text(f"甲x{b}") == "甲***"
        assert mask.hide(a) == mask.hide(b)

    @given(st.dates())
    def test_a_date_keeps_no_day(self, day) -> None:
        text = day.isoformat()
        assert mask.generalise_month(text) == text[:7]
        assert mask.generalise_year(text) == text[:4]

    @given(st.text(min_size=0, max_size=20), st.text(st.characters(categories=["Nd", "Lo"]), max_size=20))
    def test_an_address_keeps_no_number(self, start: str, rest: str) -> None:
        shown = mask.generalise_address(f"{start}徐汇区{rest}12号3室") or ""
        assert not re.search(r"[0-9０-９]", shown)


class TestUnknownTransforms:
    def test_a_name_nobody_registered_is_an_error(self) -> None:
        with pytest.raises(mask.UnknownTransform, match="keep_all"):
            mask.transform("keep_all")

    def test_a_known_name_gives_its_transform(self) -> None:
        assert mask.transform("hide") is mask.hide
