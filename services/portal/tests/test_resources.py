"""The catalogue as a person uses it: following, ordering, taking along, understanding, trying."""

import csv
import io
from typing import Any
from urllib.parse import unquote

import pytest
from edulake.portal.clients.reply import Reply
from edulake.portal.handbook import lines_for
from edulake.portal.protection import SHARES, TABLES

from .world import Page, World

CATALOGUE = "/api/catalog/resources"


class TestList:
    async def test_facets_count_choose_and_unchoose(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        text = await person.read("/resources?share_way=调用在线服务&kind=api")
        assert "共 3 项" in text
        links = {unquote(one["href"]) for one in Page(text).all("a") if "aria-current" in one}
        assert "/resources?kind=api" in links  # choosing the way of exchange again takes it back
        assert "清除全部条件" in text

    async def test_an_order_is_marked_and_kept(self, full: World) -> None:
        await full.publish("senior_quota", 1, rows=9000)
        person = await full.enter("zheng-applicant")
        text = await person.read("/resources?sort=rows&kind=dataset")
        assert text.index("高中名额分配到校计划") < text.index("学校基础")
        assert 'name="sort" value="rows"' in text  # a new search keeps the order

    async def test_what_only_comes_close_says_so(self, full: World, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = full.portal.state.resources.extra["calls"]
        ask = calls.ask

        async def asked(method: str, service: str, path: str, *more: Any, **options: Any) -> Reply:
            reply: Reply = await ask(method, service, path, *more, **options)
            return Reply({**reply.data, "approximate": True}) if path == CATALOGUE else reply

        person = await full.enter("zheng-applicant")
        assert "没有完全匹配" not in await person.read("/resources?q=学校")
        monkeypatch.setattr(calls, "ask", asked)
        assert "没有完全匹配的资源；以下是相近的" in await person.read("/resources?q=学校")

    async def test_a_strange_order_is_a_page(self, full: World) -> None:
        answer = await (await full.enter("zheng-applicant")).get("/resources?sort=name")
        assert answer.status_code == 422
        assert "地址或参数不符合要求" in answer.text

    async def test_the_file_holds_every_hit_and_no_formula(self, full: World) -> None:
        vars(full.settings)["page_rows"] = 2
        person = await full.enter("zheng-applicant")
        contract = full.resources_of("catalog").standards.datasets["school_base"]
        vars(contract)["title"], before = "=HYPERLINK(1)", contract.title
        try:
            await full.publish("school_base", 2)
        finally:
            vars(contract)["title"] = before
        answer = await person.get("/resources.csv?kind=dataset")
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert {row["名称"] for row in rows} == {"'=HYPERLINK(1)", "学生基础", "高中名额分配到校计划"}
        assert {row["类型"] for row in rows} == {"数据集"}

    async def test_without_a_session_there_is_no_file(self, full: World) -> None:
        assert (await full.stranger().get("/resources.csv")).status_code == 303


class TestFollowing:
    async def test_marks_it_and_comes_back_to_where_it_was(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        form = {"follow": "yes", "back": "/resources?kind=api"}
        done = await person.send("/resources/api:schools/follow", form)
        assert done.headers["location"] == "/resources?kind=api"
        assert "★ 已关注" in await person.read("/resources/api:schools")
        assert "共 1 项" in await person.read("/resources?favourite=true")
        await person.send("/resources/api:schools/follow", {"follow": "no"})
        assert "★ 已关注" not in await person.read("/resources/api:schools")

    @pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/resourcesx", ""])
    async def test_never_leads_elsewhere(self, full: World, back: str) -> None:
        person = await full.enter("zheng-applicant")
        done = await person.send("/resources/api:schools/follow", {"follow": "no", "back": back})
        assert done.headers["location"] == "/resources/api%3Aschools"

    async def test_what_is_not_there_is_told(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        answer = await person.send("/resources/api:none/follow", {"follow": "yes"})
        assert answer.status_code == 404


class TestTabs:
    @pytest.mark.parametrize(
        ("tab", "words"),
        [
            ("", ["307/", "责任机构", "市教育委员会信息中心", "数据责任人"]),
            ("/structure", ["行政区划（GB/T 2260）", "使用者看到", "原样", "school_code"]),
            ("/sample", ["虚构", "示例初级中学", "学校名称"]),
            ("/handbook", ["/share/v1/schools?district=310115", "import requests", "HttpClient", "429"]),
            ("/test", ["沙箱", "不保存应用的密钥", "还没有请求"]),
            ("/quality", ["治理服务暂时没有应答"]),
            ("/versions", ["共享网关暂时没有应答"]),
        ],
    )
    async def test_show_what_they_say(self, full: World, tab: str, words: list[str]) -> None:
        text = await (await full.enter("zheng-applicant")).read(f"/resources/api:schools{tab}")
        for one in words:
            assert one in text, (tab, one)

    async def test_masks_are_told_for_children_too(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        text = await person.read("/resources/dataset:student_base/structure")
        for words in ("只见姓氏", "只见年份", "隐藏"):
            assert words in text

    async def test_a_dataset_has_no_handbook(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        assert "/handbook" not in await person.read("/resources/dataset:school_base")
        assert (await person.get("/resources/dataset:school_base/handbook")).status_code == 404

    async def test_governance_and_gateway_tell_rules_and_versions(self, whole: World) -> None:
        await whole.fill()
        person = await whole.enter("zheng-applicant")
        text = await person.read("/resources/api:schools/quality")
        assert "学校名称必填" in text
        assert "没有应答" not in text + await person.read("/resources/api:schools/versions")


class TestTrying:
    async def test_answers_made_up_rows_and_shows_the_real_address(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        text = await person.read("/resources/api:schools/test?try=1&district=310115&stage=3")
        assert f"{full.settings.issuer}/share/v1/schools?district=310115&amp;stage=3" in text
        assert "示例初级中学" in text
        assert '<option value="310115" selected>' in text

    async def test_a_wrong_parameter_is_remarked_beside_its_field(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        text = await person.read("/resources/api:schools/test?try=1&code=%3Cx%3E")
        assert 'id="p-code-remark"' in text
        assert 'value="&lt;x&gt;"' in text  # what was typed stays, and is not run

    async def test_names_the_grants_one_has(self, full: World) -> None:
        applicant = await full.grant_schools()
        text = await applicant.read("/resources/api:schools/test")
        assert "已有授权" in text


class TestHandbook:
    def test_the_python_lines_are_python(self, standards: object) -> None:
        for api in standards.apis.values():  # type: ignore[attr-defined]
            by_id = {one.id: one.code for one in lines_for(api, "https://lake.example")}
            compile(by_id["python"], api.name, "exec")
            assert f"https://lake.example{api.sample_request}" in by_id["curl"]
            assert f"https://lake.example{api.sample_request}" in by_id["java"]
            assert by_id["java"].count("{") == by_id["java"].count("}")
            assert "HttpClient.Version.HTTP_1_1" in by_id["java"]  # h2c with a body does not get through


class TestWords:
    def test_every_mask_and_every_table_has_a_name(self, standards: object) -> None:
        from edulake.common.mask import TRANSFORMS

        assert TRANSFORMS.keys() <= SHARES.keys()
        assert standards.codes.keys() == TABLES.keys()  # type: ignore[attr-defined]
