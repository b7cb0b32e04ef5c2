"""Delivering a file and following it: the form, its refusals, the list, and a batch that is governed."""

import csv
import io
import re
from typing import Any

import pytest

from .conftest import Page, Person, World
from .delivering import ONE_BAD, WRONG_HEADER, register_source, send_file, when, working

QUOTA = "年份,初中学校代码,初中学校,高中代码,高中学校,计划数,区\n".encode()
QUOTA += "2026,990001,示范第1初级中学,990002,示范第2初级中学,3,310115\n".encode()
ROWS = {"period": "2026", "rows": [{"学校代码": "990001", "学校名称": "示例初级中学", "所属区": "310115"}]}


@pytest.fixture
async def ready(whole: World, as_subject: Any) -> World:
    """There is a source whose contact may deliver."""
    await register_source(whole, as_subject)
    return whole


@pytest.fixture
async def delivered(ready: World, as_subject: Any) -> World:
    """One batch of one row, pushed as rows."""
    ingest = ready.settings.service_url("ingest")
    steward = as_subject("steward", id="person:li-steward", audience="ingest")
    path = "/api/ingest/sources/roster-b/datasets/school_base/rows"
    landed = await ready.call("POST", f"{ingest}{path}", ROWS, steward)
    assert landed.status_code == 202, landed.text
    return ready


async def first_batch(person: Person) -> str:
    found = re.search(r'href="(/batches/[0-9a-f-]{36})"', await person.read("/batches"))
    assert found
    return found[1]


