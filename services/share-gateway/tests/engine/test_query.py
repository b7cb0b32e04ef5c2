"""What a query string may say: a corpus of hostile ones, and properties of the key of a call."""

import string
from itertools import pairwise
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
from edulake.common.gm import KeyRing
from edulake.common.standards import Standards
from edulake.share_gateway.engine.definition import CompiledApi, define
from edulake.share_gateway.engine.pages import BadPageToken, Position, make_token, open_token
from edulake.share_gateway.engine.query import BadParameter, Call, question_of, read_call
from hypothesis import given
from hypothesis import strategies as st

RING = KeyRing.of(p1=b"p" * 32)

#: One of each family: SQL, identifiers, comments, LIKE, encodings, control characters, numbers, tokens.
CORPUS = [
    "'", "''", "' OR '1'='1", "'; DROP TABLE published.school_base; --", "1; SELECT pg_sleep(5)", "1/**/OR/**/1=1",
    "1 UNION SELECT 1,2,3", "' UNION SELECT usename FROM pg_user --", "\\", "\\'", "\\\\'; --", "$1", "$$x$$", "${7*7}",
    "{{7*7}}", "%", "_", "%%", "a%' OR name LIKE '%", '"', '"; --', "`id`", "$(id)", "school_code", "NULL", "null",
    "true", "1e400", "-1", "0x10", "9" * 40, "1.5", "NaN", "Infinity", "٣", "²", "🏫" * 30, "\u202e", "a" * 5000,
    "(SELECT 1)", "1,2", ",", ",,", "[]", "{}", '{"$gt":""}', "../../etc/passwd", "<script>alert(1)</script>",
    "pg_catalog.pg_tables", "CAST(1 AS text)", "1::text", "E'\\x27'", "U&'\\0027'", "chr(39)", "a' || 'b", "0 OR sleep(5)",
]  # fmt: skip
RAW = [
    b"%00", b"%0a", b"%7f", b"%c2%85", b"%ff", b"%c0%a7", b"%ed%a0%80", b"%f5%80%80%80", b"%", b"%4", b"%zz",
    b"\x00", b"\xe4", b"a b", b"%e2%80%a8",
]  # fmt: skip
#: Names somebody may try: other spellings, our own words, columns that are not parameters.
STRANGE_NAMES = [
    "order_by", "columns", "select", "Stage", "stage[]", "stage ", " stage", "school_key", "_region", "version",
    "", "districts", "mask_level",
]  # fmt: skip


@pytest.fixture(scope="module")
def apis(standards: Standards) -> dict[str, CompiledApi]:
    return {
        name: define(api, standards.datasets[api.dataset], standards.codes)
        for name, api in standards.apis.items()
    }


def read(api: CompiledApi, query: bytes) -> Call:
    return read_call(api, query, RING)


def is_plain(value: str) -> bool:
    """Text that the free-text parameter `name` takes: it has no narrower form than its length."""
    return 0 < len(value) <= 60


class TestHostileValues:
    """Every value of the corpus, in every parameter and in the page token, meets 4xx or plain data."""

    @pytest.mark.parametrize("value", CORPUS, ids=range(len(CORPUS)))
    async def test_no_value_reaches_sql_as_text(
        self, value: str, serve: Any, engine: Any, ask: Any, make_school: Any, make_student: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 4)])
        for name in ("schools", "senior-quota", "student"):
            api = engine.route(name)
            for parameter in (*[p.name for p in api.params], "cursor", "limit"):
                query = urlencode({parameter: value}).encode()
                if (name, parameter) == ("schools", "name") and is_plain(value):
                    assert (await ask(name, query))["data"] == []
                    continue
                with pytest.raises((BadParameter, BadPageToken)) as caught:
                    await ask(name, query)
                assert caught.value.status == 400
                assert len(value) < 4 or value not in caught.value.document("t")["detail"]

    @pytest.mark.parametrize("raw", RAW)
    def test_bytes_that_are_not_clean_text_are_refused(
        self, raw: bytes, apis: dict[str, CompiledApi]
    ) -> None:
        for query in (b"name=" + raw, raw + b"=1", b"cursor=" + raw, b"name=x&" + raw + b"=2"):
            with pytest.raises((BadParameter, BadPageToken)):
                read(apis["schools"], query)

    @pytest.mark.parametrize("name", STRANGE_NAMES)
    def test_a_name_that_is_not_a_parameter_is_refused(self, name: str, apis: dict[str, CompiledApi]) -> None:
        with pytest.raises(BadParameter):
            read(apis["schools"], urlencode({name: "3"}).encode())


