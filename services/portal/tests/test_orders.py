"""The way of an order: found, taken, mended, proven; each step offered to who may take it."""

import re

import pytest
from sqlalchemy import text as sql

from .conftest import Person, World


class TestOrders:
    async def order_of(self, person: Person) -> str:
        found = re.search(r'href="(/orders/[0-9a-f-]{36})"', await person.read("/orders"))
        assert found
        return found[1]

    async def test_assign_comment_resolve(self, full: World) -> None:
        steward, contact = await full.enter("li-steward"), await full.enter("wu-contact")
        path = await self.order_of(steward)
        assert (await steward.send(f"{path}/assign", {"assignee": "person:wu-contact"})).status_code == 303
        assert (await contact.send(f"{path}/comment", {"text": "已通知学校"})).status_code == 303
        done = await contact.send(f"{path}/resolve", {"note": "源系统已更正"})
        assert done.headers["location"] == f"{path}?done=resolve"
        text = await steward.read(f"{path}?done=resolve")
        for words in ("待验证", "已通知学校", "源系统已更正", "下一批数据验证"):
            assert words in text

    async def test_a_contact_takes_his_order_and_reports_it(self, full: World) -> None:
        contact = await full.enter("wu-contact")
        path = await self.order_of(contact)
        assert "由我处理" in await contact.read(path)
        taken = await contact.send(f"{path}/take")
        assert taken.headers["location"] == f"{path}?done=take"
        text = await contact.read(f"{path}?done=take")
        assert "已认领" in text
        assert "由我处理" not in text
        assert (await contact.send(f"{path}/resolve", {"note": "源系统已更正"})).status_code == 303

    async def test_a_contact_reports_an_open_order_in_one_step(self, full: World) -> None:
        contact = await full.enter("wu-contact")
        path = await self.order_of(contact)
        assert "同时由您认领" in await contact.read(path)
        await contact.send(f"{path}/resolve", {"note": "源系统已更正"})
        text = await contact.read(path)
        for words in ("待验证", "认领", "报告已处理", "重新报送"):
            assert words in text

    async def test_taking_twice_is_told(self, full: World) -> None:
        steward = await full.enter("li-steward")
        path = await self.order_of(steward)
        await steward.send(f"{path}/take")
        answer = await steward.send(f"{path}/take")
        assert answer.status_code == 409
        assert "“处理中”的工单不能认领" in answer.text

    async def test_what_proved_it_is_shown(self, full: World) -> None:
        steward = await full.enter("li-steward")
        path = await self.order_of(steward)
        batch = "8d4e6a52-0000-4000-8000-00000000000b"
        await full.prove(batch)
        text = await steward.read(path)
        assert f'<a href="/batches/{batch}">' in text
        assert "全部通过，工单据此关闭" in text

    async def test_a_batch_without_a_page_is_no_link(self, full: World) -> None:
        steward = await full.enter("li-steward")
        text = await steward.read(await self.order_of(steward))
        assert "<code>b1</code>" in text
        assert 'href="/batches/b1"' not in text

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("", 2),
            ("source_id=roster-b", 1),
            ("mine=yes", 0),
            ("unclosed=yes", 2),
            ("overdue=yes", 0),
            ("dataset=senior_quota", 0),
        ],
    )
    async def test_filters_narrow_and_stay_in_the_address(self, full: World, query: str, count: int) -> None:
        await full.fail_rule("roster-c")
        text = await (await full.enter("li-steward")).read(f"/orders?{query}")
        assert len(re.findall(r'href="/orders/[0-9a-f-]{36}"', text)) == count
        if count == 1:
            assert 'value="roster-b"' in text
            assert f'href="/orders.csv?{query}"' in text

    async def test_those_not_closed_are_found_without_those_that_are(self, full: World) -> None:
        await full.fail_rule("roster-c")
        await full.prove("8d4e6a52-0000-4000-8000-00000000000b")
        text = await (await full.enter("li-steward")).read("/orders?unclosed=yes")
        assert len(re.findall(r'href="/orders/[0-9a-f-]{36}"', text)) == 1
        assert 'name="unclosed" value="yes" checked' in text

    async def test_is_assigned_by_name_to_people_of_its_organisation_first(self, full: World) -> None:
        steward = await full.enter("li-steward")
        path = await self.order_of(steward)
        text = await steward.read(path)
        offered = re.findall(r'<option value="([^"]+)"[^>]*>([^<]+)</option>', text)
        assert offered == [
            ("person:wu-contact", "吴报送（示范区教育局）"),
            ("person:zhou-owner", "周数源（市教育委员会信息中心）"),
            ("person:li-steward", "李治理（市教育委员会信息中心）"),
        ]
        await steward.send(f"{path}/assign", {"assignee": "person:zhou-owner"})
        text = await steward.read(path)
        assert "<dt>负责人</dt><dd>周数源</dd>" in text
        assert "<p>分派给 周数源</p>" in text

    async def test_who_is_named_in_it_and_unknown_is_shown_and_not_offered(self, full: World) -> None:
        digest = "person:" + "0a1b2c3d" * 4
        steward = await full.enter("li-steward")
        path = await self.order_of(steward)
        async with full.resources_of("workorder").database.transaction() as session:
            await session.execute(sql('UPDATE workorder."order" SET assignee = :who'), {"who": digest})
        text = await steward.read(path)
        assert f'<span title="{digest}">人员 0a1b2c</span>' in text
        assert f'<option value="{digest}"' not in text

    async def test_what_is_late_says_so(self, full: World) -> None:
        resources = full.resources_of("workorder")
        async with resources.database.transaction() as session:
            await session.execute(sql("UPDATE workorder.\"order\" SET due_at = now() - interval '2 hours'"))
        assert "已逾期" in await (await full.enter("li-steward")).read("/orders?overdue=yes")

    async def test_nobody_is_shown_a_form_he_cannot_send(self, full: World) -> None:
        contact, auditor = await full.enter("wu-contact"), await full.enter("sun-audit")
        path = await self.order_of(contact)
        assert f"{path}/assign" not in await contact.read(path)
        assert f"{path}/comment" in await contact.read(path)
        assert "<textarea" not in await auditor.read(path)
        assert f"{path}/comment" not in await auditor.read(path)

    async def test_a_wrong_step_is_told_in_the_services_words(self, full: World) -> None:
        steward = await full.enter("li-steward")
        answer = await steward.send(f"{await self.order_of(steward)}/resolve", {"note": "已处理"})
        assert answer.status_code == 409
        assert "待分派" in answer.text

    async def test_an_empty_comment_is_remarked(self, full: World) -> None:
        contact = await full.enter("wu-contact")
        answer = await contact.send(f"{await self.order_of(contact)}/comment", {"text": " "})
        assert answer.status_code == 422
        assert 'id="text-remark"' in answer.text

    async def test_an_order_of_others_is_not_there(self, full: World) -> None:
        path = await self.order_of(await full.enter("li-steward"))
        assert (await (await full.enter("zheng-applicant")).get(path)).status_code == 403

    async def test_the_empty_list_says_when_orders_appear(self, world: World) -> None:
        assert "自动开单" in await (await world.enter("li-steward")).read("/orders")

    @pytest.mark.parametrize(
        ("path", "status"),
        [("/orders/not-an-id", 422), ("/batches/not-an-id", 404), ("/batches/not-an-id/findings", 404)],
    )
    async def test_a_broken_address_is_a_page(self, world: World, path: str, status: int) -> None:
        answer = await (await world.enter("li-steward")).get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