class TestDelivering:
    async def test_a_file_lands_and_the_page_follows_it(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        answer = await send_file(contact, ONE_BAD)
        assert answer.status_code == 303
        assert re.fullmatch(r"/batches/[0-9a-f-]{36}\?done=delivered", answer.headers["location"])
        text = await contact.read(answer.headers["location"])
        for words in ("已接收", "schools.csv", "加密入湖", "hx-get="):
            assert words in text

    async def test_the_same_file_again_leads_to_the_first_batch(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        first = (await send_file(contact, ONE_BAD)).headers["location"]
        again = (await send_file(contact, ONE_BAD)).headers["location"]
        assert again == first.replace("delivered", "repeated")
        assert "没有重复入湖" in await contact.read(again)

    async def test_a_live_form_is_led_on_without_a_redirect(self, ready: World) -> None:
        answer = await send_file(await ready.enter("wu-contact"), ONE_BAD, headers={"hx-request": "true"})
        assert answer.status_code == 204
        assert answer.headers["hx-redirect"].startswith("/batches/")

    async def test_a_wrong_header_is_remarked_at_the_file_and_nothing_typed_is_lost(
        self, ready: World
    ) -> None:
        answer = await send_file(await ready.enter("wu-contact"), WRONG_HEADER, period="2026-1")
        assert answer.status_code == 422
        page = Page(answer.text)
        (remark,) = [found for _, found in page.tags if found.get("id") == "file-remark"]
        assert "hidden" not in remark
        assert "没有识别出" in answer.text
        assert 'value="2026-1"' in answer.text
        (chosen,) = [one for one in page.all("option") if "selected" in one]
        assert chosen["value"] == "roster-b/school_base"

    async def test_what_the_reader_saw_is_said_on_the_page(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        ragged = ONE_BAD + "990010,示范第十初级中学,310115,初中,公办,多余\n".encode()
        text = await contact.read((await send_file(contact, ragged)).headers["location"])
        assert "读取文件时发现" in text
        assert "1 行的列数与表头不同" in text
        again = await contact.read((await send_file(contact, ONE_BAD, period="2025")).headers["location"])
        assert "读取文件时发现" not in again

    async def test_a_batch_names_what_it_was_governed_with(self, ready: World, as_subject: Any) -> None:
        await register_source(ready, as_subject, id="quota", datasets=["senior_quota"])
        contact = await ready.enter("wu-contact")
        async with working(ready):
            schools = (await send_file(contact, ONE_BAD)).headers["location"]
            text = await when(contact, schools, "治理时引用")
            assert "学校基础（当时还没有）" in text, text[text.index("治理时引用") :][:200]
            live = await contact.read(f"{schools.partition('?')[0]}/progress")
            assert "治理时引用" in live, "also where the page draws itself anew"
            quota = (await send_file(contact, QUOTA, target="quota/senior_quota")).headers["location"]
            assert "学校基础 第 1 版" in await when(contact, quota, "治理时引用")

    @pytest.mark.parametrize(
        ("over", "name", "words"),
        [
            ({"target": ""}, "a.csv", "请选择来源和数据集"),
            ({"target": "../../x/y"}, "a.csv", "请选择来源和数据集"),
            ({"period": " "}, "a.csv", "请填写期次"),
            ({"period": "二〇二六"}, "a.csv", "period 应为"),
            ({"target": "roster-b/senior_quota"}, "a.csv", "来源 roster-b 登记的数据集是"),
        ],
    )
    async def test_what_is_missing_or_wrong_stands_beside_its_field(
        self, ready: World, over: dict[str, Any], name: str, words: str
    ) -> None:
        answer = await send_file(await ready.enter("wu-contact"), ONE_BAD, name, **over)
        assert answer.status_code in (404, 422)
        assert re.search(rf'class="remark" id="[a-z]+-remark">{words}', answer.text)

    async def test_without_a_file_the_form_says_so(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        token = Page(await contact.read("/batches/deliver")).hidden["csrf"]
        data = {"csrf": token, "target": "roster-b/school_base", "period": "2026"}
        parts = {name: (None, value) for name, value in data.items()}
        answer = await contact._send(contact.http, "POST", "/batches/deliver", files=parts)
        assert answer.status_code == 422
        assert "请选择要报送的文件" in answer.text

    @pytest.mark.parametrize("token", ["", "guess"])
    async def test_a_form_of_others_is_refused_before_its_file_is_taken(
        self, ready: World, token: str
    ) -> None:
        contact = await ready.enter("wu-contact")
        answer = await send_file(contact, ONE_BAD, csrf=token)
        assert answer.status_code == 403
        assert "没有批次" in await contact.read("/batches")

    async def test_who_is_not_the_contact_is_told(self, ready: World) -> None:
        applicant = await ready.enter("zheng-applicant")
        assert "需要角色" in await applicant.read("/batches/deliver")
        token = Page(await applicant.read("/help")).hidden["csrf"]
        data = {"csrf": token, "target": "roster-b/school_base", "period": "2026"}
        answer = await applicant._send(
            applicant.http, "POST", "/batches/deliver", data=data, files={"file": ("a.csv", ONE_BAD)}
        )
        assert answer.status_code == 403

    async def test_a_silent_ingest_is_told_and_the_form_stays(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        token = Page(await contact.read("/batches/deliver")).hidden["csrf"]
        ready.stop("ingest")
        data = {"csrf": token, "target": "roster-b/school_base", "period": "2026"}
        answer = await contact._send(
            contact.http, "POST", "/batches/deliver", data=data, files={"file": ("a.csv", ONE_BAD)}
        )
        assert answer.status_code == 503
        assert "归集服务暂时没有应答" in answer.text

    async def test_without_a_source_the_page_says_whom_to_ask(self, whole: World) -> None:
        assert "请数据治理工程师登记来源" in await (await whole.enter("wu-contact")).read("/batches/deliver")

    async def test_the_template_has_the_headers_of_the_dataset(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        answer = await contact.get("/batches/template/school_base.csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert "学校名称" in answer.content.decode("utf-8-sig")
        assert (await contact.get("/batches/template/nothing.csv")).status_code == 404


class TestList:
    async def test_leads_to_a_batch_with_its_progress(self, delivered: World) -> None:
        person = await delivered.enter("li-steward")
        text = await person.read(await first_batch(person))
        for words in ("school_base", "roster-b", "2026", "已归集", "加密入湖"):
            assert words in text

    @pytest.mark.parametrize(
        ("sub", "offered"),
        [
            ("li-steward", {"findings", "quarantine", "withdraw", "deliver"}),
            ("wu-contact", {"findings", "quarantine", "withdraw", "deliver"}),
            ("zhou-owner", {"findings", "quarantine"}),
            ("sun-audit", set()),
        ],
    )
    async def test_what_may_be_done_is_offered_and_nothing_else(
        self, delivered: World, sub: str, offered: set[str]
    ) -> None:
        """By the same table as the services answer."""
        path = await first_batch(await delivered.enter("li-steward"))
        text = await (await delivered.enter(sub)).read(path)
        acts = {"findings", "quarantine", "withdraw"}
        shown = {act for act in acts if f'"{path}/{act}"' in text} | (
            {"deliver"} if "改正后重新报送" in text else set()
        )
        assert shown == offered
        for part in ("findings", "quarantine"):
            status = (await (await delivered.enter(sub)).get(f"{path}/{part}")).status_code
            told = await (await delivered.enter(sub)).read(f"{path}/{part}")
            assert status == 200
            assert ("需要角色" in told) == (part not in offered)

    async def test_the_contact_sees_it_and_a_stranger_is_told_why_not(self, delivered: World) -> None:
        assert "roster-b" in await (await delivered.enter("wu-contact")).read("/batches")
        assert "需要角色" in await (await delivered.enter("zheng-applicant")).read("/batches")

    @pytest.mark.parametrize(
        ("query", "count"),
        [("status=landed", 1), ("status=published", 0), ("dataset=school_base", 1), ("source=roster-b", 1)],
    )
    async def test_filters_narrow_and_stay_in_the_address(
        self, delivered: World, query: str, count: int
    ) -> None:
        text = await (await delivered.enter("li-steward")).read(f"/batches?{query}")
        assert len(re.findall(r'href="/batches/[0-9a-f-]{36}"', text)) == count
        if count:
            (chosen,) = [one for one in Page(text).all("option") if "selected" in one]
            assert query.endswith(f"={chosen['value']}")
            assert f'href="/batches.csv?{query}"' in text
        else:
            assert "没有符合条件的批次" in text

    async def test_a_filter_nobody_knows_is_told_in_the_services_words(self, delivered: World) -> None:
        assert "query.status" in await (await delivered.enter("li-steward")).read("/batches?status=x")

    async def test_as_a_file(self, delivered: World) -> None:
        answer = await (await delivered.enter("li-steward")).get("/batches.csv?dataset=school_base")
        (row,) = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
        assert (row["数据集名称"], row["来源"], row["状态"]) == ("学校基础", "roster-b", "已归集")

    async def test_the_overview_counts_it(self, delivered: World) -> None:
        text = await (await delivered.enter("li-steward")).read("/")
        assert '<dt>入湖行数</dt><dd data-flow="rows-landed">1</dd>' in text
        assert '<dt>在途批次</dt><dd data-flow="under-way">1</dd>' in text
        assert '1 行 <span class="badge batch-landed">已归集</span>' in text


class TestWithdrawing:
    async def test_says_what_will_happen_asks_once_and_is_done(self, delivered: World) -> None:
        contact = await delivered.enter("wu-contact")
        path = await first_batch(contact)
        assert "确认撤回" in await contact.read(path)
        done = await contact.send(f"{path}/withdraw")
        assert done.headers["location"] == f"{path}?done=withdraw-batch"
        text = await contact.read(done.headers["location"])
        assert "批次已撤回" in text
        assert "确认撤回" not in text
        assert "hx-get=" not in text  # nothing moves any more, so nothing is looked for

    async def test_who_may_not_is_told_in_the_services_words(self, delivered: World) -> None:
        path = await first_batch(await delivered.enter("li-steward"))
        answer = await (await delivered.enter("sun-audit")).send(f"{path}/withdraw")
        assert answer.status_code == 403


class TestGoverned:
    """One batch through a real worker; its publication is the gateway's own affair."""

    async def test_its_page_tells_the_whole_story(self, ready: World) -> None:
        contact = await ready.enter("wu-contact")
        path = (await send_file(contact, ONE_BAD)).headers["location"].partition("?")[0]
        async with working(ready):
            text = await when(contact, path, '<span class="badge batch-governed">已治理</span>')
        for words in ("所属区不在行政区划代码表中", "district_code.known", "质量 ", "对齐"):
            assert words in text
        await self.the_live_part_says_nothing_twice(contact, text)
        await self.findings_are_masked_filtered_and_exported(contact, path)
        await self.held_back_rows_say_why(contact, path)
        for part in ("findings", "quarantine"):
            await self.the_offending_value_is_shown_when_asked_for(ready, contact, f"{path}/{part}")
        auditor = await ready.enter("sun-audit")
        assert "显示出错的原值" not in await auditor.read(f"{path}/findings")
        assert (await auditor.send(f"{path}/findings/values", {"id": "1"})).status_code in (200, 403)
        await when(auditor, "/audit", "查看报送原值")

    async def the_offending_value_is_shown_when_asked_for(
        self, world: World, contact: Person, path: str
    ) -> None:
        before = await contact.read(path)
        assert "<strong>东湖区</strong>" not in before
        assert "显示出错的原值（会留痕）" in before
        ids = [field["value"] for field in Page(before).all("input") if field.get("name") == "id"]
        answer = await contact.send(f"{path}/values", {"id": ids})
        assert answer.status_code == 200
        assert "<strong>东湖区</strong>" in answer.text
        assert "已写入审计" in answer.text

    async def the_live_part_says_nothing_twice(self, contact: Person, text: str) -> None:
        (live,) = [found for _, found in Page(text).tags if found.get("id") == "progress"]
        headers = {"hx-request": "true"}
        assert (await contact.get(live["hx-get"], **headers)).status_code == 204
        news = await contact.get(live["hx-get"] + "0", **headers)
        assert news.status_code == 200
        assert "<html" not in news.text

    async def findings_are_masked_filtered_and_exported(self, contact: Person, path: str) -> None:
        every = await contact.read(f"{path}/findings")
        one = await contact.read(f"{path}/findings?rule_id=district_code.known")
        assert "所属区必填" in every
        assert "只看规则“所属区不在行政区划代码表中”" in one
        assert ">district_code.required ·" not in one
        answer = await contact.get(f"{path}/findings.csv?rule_id=district_code.known")
        (row,) = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
        assert (row["行号"], row["规则"], row["级别"]) == ("9", "district_code.known", "错误")

    async def held_back_rows_say_why(self, contact: Person, path: str) -> None:
        text = await contact.read(f"{path}/quarantine")
        assert '<th scope="row" class="right">9</th>' in text
        assert "所属区不在行政区划代码表中" in text
        answer = await contact.get(f"{path}/quarantine.csv")
        (row,) = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
        assert row["行号"] == "9"
        assert "所属区" in row["原因"]


class TestHeldBack:
    """Governed, but refused by the publisher: the steward has it tried again, once the cause is mended."""

    async def hold_back(self, world: World, job_status: str = "blocked") -> str:
        path = await first_batch(await world.enter("li-steward"))
        batch_id = path.rpartition("/")[2]
        await world.suite.as_admin(
            f"""UPDATE ingest.batch SET status = 'refused', governed_version = 1, refused_version = 1,
                reason_zh = '数据已治理但未能发布：须先核验数据湖' WHERE batch_id = '{batch_id}';
            INSERT INTO gateway.publication_job
                (dataset, governed_version, batch_id, row_count, content_digest, level, quality, trace_id, status)
            VALUES ('school_base', 1, '{batch_id}', 1, 'd', 2, 100, '', '{job_status}')"""
        )
        return path

    async def test_the_steward_has_it_tried_again(self, delivered: World) -> None:
        path, steward = await self.hold_back(delivered), await delivered.enter("li-steward")
        assert "重试发布" in await steward.read(path)
        done = await steward.send(f"{path}/retry")
        assert done.headers["location"] == f"{path}?done=retry-batch"
        (job,) = await delivered.suite.as_admin("SELECT status FROM gateway.publication_job")
        assert job["status"] == "waiting"

    async def test_what_waits_already_is_told_in_the_services_words(self, delivered: World) -> None:
        path, steward = await self.hold_back(delivered, "waiting"), await delivered.enter("li-steward")
        answer = await steward.send(f"{path}/retry")
        assert answer.status_code == 409
        assert "没有可重试的发布" in answer.text

    async def test_is_not_offered_to_the_contact(self, delivered: World) -> None:
        path, contact = await self.hold_back(delivered), await delivered.enter("wu-contact")
        assert "重试发布" not in await contact.read(path)
        assert (await contact.send(f"{path}/retry")).status_code == 403

    async def test_is_not_offered_for_what_governance_refused(self, delivered: World) -> None:
        path, steward = await self.hold_back(delivered), await delivered.enter("li-steward")
        await delivered.suite.as_admin("UPDATE ingest.batch SET governed_version = NULL")
        assert "重试发布" not in await steward.read(path)
