"""What is refused before any SQL is made, and that statements are made of allowed names only."""

import re
from typing import Any

import pytest
from edulake.common.standards import ApiDefinition, Contract, FieldContract, Standards
from edulake.share_gateway.engine import serving
from edulake.share_gateway.engine.compile import (
    LEAST,
    Shape,
    like_prefix,
    list_statement,
    one_statement,
    quoted,
    table_name,
)
from edulake.share_gateway.engine.definition import DefinitionError, define
from hypothesis import given
from hypothesis import strategies as st

#: The constants that stand for NULL in an order, as texts between quotes.
LEAST_TEXTS = {text for constant in LEAST.values() for text in re.findall(r"'([^']*)'", constant)}


def changed(api: ApiDefinition, **over: Any) -> ApiDefinition:
    return ApiDefinition.model_validate({**api.model_dump(), **over})


class TestDefine:
    def test_every_shipped_api_fits_its_contract(self, standards: Standards) -> None:
        for api in standards.apis.values():
            assert define(api, standards.datasets[api.dataset], standards.codes).columns == api.columns

    @pytest.mark.parametrize(
        ("over", "words"),
        [
            ({"columns": ["school_name", "remark"]}, "remark is not served"),
            ({"columns": ["school_name", "nonsense"]}, "nonsense is not served"),
            ({"parameters": [], "columns": ["school_key", "estimated_pupils"]}, "above the API's"),
            ({"columns": ["school_name"]}, "influences the answer"),
            ({"page": {"default": 50, "max": 20}}, "default is above max"),
            ({"kind": "one"}, "business key"),
        ],
    )
    def test_an_api_that_does_not_fit_is_refused(self, over: Any, words: str, standards: Standards) -> None:
        with pytest.raises(DefinitionError, match=words):
            define(
                changed(standards.apis["schools"], **over), standards.datasets["school_base"], standards.codes
            )

    @pytest.mark.parametrize(
        ("parameter", "words"),
        [
            ({"name": "limit"}, "belongs to paging"),
            ({"type": "integer"}, "does not fit"),
            ({"pattern": "(["}, "pattern"),
            ({"name": "stage"}, "twice"),
        ],
    )
    def test_a_parameter_that_does_not_fit_is_refused(
        self, parameter: Any, words: str, standards: Standards
    ) -> None:
        api = standards.apis["schools"]
        first, *others = [p.model_dump() for p in api.parameters]
        with pytest.raises(DefinitionError, match=words):
            define(
                changed(api, parameters=[{**first, **parameter}, *others]),
                standards.datasets["school_base"],
                standards.codes,
            )

    def test_a_field_that_is_dropped_is_never_published(self, standards: Standards) -> None:
        for contract in standards.datasets.values():
            columns = serving.served_columns(contract)
            assert not columns.keys() & {f.name for f in contract.fields if f.protect.share == "drop"}
            assert not [
                name for name in columns if name.endswith(("_sealed", "_token")) or name.startswith("_")
            ]


class TestStatements:
    def test_names_are_the_contracts_and_values_are_bound(self, standards: Standards) -> None:
        """Every quoted name in any statement is a field, a table of the dataset or one of our two columns."""
        for api_definition in standards.apis.values():
            contract: Contract = standards.datasets[api_definition.dataset]
            api = define(api_definition, contract, standards.codes)
            names = {f.name for f in contract.served_fields} | {"_n", "_region", f"{contract.name}__v3"}
            make = one_statement if api.kind == "one" else list_statement
            for strict in (True, False):
                shape = Shape(
                    api.columns, api.order_by, tuple(p.name for p in api.params), True, True, strict
                )
                statement = make(api, shape, 3)
                assert set(re.findall(r'"([^"]*)"', statement)) <= names
                literals = set(re.findall(r"'([^']*)'", statement))
                assert literals <= {"[", ",", "]", "", "UTF8", "******", *LEAST_TEXTS}

    @pytest.mark.parametrize("kind", ["string", "integer", "decimal", "date", "boolean"])
    def test_an_api_may_be_ordered_by_a_field_of_any_type(self, kind: str, standards: Standards) -> None:
        plain = {"title": "列", "level": 1, "protect": "keep"}
        key = {**plain, "name": "key"}
        column = {**plain, "name": "column", "type": kind}
        fields = tuple(FieldContract.model_validate(field) for field in (key, column))
        contract = standards.datasets["school_base"].model_copy(
            update={"fields": fields, "business_key": ("key",)}
        )
        ordered = changed(
            standards.apis["schools"], columns=["key", "column"], order_by=["column", "key"], parameters=[]
        )
        api = define(ordered, contract, standards.codes)
        statement = list_statement(api, Shape(api.columns, api.order_by, (), True, True, False), 3)
        literals = set(re.findall(r"'([^']*)'", statement))
        assert literals <= {"[", ",", "]", "", "UTF8", *LEAST_TEXTS}
        assert LEAST[api.fields["column"].sql_type] in statement

    @pytest.mark.parametrize("name", ['a"b', "A", "a b", "", "a" * 64, "a;", "1a", "ä", "a\n", "a.b"])
    def test_a_name_that_is_no_identifier_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError):
            quoted(name)

    @pytest.mark.parametrize(("dataset", "version"), [("a", 0), ("a", -1), ("a" * 51, 1)])
    def test_a_table_that_cannot_be_is_refused(self, dataset: str, version: int) -> None:
        with pytest.raises(ValueError):
            table_name(dataset, version)

    @given(st.text(max_size=20))
    def test_a_prefix_pattern_means_the_text_itself(self, text: str) -> None:
        pattern = like_prefix(text)
        assert pattern.endswith("%")
        assert re.sub(r"\\(.)", r"\1", pattern[:-1], flags=re.DOTALL) == text
        assert not re.search(r"(?<!\\)(?:\\\\)*[%_]", pattern[:-1])
