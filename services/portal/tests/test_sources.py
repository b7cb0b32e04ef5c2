"""Sources: registered and changed by a steward from a form, so that a contact can deliver."""

import re
from typing import Any

import pytest
from edulake.portal.pairs import Unreadable, read_pairs, written
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Page, World
from .delivering import send_file

FORM = {
    "id": "roster-b",
    "title": "第三方名册",
    "organisation": "示范区教育局",
    "contact": "person:wu-contact",
    "authority": "10",
    "status": "active",
    "datasets": ["school_base"],
    "mapping.school_base": "校 名 = school_name\n\n学校标识码 ＝ 学校代码",
    "defaults.school_base": "district_code = 310115",
}
FILE = "学校标识码,校 名,学段,办别\n990001,示范第一初级中学,初中,公办\n".encode()
WORDS = st.text(st.characters(exclude_characters="=＝", categories=["L", "N"]), min_size=1)


class TestRegistering:
    async def test_lets_the_contact_deliver_with_his_own_headers(self, whole: World) -> None:
        steward, contact = await whole.enter("li-steward"), await whole.enter("wu-contact")
        assert "还没有来源" in await steward.read("/sources")
        done = await steward.send("/sources/_new", FORM)
        assert done.headers["location"] == "/sources/roster-b?done=register-source"
        text = await steward.read(done.headers["location"])
        assert "来源已登记" in text
        assert "校 名 = school_name\n学校标识码 = school_code" in text
        assert "第三方名册" in await steward.read("/sources")
        answer = await send_file(contact, FILE)
        assert answer.status_code == 303, answer.text

    async def test_offers_the_people_who_can_be_contacts(self, whole: World) -> None:
        page = Page(await (await whole.enter("li-steward")).read("/sources/_new"))
        offered = [one["value"] for one in page.all("option") if one["value"].startswith("person:")]
        assert offered == ["person:li-steward", "person:wu-contact", "person:zhou-owner"]

    async def test_a_program_can_be_named_too(self, whole: World) -> None:
        steward, applicant = await whole.enter("li-steward"), await whole.enter("zheng-applicant")
        found = re.search(r"app-[0-9a-f]{10}", (await applicant.send("/apps", {"name": "报送程序"})).text)
        assert found
        client = f"client:{found[0]}"
        await steward.send("/sources/_new", {**FORM, "contact_other": client})
        assert f'value="{client}" selected' in await steward.read("/sources/roster-b")
        refused = await steward.send("/sources/_new", {**FORM, "contact_other": "client:nobody"})
        assert (refused.status_code, "没有在用的人员或应用" in refused.text) == (422, True)

    @pytest.mark.parametrize(
        ("over", "remark"),
        [
            ({"id": "第三方"}, 'id-remark">格式不符合要求'),
            ({"title": " "}, "title-remark"),
            ({"contact": ""}, "contact-remark"),
            ({"authority": "101"}, 'authority-remark">不能大于 100'),
            ({"datasets": []}, 'datasets-remark">至少选择 1 项'),
            ({"mapping.school_base": "校名"}, 'mapping.school_base-remark">第 1 行应为'),
            (
                {"mapping.school_base": "校名 = 没有的字段"},
                'mapping.school_base-remark">学校基础没有字段“没有的字段”',
            ),
            ({"defaults.school_base": "a = 1\na = 2"}, 'defaults.school_base-remark">第 2 行与前面重复'),
            ({"mapping.student_base": "姓名 = student_name"}, "student_base"),
        ],
    )
    async def test_what_is_wrong_is_remarked_and_nothing_typed_is_lost(
        self, whole: World, over: dict[str, Any], remark: str
    ) -> None:
        steward = await whole.enter("li-steward")
        answer = await steward.send("/sources/_new", {**FORM, **over})
        assert answer.status_code == 422
        assert remark in answer.text
        page = Page(answer.text)
        typed = {one["name"]: one.get("value") for one in page.all("input")}
        assert typed["organisation"] == "示范区教育局"
        assert ("district_code = 310115" in answer.text) == ("defaults.school_base" not in over)
        assert "还没有来源" in await steward.read("/sources")

    async def test_is_not_offered_to_others(self, whole: World) -> None:
        contact = await whole.enter("wu-contact")
        assert "不能登记来源" in await contact.read("/sources/_new")
        assert (await contact.send("/sources/_new", FORM)).status_code == 403


class TestChanging:
    async def test_keeps_what_was_before(self, whole: World) -> None:
        steward = await whole.enter("li-steward")
        await steward.send("/sources/_new", FORM)
        form = {name: value for name, value in FORM.items() if name != "id"}
        done = await steward.send("/sources/roster-b", {**form, "title": "新名册", "status": "suspended"})
        assert done.headers["location"] == "/sources/roster-b?done=change-source"
        text = await steward.read("/sources/roster-b")
        for words in ("新名册", "已暂停", "第 2 次", "第 1 次", "李治理", "吴报送 · 学校基础"):
            assert words in text
        assert "您还没有可以报送的来源" in await (await whole.enter("wu-contact")).read("/batches/deliver")

    async def test_the_form_sent_back_as_shown_changes_nothing(self, whole: World) -> None:
        steward = await whole.enter("li-steward")
        await steward.send("/sources/_new", FORM)
        text = await steward.read("/sources/roster-b")
        shown = dict(re.findall(r'<textarea id="([^"]+)"[^>]*>([^<]*)</textarea>', text))
        form = {name: value for name, value in FORM.items() if name != "id"} | shown
        await steward.send("/sources/roster-b", form)
        assert "第 2 次" not in await steward.read("/sources/roster-b")

    async def test_the_contact_reads_his_own_and_changes_nothing(self, whole: World) -> None:
        await (await whole.enter("li-steward")).send("/sources/_new", FORM)
        contact = await whole.enter("wu-contact")
        text = await contact.read("/sources/roster-b")
        assert "校 名 → 学校名称" in text
        assert "保存" not in text
        assert (await contact.send("/sources/roster-b", FORM)).status_code == 403

    async def test_an_unknown_one_is_told(self, whole: World) -> None:
        answer = await (await whole.enter("li-steward")).get("/sources/nobody")
        assert answer.status_code == 404
        assert "来源 nobody 没有登记" in answer.text


class TestPairs:
    @given(st.dictionaries(WORDS, WORDS))
    def test_what_is_written_is_read(self, pairs: dict[str, str]) -> None:
        assert read_pairs(written(pairs), field_last=True) == pairs
        assert read_pairs(written(pairs), field_last=False) == pairs

    def test_the_sign_next_to_the_field_divides(self) -> None:
        assert read_pairs("是否=寄宿 = boarding", field_last=True) == {"是否=寄宿": "boarding"}
        assert read_pairs("remark = a=b", field_last=False) == {"remark": "a=b"}

    @pytest.mark.parametrize("line", ["校名", "= x", "校名 =", "校名 = a\n校名 = b"])
    def test_what_is_no_pair_says_which_line(self, line: str) -> None:
        with pytest.raises(Unreadable, match=r"第 \d 行"):
            read_pairs(line, field_last=True)

    def test_a_default_may_be_empty(self) -> None:
        assert read_pairs("remark =", field_last=False) == {"remark": ""}
