"""How answers, figures, times and addresses read; no service is needed for these."""

from datetime import timedelta

import httpx
import pytest
from edulake.common.clock import now
from edulake.common.identity import Subject
from edulake.portal import words
from edulake.portal.clients.reply import read_reply
from edulake.portal.navigation import links_for, section_of
from edulake.portal.rendering import with_query


class TestReply:
    def test_data_of_a_good_answer(self) -> None:
        assert read_reply("catalog", httpx.Response(200, json={"a": 1})).data == {"a": 1}

    @pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(502, json=["x"])])
    def test_what_is_no_answer_of_ours_counts_as_silence(self, answer: httpx.Response) -> None:
        trouble = read_reply("catalog", answer).trouble
        assert trouble is not None
        assert trouble.is_silence
        assert trouble.title == "目录服务暂时没有应答"

    def test_a_problem_is_told_in_its_chinese_words(self) -> None:
        problem = {
            "title": "与现有状态冲突 / Conflict",
            "detail": "已有一份 / one is there",
            "mend": "先撤回 / withdraw",
            "trace_id": "t",
        }
        trouble = read_reply("catalog", httpx.Response(409, json=problem)).trouble
        assert trouble is not None
        assert (trouble.title, trouble.detail, trouble.mend) == ("与现有状态冲突", "已有一份", "先撤回")
        assert not trouble.is_silence

    @pytest.mark.parametrize(
        ("reason", "remark"),
        [
            ("String should have at least 4 characters", "至少填写 4 个字"),
            ("String should have at most 500 characters", "最多填写 500 个字"),
            ("Input should be greater than or equal to 1", "不能小于 1"),
            ("Input should be a valid integer, unable to parse", "请填写整数"),
            ("Field required", "必填"),
            ("String should match pattern '^[a-z]$'", "格式不符合要求"),
            ("List should have at least 1 item after validation, not 0", "至少选择 1 项"),
            ("something new", "something new"),
        ],
    )
    def test_remarks_stand_beside_their_fields(self, reason: str, remark: str) -> None:
        errors = [{"where": "body.purpose", "reason": reason}, {"where": "query.x", "reason": "y"}]
        trouble = read_reply("catalog", httpx.Response(422, json={"errors": errors})).trouble
        assert trouble is not None
        assert trouble.fields == {"purpose": remark}
        assert trouble.detail == "请修改下面标出的 1 处。"

    def test_a_problem_that_names_one_field_is_a_remark_too(self) -> None:
        problem = {"detail": "没有字段 x / no x", "mend": "可选：y / see", "where": "body.columns.0"}
        trouble = read_reply("catalog", httpx.Response(422, json=problem)).trouble
        assert trouble is not None
        assert trouble.fields == {"columns": "没有字段 x。可选：y"}


class TestFigures:
    @pytest.mark.parametrize(("value", "shown"), [(1234567, "1,234,567"), (0, "0"), (None, "—"), ("x", "—")])
    def test_numbers_are_grouped(self, value: object, shown: str) -> None:
        assert words.number(value) == shown

    @pytest.mark.parametrize(
        ("ago", "shown"),
        [
            (timedelta(seconds=3), "刚刚"),
            (timedelta(minutes=3, seconds=5), "3 分钟前"),
            (timedelta(hours=5, seconds=5), "5 小时前"),
            (timedelta(days=2, seconds=5), "2 天前"),
            (timedelta(hours=-5, minutes=-5), "5 小时后"),
        ],
    )
    def test_times_read_as_distance_with_the_exact_one_as_title(self, ago: timedelta, shown: str) -> None:
        at = now() - ago
        text = words.moment(at.isoformat())
        assert f">{shown}</time>" in text
        assert at.astimezone(words.BEIJING).strftime("%Y-%m-%d %H:%M:%S") in text

    def test_what_has_no_time_is_a_dash(self) -> None:
        assert words.moment(None) == "—"

    def test_states_and_people_have_names(self) -> None:
        assert words.state("pending", "application") == "审批中"
        assert words.state("new-one", "application") == "new-one"
        assert words.person("person:li-steward") == "li-steward"
        assert words.person("service:workorder") == "系统"
        assert words.person("client:app-1") == "app-1"
        assert words.person("a-key-id") == "a-key-id"
        assert words.person(None) == "—"

    def test_a_digest_is_no_name(self) -> None:
        digest = "person:" + "0a1b2c3d" * 4
        assert words.person(digest) == f'<span title="{digest}">人员 0a1b2c</span>'
        assert words.person(digest, {digest: "吴报送"}) == "吴报送"
        assert words.people(f"<b>分派给 {digest}", {digest: "吴报送"}) == "&lt;b&gt;分派给 吴报送"
        assert "人员 0a1b2c</span>" in words.people(f"分派给 {digest}")


class TestAddresses:
    def test_hold_the_state_without_what_is_empty(self) -> None:
        query = {"q": "学 校", "kind": "", "level": None}
        assert with_query("/resources", query, theme="a&b") == "/resources?q=%E5%AD%A6+%E6%A0%A1&theme=a%26b"
        assert with_query("/resources", query, q="") == "/resources"

    @pytest.mark.parametrize(
        ("path", "section"),
        [
            ("/", "/"),
            ("/resources/api:schools", "/resources"),
            ("/applications/todo", "/applications/todo"),
            ("/applications/1/withdraw", "/applications"),
            ("/sources/roster-b", "/sources"),
            ("/elsewhere", "/"),
        ],
    )
    def test_stand_in_a_section(self, path: str, section: str) -> None:
        assert section_of(path) == section

    def test_a_person_without_roles_still_has_the_common_pages(self) -> None:
        nobody = Subject(id="person:x", kind="person", name="x")
        assert [link.path for link in links_for(nobody)] == ["/", "/resources", "/help"]
