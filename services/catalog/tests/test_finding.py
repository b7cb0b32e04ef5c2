"""Following, ordering, understanding and trying a resource; and what a decision is made on."""

from typing import Any

import httpx
import pytest
from edulake.catalog.sandbox.call import BadParameter, answer
from edulake.catalog.sandbox.rows import sample_rows
from edulake.common.errors import NotFound
from edulake.common.standards import Standards

from .conftest import CENTRE, Headers, publish

SEARCH = "/api/catalog/resources"
FAVOURITES = "/api/catalog/favourites"


class TestFavourites:
    async def test_are_ones_own_and_narrow_the_search(
        self, client: httpx.AsyncClient, app_headers: Any, owner: Any
    ) -> None:
        for _ in range(2):  # twice is as good as once
            assert (await client.put(f"{FAVOURITES}/api:schools", headers=app_headers)).status_code == 204
        found = (await client.get(f"{SEARCH}?favourite=true", headers=app_headers)).json()
        assert [(one["id"], one["favourite"]) for one in found["items"]] == [("api:schools", True)]
        assert found["facets"]["kind"] == {"api": 1}
        every = (await client.get(SEARCH, headers=app_headers)).json()
        assert (every["total"], every["favourites"]) == (6, 1)
        of_another = (await client.get(f"{SEARCH}?favourite=true", headers=owner)).json()
        assert of_another["items"] == []
        detail = (await client.get(f"{SEARCH}/api:schools", headers=app_headers)).json()
        assert detail["favourite"] is True

    async def test_are_listed_by_page_and_taken_away(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        for name in ("api:schools", "dataset:school_base"):
            await client.put(f"{FAVOURITES}/{name}", headers=app_headers)
        first = (await client.get(f"{FAVOURITES}?limit=1", headers=app_headers)).json()
        more = await client.get(f"{FAVOURITES}?limit=1&cursor={first['next']}", headers=app_headers)
        assert [one["items"][0]["resource_id"] for one in (first, more.json())] == [
            "dataset:school_base",
            "api:schools",
        ]
        for _ in range(2):
            gone = await client.delete(f"{FAVOURITES}/api:schools", headers=app_headers)
            assert gone.status_code == 204
        left = (await client.get(FAVOURITES, headers=app_headers)).json()["items"]
        assert [one["title"] for one in left] == ["学校基础"]

    async def test_of_what_is_not_there_are_refused(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        assert (await client.put(f"{FAVOURITES}/api:none", headers=app_headers)).status_code == 404


class TestOrder:
    @pytest.mark.parametrize("sort", ["newest", "rows", "used"])
    async def test_pages_neither_skip_nor_repeat(
        self, client: httpx.AsyncClient, app: Any, app_headers: Any, sort: str
    ) -> None:
        await publish(app, "senior_quota", 1, version=9)
        seen: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            params = {"sort": sort, "limit": 2, **({"cursor": cursor} if cursor else {})}
            page = (await client.get(SEARCH, params=params, headers=app_headers)).json()
            seen, cursor = seen + page["items"], page["next"]
        assert len({one["id"] for one in seen}) == len(seen) == 6
        assert {one["dataset"] for one in seen[:2]} == {"senior_quota"} or sort == "used"
        if sort == "rows":
            assert [one["row_count"] for one in seen] == [90, 90, 10, 10, 10, 10]

    async def test_a_cursor_of_another_order_is_refused(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        page = (await client.get(f"{SEARCH}?limit=2", headers=app_headers)).json()
        wrong = await client.get(f"{SEARCH}?limit=2&sort=rows&cursor={page['next']}", headers=app_headers)
        assert (wrong.status_code, wrong.json()["type"]) == (400, "urn:edulake:problem:bad-cursor")

    async def test_a_cursor_of_another_list_is_refused(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        for name in ("api:schools", "dataset:school_base"):
            await client.put(f"{FAVOURITES}/{name}", headers=app_headers)
        page = (await client.get(f"{FAVOURITES}?limit=1", headers=app_headers)).json()
        wrong = await client.get(f"{SEARCH}?limit=2&cursor={page['next']}", headers=app_headers)
        assert wrong.status_code == 400

    async def test_the_way_of_exchange_is_a_facet(self, client: httpx.AsyncClient, app_headers: Any) -> None:
        found = (await client.get(f"{SEARCH}?share_way=调用在线服务", headers=app_headers)).json()
        assert {one["kind"] for one in found["items"]} == {"api"}
        assert found["facets"]["share_way"] == {"联机查询": 3, "调用在线服务": 3}


class TestDetail:
    async def test_each_field_says_its_class_table_and_masks(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        found = (await client.get(f"{SEARCH}/api:student", headers=app_headers)).json()
        items = {one["name"]: one for one in found["items"]}
        assert (items["student_name"]["share"], items["student_name"]["minor"]) == ("mask_name", "hide")
        assert (items["sex"]["code_table"], items["sex"]["category"]) == ("sex", "基本信息")


class TestSandbox:
    @pytest.mark.parametrize("name", ["schools", "senior-quota", "student"])
    async def test_answers_the_documented_request_in_the_documented_form(
        self, client: httpx.AsyncClient, app_headers: Any, standards: Standards, name: str
    ) -> None:
        api = standards.apis[name]
        query = api.sample_request.partition("?")[2]
        told = (await client.get(f"/api/catalog/sandbox/{name}?{query}", headers=app_headers)).json()
        data = told["data"] if api.kind == "one" else told["data"][0]
        assert list(data) == list(api.columns)

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"district": "31"}, "district 的格式不对"),
            ({"district": "999999"}, "代码表 gbt2260 中没有 999999"),
            ({"code": "x" * 200}, "最多"),
            ({"unknown": "1"}, "接口没有参数 unknown"),
            ({"limit": "0"}, "limit 应为"),
            ({"limit": "１"}, "limit 应为"),
            ({"limit": "9999"}, "limit 应为"),
        ],
    )
    def test_a_wrong_parameter_is_named(
        self, standards: Standards, asked: dict[str, str], words: str
    ) -> None:
        with pytest.raises(BadParameter) as told:
            answer(standards.apis["schools"], asked, standards)
        assert words in told.value.detail_zh

    def test_a_missing_parameter_is_named_and_an_unknown_key_finds_nothing(
        self, standards: Standards
    ) -> None:
        with pytest.raises(BadParameter):
            answer(standards.apis["student"], {}, standards)
        with pytest.raises(NotFound):
            answer(standards.apis["student"], {"student_key": "t1.k1." + "A" * 30}, standards)

    def test_parameters_narrow(self, standards: Standards) -> None:
        api = standards.apis["schools"]
        every = answer(api, {}, standards)["data"]
        district = every[1]["district_code"]
        some = answer(api, {"district": district}, standards)["data"]
        assert 0 < len(some) < len(every)
        assert {one["district_code"] for one in some} == {district}

    def test_rows_differ_in_their_key_and_hold_codes_of_their_tables(self, standards: Standards) -> None:
        for contract in standards.datasets.values():
            rows = sample_rows(contract, standards)
            keys = {tuple(str(row[name]) for name in contract.business_key) for row in rows}
            assert len(keys) == len(rows), contract.name
            for field in contract.fields:
                if field.code_table and field.served and field.protect.share == "keep":
                    known = standards.codes[field.code_table].by_code
                    held = {row[field.name] for row in rows} - {None}
                    assert held <= known.keys(), (contract.name, field.name)

    async def test_samples_have_the_columns_of_the_resource(
        self, client: httpx.AsyncClient, app_headers: Any
    ) -> None:
        rows = (await client.get(f"{SEARCH}/api:student/sample", headers=app_headers)).json()
        assert "guardian_phone" not in rows[0]
        assert (await client.get(f"{SEARCH}/api:none/sample", headers=app_headers)).status_code == 404
        assert (await client.get("/api/catalog/sandbox/none", headers=app_headers)).status_code == 404


class TestPack:
    async def test_shows_columns_masks_holders_and_minors(
        self, client: httpx.AsyncClient, as_subject: Headers, owner: Any, security: Any
    ) -> None:
        first = await self.asked(client, as_subject, "client:first", [])
        for who in (owner, security):
            await client.post(f"{first}/decisions", json={"decision": "approve"}, headers=who)
        second = await self.asked(client, as_subject, "client:second", ["student_name", "grade"])
        pack = (await client.get(f"{second}/pack", headers=owner)).json()
        assert [(one["name"], one["share"]) for one in pack["columns"]] == [
            ("student_name", "mask_name"),
            ("grade", "keep"),
        ]
        assert "birth_date" in pack["left_out"]
        assert pack["concerns_minors"] is True
        assert [one["client_id"] for one in pack["holders"]] == ["first"]
        assert (pack["level_title"], pack["hindrance"]) == ("高敏", "")

    async def test_says_why_somebody_cannot_decide(
        self, client: httpx.AsyncClient, as_subject: Headers, owner: Any, security: Any, app_headers: Any
    ) -> None:
        url = await self.asked(client, as_subject, "client:first", [])
        assert (await client.get(f"{url}/pack", headers=app_headers)).status_code == 403
        early = (await client.get(f"{url}/pack", headers=security)).json()
        assert early["hindrance"] == "当前环节由数据责任人或审批人审批。"
        own = as_subject("owner", id="client:first", audience="catalog", organisation=CENTRE)
        assert "您自己" in (await client.get(f"{url}/pack", headers=own)).json()["hindrance"]
        both = as_subject(
            "owner", "security_admin", id="person:both", audience="catalog", organisation=CENTRE
        )
        await client.post(f"{url}/decisions", json={"decision": "approve"}, headers=both)
        assert "两个环节" in (await client.get(f"{url}/pack", headers=both)).json()["hindrance"]
        await client.post(f"{url}/decisions", json={"decision": "approve"}, headers=security)
        assert "已有结果" in (await client.get(f"{url}/pack", headers=owner)).json()["hindrance"]

    async def asked(
        self, client: httpx.AsyncClient, as_subject: Headers, who: str, columns: list[str]
    ) -> str:
        wanted = {
            "resource_id": "api:student",
            "client_id": who.removeprefix("client:"),
            "purpose": "学籍核验",
            "scenario": "区教育局核验学籍",
            "columns": columns,
            "days": 30,
            "promises": True,
        }
        headers = as_subject("applicant", id=who, audience="catalog")
        made = await client.post("/api/catalog/applications", json=wanted, headers=headers)
        assert made.status_code == 201, made.text
        return f"/api/catalog/applications/{made.json()['id']}"
