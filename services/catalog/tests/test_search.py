"""What people type and what they find: parts of words, several words, names and codes, and what comes close."""

from typing import Any

import httpx
import pytest
from edulake.catalog.resource.words import pieces_of, words_of

SEARCH = "/api/catalog/resources"


async def find(client: httpx.AsyncClient, headers: Any, q: str, **more: Any) -> Any:
    answer = await client.get(SEARCH, params={"q": q, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(found: Any) -> set[str]:
    return {item["id"] for item in found["items"]}


class TestWords:
    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ("学校，学生", ["学校", "学生"]),
            ("学校、学生；名额。", ["学校", "学生", "名额"]),
            ("《学校》（学生）：名额", ["学校", "学生", "名额"]),
            ("学校\u3000学生", ["学校", "学生"]),
            ("ＳＣＨＯＯＬ＿ＣＯＤＥ", ["school_code"]),
            ("api:schools 307/000001", ["api:schools", "307/000001"]),
            ("，。 ", []),
        ],
    )
    def test_are_cut_at_punctuation_and_spelt_one_way(self, typed: str, words: list[str]) -> None:
        assert words_of(typed) == words

    @pytest.mark.parametrize(
        ("words", "pieces"),
        [
            (["学生信息"], ["学生", "生信", "信息"]),
            (["学生", "学生姓名"], ["学生", "生姓", "姓名"]),
            (["区", "api:student学生"], ["区", "api", "student", "学生"]),
            (["%", "_", "or"], []),
        ],
    )
    def test_are_cut_into_pieces_of_two_characters(self, words: list[str], pieces: list[str]) -> None:
        assert pieces_of(words) == pieces


class TestExact:
    @pytest.mark.parametrize(
        ("q", "found"),
        [
            ("监护人", {"dataset:student_base"}),
            ("名额", {"dataset:senior_quota", "api:senior-quota"}),
            ("学生，监护人", {"dataset:student_base"}),
            ("planned_seats", {"dataset:senior_quota", "api:senior-quota"}),
            ("市教育考试院", {"dataset:senior_quota", "api:senior-quota"}),
            ("ＡＰＩ：ｓｃｈｏｏｌｓ", {"api:schools"}),
        ],
    )
    async def test_part_of_a_text_a_field_name_an_organisation(
        self, client: httpx.AsyncClient, app_headers: Any, q: str, found: set[str]
    ) -> None:
        answer = await find(client, app_headers, q)
        assert (ids(answer), answer["approximate"]) == (found, False)

    async def test_the_code_that_is_shown(self, client: httpx.AsyncClient, app_headers: Any) -> None:
        shown = (await find(client, app_headers, "", kind="api"))["items"][0]
        answer = await find(client, app_headers, shown["code"])
        assert (ids(answer), answer["approximate"]) == ({shown["id"]}, False)

    async def test_wildcards_are_plain_text(self, client: httpx.AsyncClient, app_headers: Any) -> None:
        for q in ("%", "\\"):
            assert ids(await find(client, app_headers, q)) == set()
        assert (await find(client, app_headers, "学_基础"))["approximate"] is True
        assert (await find(client, app_headers, "' OR 1=1 --"))["total"] == 0


class TestClose:
    @pytest.mark.parametrize(
        ("q", "first"),
        [
            ("学生信息", "student_base"),
            ("学生姓名", "student_base"),
            ("初中名额", "senior_quota"),
            ("高中学校名额", "senior_quota"),
        ],
    )
    async def test_what_holds_most_pieces_comes_first_and_is_called_approximate(
        self, client: httpx.AsyncClient, app_headers: Any, q: str, first: str
    ) -> None:
        answer = await find(client, app_headers, q)
        assert answer["approximate"] is True
        assert answer["items"][0]["dataset"] == first

    @pytest.mark.parametrize(("q", "among"), [("学校信息", "school_base"), ("市教委", "student_base")])
    async def test_half_of_the_pieces_are_enough(
        self, client: httpx.AsyncClient, app_headers: Any, q: str, among: str
    ) -> None:
        answer = await find(client, app_headers, q)
        assert among in {item["dataset"] for item in answer["items"]}
        assert answer["approximate"] is True

    async def test_fewer_are_not(self, client: httpx.AsyncClient, app_headers: Any) -> None:
        answer = await find(client, app_headers, "学生 没有这个词")
        assert (answer["items"], answer["total"], answer["approximate"]) == ([], 0, False)

    async def test_a_choice_that_leaves_nothing_is_not_taken_for_a_word_nobody_knows(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        answer = await find(client, app_headers, "名额", theme="没有的主题")
        assert (answer["items"], answer["approximate"]) == ([], False)

    async def test_pages_neither_skip_nor_repeat(self, client: httpx.AsyncClient, app_headers: Any) -> None:
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            more = {"limit": 1, **({"cursor": cursor} if cursor else {})}
            page = await find(client, app_headers, "学校信息", **more)
            seen, cursor = [*seen, *(item["id"] for item in page["items"])], page["next"]
        assert len(seen) == len(set(seen)) == page["total"] > 1
        assert sum(page["facets"]["kind"].values()) == page["total"]


class TestList:
    async def test_facets_count_and_narrow(self, client: httpx.AsyncClient, app_headers: Any) -> None:
        every = (await client.get("/api/catalog/resources", headers=app_headers)).json()
        assert every["facets"]["kind"] == {"dataset": 3, "api": 3}
        assert every["total"] == 6
        apis = (await client.get("/api/catalog/resources?kind=api", headers=app_headers)).json()
        assert {item["kind"] for item in apis["items"]} == {"api"}
        assert apis["facets"]["kind"] == {"dataset": 3, "api": 3}

    async def test_pages_neither_skip_nor_repeat(self, client: httpx.AsyncClient, app_headers: Any) -> None:
        seen, cursor = [], ""
        while cursor is not None:
            url = (
                f"/api/catalog/resources?limit=2&cursor={cursor}"
                if cursor
                else "/api/catalog/resources?limit=2"
            )
            page = (await client.get(url, headers=app_headers)).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next"]
        assert len(seen) == len(set(seen)) == 6
