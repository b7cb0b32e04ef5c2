"""Which headers a dataset knows, however they are typed."""

import pytest
from edulake.common.standards import Standards
from edulake.common.standards.headers import plain, recognise

SPELLINGS = ("{}", " {} ", "{}（必填）", "*{}", "{}*", "{}(6位)", "\u200b{}", "{}\u3000", "{}\n")


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def test_every_alias_of_every_contract_is_known_in_its_usual_spellings(standards: Standards) -> None:
    for contract in standards.datasets.values():
        for field in contract.fields:
            for alias in (*field.aliases, field.name):
                typed = [each.format(alias) for each in SPELLINGS]
                typed += [wide(alias), alias.upper(), "\u200d".join(alias), " ".join(alias)]
                for header in typed:
                    assert recognise([header], contract, {}) == ({field.name: [header]}, []), header


def test_the_mapping_of_the_source_comes_first_and_is_best(standards: Standards) -> None:
    contract = standards.datasets["school_base"]
    own = {"学校代码": "school_name"}
    assert recognise(["学校名称", "学校代码"], contract, own) == (
        {"school_name": ["学校代码", "学校名称"]},
        [],
    )


def test_a_mapping_to_no_field_hides_the_alias(standards: Standards) -> None:
    contract = standards.datasets["school_base"]
    assert recognise(["学校代码", "天气"], contract, {"学校 代码": "nonsense"}) == ({}, ["学校代码", "天气"])


@pytest.mark.parametrize(
    ("typed", "bare"),
    [
        ("（备注）", "(备注)"),  # nothing but brackets: it stays
        ("e\u200b\u0301", "é"),  # what an invisible character parted is composed
        ("ＳＣＨＯＯＬ_Code", "school_code"),
        ("**", ""),
    ],
)
def test_folding(typed: str, bare: str) -> None:
    assert plain(typed) == bare
