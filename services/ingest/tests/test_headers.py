"""A refused header tells what was missed and what each unknown column may mean."""

import pytest
from edulake.common.standards import Contract, Standards
from edulake.ingest.batch.headers import nearest, refuse_wrong
from edulake.ingest.batch.problems import WrongHeader


@pytest.fixture
def schools(standards: Standards) -> Contract:
    return standards.datasets["school_base"]


def refused(headers: list[str], contract: Contract, mapping: dict[str, str] | None = None) -> WrongHeader:
    with pytest.raises(WrongHeader) as caught:
        refuse_wrong(headers, contract, mapping or {})
    return caught.value


class TestRefusal:
    def test_of_a_known_column_that_is_no_key_names_it(self, schools: Contract) -> None:
        other = next(f for f in schools.fields if f.name not in schools.recognisable and f.aliases)
        problem = refused([other.aliases[0]], schools)
        assert problem.extra["recognised"] == [other.name]
        assert problem.extra["expected"]

    def test_names_every_missing_key_column_and_the_nearest_known_header_of_each_unknown_one(
        self, schools: Contract
    ) -> None:
        problem = refused(["学校代号", "校 名 称（必填）", "天气"], schools)
        keys = {field.title for field in schools.fields if field.name in schools.recognisable}
        assert set(problem.extra["expected"]) == keys
        assert all(title in problem.detail_zh for title in keys)
        assert problem.extra["nearest"] == {"学校代号": "学校代码", "校 名 称（必填）": "学校名称"}
        assert "“学校代号”是否指“学校代码”" in problem.mend_zh
        assert 'does "学校代号" mean "学校代码"' in problem.mend_en

    def test_of_nothing_like_a_known_header_guesses_nothing(self, schools: Contract) -> None:
        problem = refused(["天气", "气温"], schools)
        assert problem.extra["nearest"] == {}
        assert "是否指" not in problem.mend_zh

    def test_shows_no_digits_of_a_file_without_a_header(self, schools: Contract) -> None:
        problem = refused(["310101200001011237"], schools)
        assert "310101200001011237" not in f"{problem.extra}{problem.detail_zh}{problem.mend_zh}"

    def test_does_not_happen_when_the_mapping_feeds_a_key(self, schools: Contract) -> None:
        refuse_wrong(["XX名"], schools, {"XX名": "school_name"})


def test_a_header_of_the_sources_own_mapping_is_known_too(schools: Contract) -> None:
    assert nearest(["本系统校号"], schools, {"本系统校码": "school_code"}) == {"本系统校号": "本系统校码"}
