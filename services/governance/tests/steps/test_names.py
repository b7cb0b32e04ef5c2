"""Two spellings of one school give one core; two schools do not."""

import polars as pl
import pytest
from edulake.governance.steps import names, text
from edulake.governance.steps.names import Place
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="session")
def place(standards):
    return Place.of(standards.codes["gbt2260"], "31")


def one(function, value):
    return pl.select(function(pl.lit(value, pl.String))).item()


class TestCore:
    @pytest.mark.parametrize(
        ("one_spelling", "other"),
        [
            ("上海市格致初级中学", "格致初级中学"),
            ("上海市宝山区求真中学", "求真中学"),
            ("上海民办宝莲中学", "上海市民办宝莲中学"),
            ("上海 南汇中学", "上海南汇中学"),
            ("上海市第八初级中学", "市八初级中学"),
            ("上海浦东新区民办远翔实验学校", "民办远翔实验学校"),
            ("上海浦东民办未来科技学校", "民办未来科技学校"),
            ("大同初级中学（原黄浦学校）", "大同初级中学"),
            ("大同初级中学(原黄浦学校)", "大同初级中学（原黄浦学校）"),
            ("上海市三门中学（上海财经大学\n附属初级中学）", "三门中学"),
        ],
    )
    def test_spellings_of_one_school_agree(self, place, one_spelling, other):
        assert one(place.core, one_spelling) == one(place.core, other)

    @pytest.mark.parametrize(
        ("school", "another"),
        [
            ("上海市格致中学", "上海市格致中学（奉贤校区）"),
            ("上海中学", "上海中学东校"),
            ("上海市上南中学南校", "上海市上南中学北校"),
            ("上海师范大学附属中学", "师范大学附属中学"),
            ("市八初级中学", "市十初级中学"),
        ],
    )
    def test_different_schools_stay_different(self, place, school, another):
        assert one(place.core, school) != one(place.core, another)

    @given(st.text(alphabet="上海市浦东新区民办中学实验（）()原一二 ", min_size=1, max_size=16))
    def test_a_name_with_characters_has_a_core_and_the_core_is_its_own(self, place, name):
        core = one(place.core, name)
        assert bool(core) == bool(name.strip())
        assert " " not in core

    def test_the_district_in_a_name_is_read_also_a_former_one(self, place):
        assert one(place.region_of, "上海市奉贤区实验中学") == "310120"
        assert one(place.region_of, "上海浦东新区民办远翔实验学校") == "310115"
        assert one(place.region_of, "上海市南汇区某中学") == "310115"
        assert one(place.region_of, "上海市南汇第一中学") is None


class TestNames:
    def test_the_former_name_leaves_the_name_and_is_kept(self):
        delivered = "上海戏剧学院附属浦东实验中学（原上海\n市唐镇中学）"
        assert one(lambda t: names.school_name(text.fold(t)), delivered) == "上海戏剧学院附属浦东实验中学"
        assert one(lambda t: names.other_name(text.fold(t)), delivered) == "上海市唐镇中学"

    def test_a_campus_is_part_of_the_name(self):
        assert (
            one(lambda t: names.school_name(text.fold(t)), "上海市格致中学(奉贤校区)")
            == "上海市格致中学（奉贤校区）"
        )


class TestCodes:
    @pytest.mark.parametrize(
        ("delivered", "code"),
        [
            ("75068", "075068"),
            ("75068.0", "075068"),
            ("pd0134", "PD0134"),
            ("０１２００１", "012001"),
            ("205004", "205004"),
        ],
    )
    def test_codes_get_their_form_back(self, delivered, code):
        assert one(lambda t: names.school_code(text.fold(t)), delivered) == code

    @pytest.mark.parametrize("cell", ["合计", "1234", "初中代码", "1234567", "上海市求真中学", "0"])
    def test_other_cells_are_no_codes(self, cell):
        assert not one(names.looks_like_code, cell)
