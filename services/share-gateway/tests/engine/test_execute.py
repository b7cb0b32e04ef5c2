"""The engine over real serving tables: filters, pages, scopes, masks, columns, versions."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest
from edulake.common.gm import KeyRing
from edulake.common.standards import Contract, Standards
from edulake.common.standards.contract import Protect
from edulake.share_gateway.engine.definition import Protection
from edulake.share_gateway.engine.execute import ColumnNotGranted, Engine, RecordNotFound, TooSlow
from edulake.share_gateway.engine.pages import BadPageToken, PageExpired
from edulake.share_gateway.problems import NotPublished

RING = KeyRing.of(p1=b"p" * 32)


def changed(standards: Standards, name: str, **over: Any) -> Contract:
    """The contract of schools with one field changed."""
    contract = standards.datasets["school_base"]
    fields = tuple(f.model_copy(update=over) if f.name == name else f for f in contract.fields)
    return contract.model_copy(update={"fields": fields})


def codes(answer: dict[str, Any]) -> list[str]:
    return [row["school_code"] for row in answer["data"]]


class TestFilters:
    async def test_equality_prefix_and_lists_narrow_the_answer(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 10)])
        assert codes(await ask("schools", b"code=990004")) == ["990004"]
        assert len((await ask("schools", b"district=310115"))["data"]) == 3
        assert len((await ask("schools", b"district=310115,310101"))["data"]) == 9
        assert codes(await ask("schools", b"name=%E7%AC%AC4")) == ["990004"]
        assert (await ask("schools", b"district=310115&code=990004"))["data"] == []

    async def test_wildcards_in_a_prefix_are_plain_characters(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        names = ["100%的学校", "100的学校", "a_b学校", "axb学校", "c\\d学校"]
        await serve("school_base", [make_school(n, school_name=name) for n, name in enumerate(names, 1)])
        assert [r["school_name"] for r in (await ask("schools", b"name=100%25"))["data"]] == ["100%的学校"]
        assert [r["school_name"] for r in (await ask("schools", b"name=a_b"))["data"]] == ["a_b学校"]
        assert [r["school_name"] for r in (await ask("schools", b"name=c%5Cd"))["data"]] == ["c\\d学校"]

    async def test_numbers_are_numbers(self, serve: Any, ask: Any) -> None:
        row = {
            "year": 2024,
            "junior_school_key": "S1",
            "junior_school_code": "990001",
            "junior_school_name": "甲",
            "senior_school_key": "S2",
            "senior_school_code": "990002",
            "senior_school_name": "乙",
            "planned_seats": 7,
            "district_code": "310120",
        }
        await serve("senior_quota", [row, {**row, "year": 2023, "planned_seats": None}])
        [found] = (await ask("senior-quota", b"year=2024"))["data"]
        assert found["year"] == 2024
        assert found["planned_seats"] == 7


class TestOne:
    async def test_a_record_is_answered_alone_with_its_version(
        self, serve: Any, ask: Any, make_student: Any
    ) -> None:
        version = await serve("student_base", [make_student(1), make_student(2)])
        key = make_student(2)["student_key"]
        answer = await ask("student", f"student_key={key}".encode())
        assert answer["data"]["student_key"] == key
        assert answer["version"] == version

    async def test_an_absent_record_and_one_outside_the_districts_look_the_same(
        self, serve: Any, ask: Any, make_student: Any
    ) -> None:
        await serve("student_base", [make_student(1)])
        problems = []
        for number, districts in ((2, ()), (1, ("310101",))):
            with pytest.raises(RecordNotFound) as caught:
                await ask(
                    "student",
                    f"student_key={make_student(number)['student_key']}".encode(),
                    districts=districts,
                )
            problems.append(caught.value.document("t"))
        assert problems[0] == problems[1]


class TestPages:
    async def test_pages_together_are_every_row_once_in_order(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 26)])
        seen: list[str] = []
        answer = await ask("schools", b"limit=10")
        while True:
            seen += [row["school_key"] for row in answer["data"]]
            if answer["next"] is None:
                break
            answer = await ask("schools", b"limit=10&cursor=" + answer["next"].encode())
        assert seen == sorted(seen)
        assert len(seen) == len(set(seen)) == 25

    async def test_the_last_full_page_has_no_next(self, serve: Any, ask: Any, make_school: Any) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 11)])
        assert (await ask("schools", b"limit=10"))["next"] is None
        assert (await ask("schools", b"limit=9"))["next"] is not None

    async def test_pages_ordered_by_columns_with_nulls_are_complete(
        self, serve: Any, engine: Engine, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 30)])
        api = engine.route("schools")
        assert api is not None
        object.__setattr__(api, "order_by", ("short_name", "district_code"))
        seen: list[str] = []
        answer = await ask("schools", b"limit=4")
        while answer["next"]:
            seen += codes(answer)
            answer = await ask("schools", b"limit=4&cursor=" + answer["next"].encode())
        seen += codes(answer)
        assert len(seen) == len(set(seen)) == 29

    async def test_a_token_of_another_question_is_refused(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 10)])
        token = (await ask("schools", b"limit=1"))["next"].encode()
        with pytest.raises(BadPageToken):
            await ask("schools", b"limit=1&district=310115&cursor=" + token)
        with pytest.raises(BadPageToken):
            await ask("senior-quota", b"cursor=" + token)
        with pytest.raises(BadPageToken):
            await ask("schools", b"cursor=" + token[:-1] + (b"A" if token[-1:] != b"A" else b"B"))

    async def test_a_token_made_under_other_columns_is_refused(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 10)])
        token = (await ask("schools", b"limit=1"))["next"].encode()
        with pytest.raises(BadPageToken):
            await ask("schools", b"cursor=" + token, columns=("school_name",))

    async def test_after_a_new_version_the_walk_has_to_begin_again(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 10)])
        token = (await ask("schools", b"limit=1"))["next"].encode()
        version = await serve("school_base", [make_school(n) for n in range(1, 10)])
        with pytest.raises(PageExpired) as caught:
            await ask("schools", b"limit=1&cursor=" + token)
        assert caught.value.status == 409
        assert caught.value.extra["version"] == version

    async def test_a_token_holds_no_value_of_a_row(self, serve: Any, ask: Any, make_school: Any) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 10)])
        text = (await ask("schools", b"limit=1"))["next"].partition(".")[2]
        body = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[16:]
        version, sort, number = orjson.loads(body)
        assert (version, sort) == (1, ["school_key"])
        assert 1 <= number <= 9


class TestScope:
    async def test_rows_outside_the_districts_do_not_exist(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        rows = [make_school(n) for n in range(1, 10)] + [make_school(10, district_code=None)]
        await serve("school_base", rows)
        answer = await ask("schools", districts=("310115",))
        assert {row["district_code"] for row in answer["data"]} == {"310115"}
        assert (await ask("schools", b"district=310101", districts=("310115",)))["data"] == []
        assert len((await ask("schools"))["data"]) == 10
        assert len((await ask("schools", districts=("310115", "310101")))["data"]) == 9


class TestColumns:
    async def test_only_granted_columns_of_the_api_are_answered(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(1)])
        answer = await ask("schools", columns=("school_name", "estimated_pupils", "_region", "nonsense"))
        assert answer["data"] == [{"school_name": "第1中学"}]
        with pytest.raises(ColumnNotGranted):
            await ask("schools", columns=("estimated_pupils",))

    @pytest.mark.parametrize("query", [b"limit=3", b"limit=3&stage=3", b"limit=3&district=310101"])
    async def test_a_column_not_granted_influences_nothing(
        self, query: bytes, serve: Any, ask: Any, make_school: Any
    ) -> None:
        """Metamorphic: whatever stands in the other columns, answer, order and number of pages are the same."""
        granted = ("school_name", "district_code", "stage")
        walks = []
        for other in (
            {},
            {
                "school_code": "000000",
                "office": "99",
                "short_name": "甲",
                "boarding": None,
                "other_names": "x",
            },
        ):
            await serve("school_base", [make_school(n, **other) for n in range(1, 12)])
            answer, rows = await ask("schools", query, columns=granted), []
            while True:
                rows.append(answer["data"])
                if not answer["next"]:
                    break
                answer = await ask("schools", query + b"&cursor=" + answer["next"].encode(), columns=granted)
            walks.append(rows)
        assert walks[0] == walks[1]

    async def test_the_order_of_a_column_not_granted_does_not_show(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 40)])
        names = [
            row["school_name"]
            for row in (await ask("schools", b"limit=39", columns=("school_name",)))["data"]
        ]
        assert names != [f"第{n}中学" for n in range(1, 40)]

    async def test_a_parameter_of_a_column_not_granted_is_refused_whatever_its_value(
        self, serve: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(1)])
        problems = []
        for code in (b"990001", b"990002"):
            with pytest.raises(ColumnNotGranted) as caught:
                await ask("schools", b"code=" + code, columns=("school_name",))
            problems.append(caught.value.document("t"))
        assert problems[0] == problems[1]


class TestMaskLevel:
    async def test_strict_hides_what_standard_shows(self, serve: Any, ask: Any, make_student: Any) -> None:
        await serve("student_base", [make_student(1)])
        query = f"student_key={make_student(1)['student_key']}".encode()
        plain, strict = await ask("student", query), await ask("student", query, mask_level="strict")
        assert plain["data"]["student_name"] == "张*"
        assert strict["data"]["student_name"] == strict["data"]["student_number"] == "******"
        assert strict["data"]["birth_date"] == "2009"
        assert strict["data"]["school_name"] == plain["data"]["school_name"]

    @pytest.mark.parametrize("word", ["", "none", "STANDARD", "unknown"])
    async def test_an_unknown_level_is_strict(
        self, word: str, serve: Any, ask: Any, make_student: Any
    ) -> None:
        await serve("student_base", [make_student(1)])
        query = f"student_key={make_student(1)['student_key']}".encode()
        assert (await ask("student", query, mask_level=word))["data"]["student_name"] == "******"

    async def test_a_hidden_value_influences_nothing(self, serve: Any, ask: Any, make_student: Any) -> None:
        query = f"student_key={make_student(1)['student_key']}".encode()
        answers = []
        for name in ("张*", None, "******"):
            await serve("student_base", [make_student(1, student_name=name)])
            answers.append((await ask("student", query, mask_level="strict"))["data"])
        assert answers[0] == answers[1] == answers[2]


class TestVersions:
    async def test_nothing_published_is_said_so(self, engine: Engine) -> None:
        api = engine.route("schools")
        assert api is not None
        assert engine.data_version("school_base") is None
        with pytest.raises(NotPublished):
            await engine.execute(api, engine.validate(api, b""), api.columns, (), "standard")

    async def test_a_new_version_is_followed(self, serve: Any, engine: Engine, make_school: Any) -> None:
        version = await serve("school_base", [make_school(1)])
        async with asyncio.timeout(60):
            while engine.data_version("school_base") != version:
                await asyncio.sleep(0.01)

    async def test_a_version_dropped_under_a_call_is_answered_from_the_newest(
        self, serve: Any, engine: Engine, gateway_role: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(1)])
        await engine.versions.look()
        api = engine.route("schools")
        assert api is not None
        known = engine.versions._known
        await serve("school_base", [make_school(2)])
        await gateway_role.execute('DROP TABLE published."school_base__v1"')
        engine.versions._known = known
        body, *_ = await engine.execute(api, engine.validate(api, b""), api.columns, (), "standard")
        assert b'"version":2}' in body
        assert b"990002" in body

    async def test_a_table_of_an_older_contract_is_not_served(
        self, serve: Any, engine: Engine, gateway_role: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(1)])
        await gateway_role.execute('UPDATE gateway.publication SET columns = \'{"school_name": "text"}\'')
        with pytest.raises(NotPublished):
            await ask("schools")
        assert (await ask("schools", columns=("school_name",)))["data"] == [{"school_name": "第1中学"}]


class TestProtection:
    """P8: a rule that was tightened holds for what is published already, from the restart on."""

    @pytest.fixture
    async def stricter(self, database_url: str, standards: Standards) -> AsyncIterator[Engine]:
        """An engine of a process that started after the name of a school was to be masked."""
        found = Engine(
            reader_dsn=database_url.replace("{role}", "edulake_reader"),
            apis=standards.apis,
            contracts={
                **standards.datasets,
                "school_base": changed(standards, "school_name", protect=Protect(share="mask_name")),
            },
            page_ring=RING,
            codes=standards.codes,
            pool_size=1,
        )
        await found.start()
        yield found
        await found.close()

    async def test_a_column_in_its_older_form_is_not_served_and_the_others_are(
        self, serve: Any, stricter: Engine, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(1)])
        assert (await ask("schools"))["data"][0]["school_name"] == "第1中学"
        await stricter.versions.look()
        api = stricter.route("schools")
        assert api is not None
        call = stricter.validate(api, b"")
        with pytest.raises(NotPublished):
            await stricter.execute(api, call, api.columns, (), "standard")
        body, *_ = await stricter.execute(api, call, ("school_code",), (), "standard")
        assert orjson.loads(body)["data"] == [{"school_code": "990001"}]

    async def test_an_answer_kept_before_is_not_found_again(self, engine: Engine, stricter: Engine) -> None:
        stamps = [each.route(name).stamp for each in (engine, stricter) for name in ("schools", "student")]  # type: ignore[union-attr]
        assert stamps[0] != stamps[2]
        assert stamps[1] == stamps[3]

    async def test_what_was_published_without_its_protection_is_not_served(
        self, serve: Any, engine: Engine, gateway_role: Any, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(1)])
        await gateway_role.execute("UPDATE gateway.publication SET protection = '{}'")
        with pytest.raises(NotPublished):
            await ask("schools", columns=("school_code",))

    @pytest.mark.parametrize(
        ("published", "wanted", "covers"),
        [
            (("keep", None, 2), ("keep", None, 2), True),
            (("keep", None, 2), ("keep", None, 1), True),
            (("keep", None, 1), ("keep", None, 2), False),
            (("keep", None, 2), ("mask_phone", None, 2), False),
            (("mask_phone", None, 3), ("hide", None, 3), False),
            (("hide", None, 3), ("mask_phone", None, 3), False),
            (("mask_name", None, 3), ("mask_name", "hide", 3), False),
        ],
    )
    def test_covers_what_it_equals_at_its_level_or_below(
        self, published: Any, wanted: Any, covers: bool
    ) -> None:
        assert Protection(*published).covers(Protection(*wanted)) is covers


class TestReader:
    async def test_the_role_can_write_nothing_and_see_nothing_else(self, engine: Engine) -> None:
        assert engine._pool is not None
        async with engine._pool.acquire() as connection:
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute("CREATE TABLE published.x (a int)")
            await connection.execute("SET default_transaction_read_only = off")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("CREATE TABLE published.x (a int)")
            for hidden in ("gateway.publication", "gateway.grant", "auth.client"):
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError)):
                    await connection.fetch(f"SELECT * FROM {hidden}")

    async def test_a_call_leaves_nothing_on_its_connection(
        self, serve: Any, engine: Engine, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 4)])
        await ask("schools", b"limit=1")
        assert engine._pool is not None
        async with engine._pool.acquire() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT count(*) FROM pg_cursors WHERE is_holdable") == 0
            assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0

    async def test_a_slow_query_is_stopped_and_named(
        self, serve: Any, engine: Engine, gateway_role: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(1)])
        await engine.versions.look()
        api = engine.route("schools")
        assert api is not None
        assert engine._pool is not None
        async with gateway_role.transaction():
            await gateway_role.execute('LOCK TABLE published."school_base__v1"')
            engine._statement_timeout_ms = 100
            for holder in engine._pool._holders:
                if holder._con is not None:
                    await holder._con.execute("SET statement_timeout = 100")
            with pytest.raises(TooSlow):
                await engine.execute(api, engine.validate(api, b""), api.columns, (), "standard")

    async def test_cancelled_calls_leak_no_connection_and_cross_no_answers(
        self, serve: Any, engine: Engine, ask: Any, make_school: Any
    ) -> None:
        await serve("school_base", [make_school(n) for n in range(1, 101)])
        await ask("schools")
        api = engine.route("schools")
        assert api is not None

        async def one(number: int) -> bytes:
            call = engine.validate(api, b"code=%06d" % (990000 + number))
            body, *_ = await engine.execute(api, call, api.columns, (), "standard")
            return body

        for start in range(0, 600, 60):
            tasks = [asyncio.create_task(one(n % 100 + 1)) for n in range(start, start + 60)]
            await asyncio.sleep(0.002)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for n, answer in zip(range(start, start + 60), answers, strict=True):
                if isinstance(answer, bytes):
                    assert b"%06d" % (990000 + n % 100 + 1) in answer
                else:
                    assert isinstance(answer, asyncio.CancelledError), answer
        assert engine._pool is not None
        async with asyncio.timeout(60):  # a cancelled call gives its connection back behind its own end
            while engine._pool.get_idle_size() != engine._pool.get_size():
                await asyncio.sleep(0.01)
        assert isinstance(await one(5), bytes)
