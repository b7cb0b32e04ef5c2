"""A refused header tells what was missed and what each unknown column may mean."""

from collections.abc import Callable

import pytest
from edulake.cli.synthetic import identity_number
from edulake.common.standards import Contract, Standards
from edulake.ingest.batch.headers import nearest, refuse_personal, refuse_wrong
from edulake.ingest.batch.problems import PersonalHeader, WrongHeader

Refused = Callable[..., WrongHeader]
NUMBER = identity_number("20120517", 12)


@pytest.fixture
def schools(standards: Standards) -> Contract:
    return standards.datasets["school_base"]


@pytest.fixture
def refused(standards: Standards) -> Callable[..., WrongHeader]:
    def refuse(headers: list[str], contract: Contract, mapping: dict[str, str] | None = None) -> WrongHeader:
        with pytest.raises(WrongHeader) as caught:
            refuse_wrong(headers, contract, mapping or {}, standards)
        return caught.value

    return refuse


class TestRefusal:
    def test_of_a_known_column_that_is_no_key_names_it(self, refused: Refused, schools: Contract) -> None:
        other = next(f for f in schools.fields if f.name not in schools.recognisable and f.aliases)
        problem = refused([other.aliases[0]], schools)
        assert problem.extra["recognised"] == [other.name]
        assert problem.extra["expected"]

    def test_names_every_missing_key_column_and_the_nearest_known_header_of_each_unknown_one(
        self, refused: Refused, schools: Contract
    ) -> None:
        problem = refused(["学校代号", "校 名 称（必填）", "天气"], schools)
        keys = {field.title for field in schools.fields if field.name in schools.recognisable}
        assert set(problem.extra["expected"]) == keys
        assert all(title in problem.detail_zh for title in keys)
        assert problem.extra["nearest"] == {"1": "学校代码", "2": "学校名称"}
        assert "第 1 列是否指“学校代码”" in problem.mend_zh
        assert 'does column 1 mean "学校代码"' in problem.mend_en

    def test_of_nothing_like_a_known_header_guesses_nothing(
        self, refused: Refused, schools: Contract
    ) -> None:
        problem = refused(["天气", "气温"], schools)
        assert problem.extra["nearest"] == {}
        assert "是否指" not in problem.mend_zh

    def test_shows_no_digits_of_a_file_without_a_header(self, refused: Refused, schools: Contract) -> None:
        problem = refused(["310101200001011237"], schools)
        assert "310101200001011237" not in f"{problem.extra}{problem.detail_zh}{problem.mend_zh}"

    def test_repeats_no_header_that_nobody_knows(self, refused: Refused, schools: Contract) -> None:
        problem = refused(["卡纳瑞", "备注（卡纳瑞）"], schools)
        assert "卡纳瑞" not in str(problem.document(""))
        assert problem.extra["delivered"] == ["第 1 列（汉字 1–4 位）", "备注"]

    def test_does_not_happen_when_the_mapping_feeds_a_key(
        self, standards: Standards, schools: Contract
    ) -> None:
        refuse_wrong(["XX名"], schools, {"XX名": "school_name"}, standards)


class TestPersonalHeaders:
    @pytest.mark.parametrize(
        "header", [NUMBER, f"学校名称（{NUMBER}）", "J31019920120519123A", "13800138000", "a@b.cn"]
    )
    def test_are_refused_by_their_place_and_not_repeated(self, standards: Standards, header: str) -> None:
        with pytest.raises(PersonalHeader) as caught:
            refuse_personal(["学校名称", "所属区", header], standards)
        assert caught.value.extra["places"] == [3]
        assert header not in str(caught.value.document(""))

    def test_every_word_of_the_contracts_is_let_in(self, standards: Standards) -> None:
        fields = [f for contract in standards.datasets.values() for f in contract.fields]
        refuse_personal([word for f in fields for word in (f.name, f.title, *f.aliases)], standards)


def test_a_header_of_the_sources_own_mapping_is_known_too(schools: Contract) -> None:
    assert nearest(["本系统校号"], schools, {"本系统校码": "school_code"}) == {"本系统校号": "本系统校码"}
