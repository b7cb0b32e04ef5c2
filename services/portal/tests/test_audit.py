"""The auditor's page: calls, reads of one record, identities, and the verdict on the chain."""

from .auditing import record_of, write
from .conftest import World

QUESTION = "stage=3"


class TestCalls:
    async def test_are_listed_newest_first_and_narrowed(self, whole: World) -> None:
        auditor = await whole.enter("sun-audit")
        assert "没有访问记录" in await auditor.read("/audit")
        await write(whole, record_of(3), record_of(1234, client_id="app-b", status=403))
        text = await auditor.read("/audit")
        assert text.index("app-b") < text.index("app-a")
        for words in ("学校查询", "学区地图", "1,234", "403", "拒绝", "一般调用汇总"):
            assert words in text
        narrowed = await auditor.read("/audit?client=app-a")
        assert "app-b" not in narrowed
        assert 'href="/audit.csv?client=app-a"' in narrowed
        file = (await auditor.get("/audit.csv?client=app-a")).content.decode("utf-8-sig")
        assert file.count("app-a") == 1
        assert "app-b" not in file

    async def test_are_for_the_auditor(self, whole: World) -> None:
        for sub in ("zhao-system", "qian-security", "li-steward"):
            person = await whole.enter(sub)
            assert "需要角色" in await person.read("/audit")
            assert 'href="/audit"' not in await person.read("/resources")

    async def test_who_read_one_record_is_found_without_its_name_in_the_address(self, whole: World) -> None:
        auditor = await whole.enter("sun-audit")
        plane = whole.resources_of("gateway").extra["plane"]
        compiled = plane.engine.route("schools")
        token = plane.question_token(compiled, plane.engine.validate(compiled, QUESTION.encode()))
        await write(whole, record_of(record=token, kind="read"), record_of(client_id="app-b"))
        answer = await auditor.send("/audit/reads", {"api": "schools", "question": QUESTION})
        assert answer.status_code == 200
        assert "app-a" in answer.text
        assert "app-b" not in answer.text
        none = await auditor.send("/audit/reads", {"api": "schools", "question": "stage=2"})
        assert "没有人读过这条记录" in none.text
        assert 'value="stage=2"' in none.text

    async def test_a_question_nobody_can_ask_is_told_in_the_services_words(self, whole: World) -> None:
        auditor = await whole.enter("sun-audit")
        answer = await auditor.send("/audit/reads", {"api": "schools", "question": "nothing=1"})
        assert 400 <= answer.status_code < 500
        assert "nothing" in answer.text


class TestChain:
    async def test_that_holds_is_said_to_hold(self, whole: World) -> None:
        await write(whole, record_of(), record_of())
        answer = await (await whole.enter("sun-audit")).send("/audit/verify")
        assert "审计链完整：核对了 2 条记录" in answer.text

    async def test_that_was_touched_names_the_first_wrong_row(self, whole: World) -> None:
        await write(whole, record_of(), record_of())
        await whole.suite.as_admin("UPDATE gateway.audit SET calls = 9 WHERE seq = 2")
        answer = await (await whole.enter("sun-audit")).send("/audit/verify")
        assert "审计链不完整" in answer.text
        assert "第 2 条记录起不成立" in answer.text
        assert "该记录被改动" in answer.text

    async def test_is_not_verified_for_others(self, whole: World) -> None:
        answer = await (await whole.enter("zhao-system")).send("/audit/verify")
        assert "需要角色" in answer.text
        assert "审计链完整" not in answer.text


class TestIdentities:
    async def test_are_told_in_words(self, whole: World) -> None:
        known = await whole.note_person()
        text = await (await whole.enter("sun-audit")).read("/audit/identities")
        assert "首次登录" in text
        assert known not in text.replace(f'title="{known}"', "")  # a digest is no name

    async def test_are_for_the_auditor(self, whole: World) -> None:
        assert "需要角色" in await (await whole.enter("zhao-system")).read("/audit/identities")