class TestBounds:
    @pytest.mark.parametrize(
        "query",
        [
            b"stage=3&stage=3", b"stage=3&stage=2", b"st%61ge=3&stage=3", b"stage", b"stage=", b"=3", b"limit=0",
            b"limit=101", b"limit=-1", b"limit=1.0", b"limit=+1", b"limit=%201", b"limit=", b"stage=9",
            b"district=999999", b"district=310115,", b"district=310115,999999", b"district=" + b"310115," * 20 + b"310101",
            b"name=" + b"a" * 61, b"name=" + b"a" * 9000,
        ],
    )  # fmt: skip
    def test_each_is_refused_with_words(self, query: bytes, apis: dict[str, CompiledApi]) -> None:
        with pytest.raises(BadParameter) as caught:
            read(apis["schools"], query)
        document = caught.value.document("t")
        assert document.keys() >= {"detail", "mend"}
        assert document["where"].startswith("query")

    def test_a_required_parameter_is_missed(self, apis: dict[str, CompiledApi]) -> None:
        with pytest.raises(BadParameter) as caught:
            read(apis["student"], b"")
        assert caught.value.where == "query.student_key"

    def test_one_record_has_no_pages(self, apis: dict[str, CompiledApi]) -> None:
        for query in (b"limit=1", b"cursor=x"):
            with pytest.raises(BadParameter):
                read(apis["student"], b"student_key=t1.k1." + b"a" * 40 + b"&" + query)

    @pytest.mark.parametrize("year", [b"20240", b"abcd", b"1999", b"-2024", b"%D9%A2024"])
    def test_a_number_is_a_number_of_the_form_described(
        self, year: bytes, apis: dict[str, CompiledApi]
    ) -> None:
        with pytest.raises(BadParameter):
            read(apis["senior-quota"], b"year=" + year)


class TestKey:
    """Equal questions have equal keys, different ones different: the cache depends on it."""

    def test_spelling_and_order_do_not_count(self, apis: dict[str, CompiledApi]) -> None:
        api = apis["schools"]
        same = [
            b"stage=3&code=990001",
            b"code=990001&stage=3",
            b"%73tage=%33&code=990001&",
            b"stage=3&code=990001&limit=20",
        ]
        assert len({read(api, query).key for query in same}) == 1
        assert read(api, b"district=310115,310101").key == read(api, b"district=310101,310115,310101").key

    def test_anything_that_changes_the_answer_changes_the_key(self, apis: dict[str, CompiledApi]) -> None:
        api = apis["schools"]
        token = make_token(RING, question_of(api, read(api, b"")), Position(1, ("school_key",), 5)).encode()
        queries = [
            b"", b"stage=3", b"stage=2", b"limit=19", b"cursor=" + token, b"name=3", b"name=stage", b"district=310115",
            b"district=310115,310101", b"code=310115", b"name=a%26code=990001", b"name=a&code=990001",
        ]  # fmt: skip
        assert len({read(api, query).key for query in queries}) == len(queries)

    @given(
        st.lists(
            st.text(string.ascii_letters + "甲乙=&,:", min_size=1, max_size=8),
            min_size=2,
            max_size=6,
            unique=True,
        )
    )
    def test_no_two_names_share_a_key(self, standards: Standards, names: list[str]) -> None:
        api = define(standards.apis["schools"], standards.datasets["school_base"], standards.codes)
        keys = [read(api, b"name=" + quote_from_bytes(name.encode()).encode()).key for name in names]
        assert len(set(keys)) == len(names)


class TestPageTokens:
    def test_a_token_opens_to_what_it_was_made_of(self) -> None:
        position = Position(7, ("year", "school_key"), 123)
        assert open_token(RING, b"q", make_token(RING, b"q", position)) == position

    def test_any_changed_character_is_noticed(self) -> None:
        token = make_token(RING, b"q", Position(7, ("year",), 123))
        for at in range(len(token)):
            for other in "A.z_":
                changed = token[:at] + other + token[at + 1 :]
                if changed == token:
                    continue
                try:
                    found = open_token(RING, b"q", changed)
                except BadPageToken:
                    continue
                assert found == Position(7, ("year",), 123)  # unused bits of the last character
                assert at == len(token) - 1

    def test_a_token_of_an_old_key_is_good_and_of_a_foreign_one_is_not(self) -> None:
        token = make_token(RING, b"q", Position(1, (), 1))
        assert open_token(KeyRing.of(p1=b"p" * 32, p2=b"n" * 32), b"q", token).number == 1
        with pytest.raises(BadPageToken):
            open_token(KeyRing.of(p1=b"x" * 32), b"q", token)
        with pytest.raises(BadPageToken):
            open_token(KeyRing.of(other=b"p" * 32), b"q", token)

    @given(st.text(max_size=60))
    def test_no_other_text_opens(self, text: str) -> None:
        with pytest.raises(BadPageToken):
            open_token(RING, b"q", text)

    def test_the_question_is_bound(self, apis: dict[str, CompiledApi]) -> None:
        api = apis["schools"]
        questions = [question_of(api, read(api, q)) for q in (b"", b"stage=3", b"stage=2", b"code=990001")]
        for one, other in pairwise(questions):
            with pytest.raises(BadPageToken):
                open_token(RING, other, make_token(RING, one, Position(1, (), 1)))
        assert question_of(api, read(api, b"limit=5")) == question_of(api, read(api, b"limit=6"))
