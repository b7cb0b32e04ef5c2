"""The audit chain over real Postgres: who read what, from several processes, and any change shows."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from edulake.common.bus import announce
from edulake.common.db import Database
from edulake.common.events import AccessValuesOpened
from edulake.common.gm import KeyRing
from edulake.common.locks import Space
from edulake.share_gateway.audit import repository, service
from edulake.share_gateway.audit.chain import Link, Record, extend
from edulake.share_gateway.audit.service import Verification, verify
from edulake.share_gateway.audit.writer import AuditWriter, Counted
from edulake.share_gateway.engine.query import records_of
from edulake.share_gateway.limits.shared import seconds_to_midnight
from edulake.share_gateway.problems import AuditUnavailable

Give = Callable[..., Awaitable[Any]]
RING = KeyRing.of(k1=b"1" * 32)
STUDENT = "/share/v1/student?student_key=t1.k1.c2FtcGxlLXRva2VuLW5vdC1hLXBlcnNvbg"
OTHER = "/share/v1/student?student_key=t1.k1.b3RoZXItdG9rZW4tbm90LWEtcGVyc29uLWF0"


def record(number: int) -> Record:
    return Record(
        at=datetime(2026, 3, 1, 0, 0, 0, 123456, tzinfo=UTC),
        kind="read",
        client_id=f"c{number}",
        grant_id="g",
        api="student",
        purpose="测试 '\"\\",
        level=4,
        status=200,
        calls=1,
        record="t1.k1.x",
        client_ip="127.0.0.1",
        trace_id="0" * 32,
        version=1,
        records=("t1.k1.a", "t1.k1.b")[: number % 3],
    )


def writer(database: Database, **over: Any) -> AuditWriter:
    limits = {"commit_s": 0.004, "timeout_s": 60.0, "queue_records": 1000, **over}
    return AuditWriter(database, RING, **limits)


async def written(database: Database, *writers: AuditWriter, reads: int) -> None:
    """Let every writer write that many records at once, each waiting for its own."""
    stop = asyncio.Event()
    running = [asyncio.create_task(each.commit_groups(stop)) for each in writers]
    await asyncio.gather(*(each.write(record(number)) for each in writers for number in range(reads)))
    stop.set()
    await asyncio.gather(*running)


class TestWriting:
    async def test_several_processes_write_one_chain(self, database: Database) -> None:
        await written(database, *(writer(database) for _ in range(3)), reads=60)
        verdict = await verify(database, RING)
        assert (verdict.is_whole, verdict.checked) == (True, 180)

    async def test_a_write_returns_only_when_the_row_is_there(
        self, database: Database, postgres_admin_url: str
    ) -> None:
        await written(database, writer(database), reads=1)
        connection = await asyncpg.connect(postgres_admin_url)
        assert await connection.fetchval("SELECT count(*) FROM gateway.audit") == 1
        await connection.close()

    async def test_a_group_is_one_transaction(self, database: Database, postgres_admin_url: str) -> None:
        await written(database, writer(database), reads=200)
        connection = await asyncpg.connect(postgres_admin_url)
        assert await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM gateway.audit") <= 3
        await connection.close()

    async def test_a_full_queue_refuses_at_once(self, database: Database) -> None:
        full = writer(database, queue_records=1, timeout_s=0.2)
        waiting = asyncio.create_task(full.write(record(1)))
        await asyncio.sleep(0)
        with pytest.raises(AuditUnavailable):
            await full.write(record(2))
        with pytest.raises(AuditUnavailable):
            await waiting

    async def test_counts_become_one_row_each_and_survive_a_failed_flush(
        self, database: Database, postgres_admin_url: str
    ) -> None:
        counting = writer(database, timeout_s=0.2)
        for _ in range(500):
            counting.count(Counted("app", "g", "schools", "p", 1, 200, 3))
        counting.count(Counted("app", "g", "schools", "p", 1, 429, 0))
        connection = await asyncpg.connect(postgres_admin_url)
        await connection.execute("SELECT pg_advisory_lock($1, hashtext(''))", Space.AUDIT_CHAIN)
        await counting.flush_counts()
        await connection.execute("SELECT pg_advisory_unlock($1, hashtext(''))", Space.AUDIT_CHAIN)
        counting._timeout_s = 60.0
        await counting.flush_counts()
        rows = await connection.fetch("SELECT status, calls FROM gateway.audit ORDER BY seq")
        await connection.close()
        assert [tuple(row) for row in rows] == [(200, 500), (429, 1)]
        assert (await verify(database, RING)).is_whole

    async def test_metering_is_announced_with_the_counts(
        self, database: Database, postgres_admin_url: str
    ) -> None:
        counting = writer(database)
        counting.count(Counted("app", "g", "schools", "p", 1, 200, 3))
        counting.count(Counted("app", "g", "schools", "p", 1, 200, 4))
        await counting.flush_counts()
        counting._metered_at = datetime(2026, 1, 1, tzinfo=UTC)
        await counting.flush_counts()
        connection = await asyncpg.connect(postgres_admin_url)
        found = await connection.fetch(
            "SELECT payload::jsonb ->> 'count' AS n FROM bus.log WHERE name = 'access.called.v1'"
        )
        await connection.close()
        assert [row["n"] for row in found] == ["2"]


async def tampered(admin_url: str, statement: str) -> None:
    """What someone with the database's highest rights, but without the key, can do."""
    connection = await asyncpg.connect(admin_url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(statement)
    await connection.close()


class TestVerifying:
    @pytest.mark.parametrize(
        ("statement", "first_wrong"),
        [
            ("UPDATE gateway.audit SET client_id = 'someone else' WHERE seq = 7", 7),
            ("UPDATE gateway.audit SET at = at + interval '1 microsecond' WHERE seq = 7", 7),
            ("UPDATE gateway.audit SET calls = 2 WHERE seq = 10", 10),
            ("UPDATE gateway.audit SET records = '{}' WHERE seq = 3", 3),
            ("UPDATE gateway.audit SET records = records[2:1] || '{t1.k1.b,t1.k1.a}' WHERE seq = 3", 3),
            ("DELETE FROM gateway.audit WHERE seq = 7", 7),
            ("DELETE FROM gateway.audit WHERE seq > 8", 9),
            ("DELETE FROM gateway.audit; DELETE FROM gateway.audit_head WHERE false", 1),
            ("DELETE FROM gateway.audit_head", 1),
            (
                "UPDATE gateway.audit_head SET seq = 9, hash = (SELECT hash FROM gateway.audit WHERE seq = 9)",
                9,
            ),
            ("UPDATE gateway.audit SET kid = 'k9' WHERE seq = 3", 3),
        ],
    )
    async def test_finds_the_first_row_that_does_not_hold(
        self, database: Database, postgres_admin_url: str, statement: str, first_wrong: int
    ) -> None:
        await written(database, writer(database), reads=10)
        assert (await verify(database, RING)).is_whole
        await tampered(postgres_admin_url, statement)
        assert (await verify(database, RING)).first_wrong == first_wrong

    @pytest.mark.parametrize(
        "statement",
        ["UPDATE gateway.audit SET calls = 2", "DELETE FROM gateway.audit", "TRUNCATE gateway.audit"],
    )
    async def test_the_gateways_own_role_cannot_change_it_by_accident(
        self, database: Database, role_url: Any, statement: str
    ) -> None:
        await written(database, writer(database), reads=1)
        connection = await asyncpg.connect(role_url("edulake_gateway"))
        with pytest.raises(asyncpg.RaiseError):
            await connection.execute(statement)
        await connection.close()


class TestVerifyingByItself:
    async def test_goes_on_from_where_it_came_to(self, database: Database, postgres_admin_url: str) -> None:
        once = Verification(database, RING, every_s=3600)
        await written(database, writer(database), reads=10)
        assert (await once.verify_once()).checked == 10
        await written(database, writer(database), reads=5)
        await tampered(postgres_admin_url, "UPDATE gateway.audit SET client_id = 'x' WHERE seq = 13")
        assert (await once.verify_once()).first_wrong == 13
        assert service.IS_BROKEN._value.get() == 1

    async def test_what_was_changed_behind_it_is_found_by_the_next_process(
        self, database: Database, postgres_admin_url: str
    ) -> None:
        once = Verification(database, RING, every_s=3600)
        await written(database, writer(database), reads=10)
        assert (await once.verify_once()).is_whole
        await tampered(postgres_admin_url, "UPDATE gateway.audit SET client_id = 'x' WHERE seq = 3")
        assert (await once.verify_once()).is_whole
        assert (await Verification(database, RING, every_s=3600).verify_once()).first_wrong == 3

    async def test_begins_anew_as_long_as_the_chain_does_not_hold(
        self, database: Database, postgres_admin_url: str
    ) -> None:
        once = Verification(database, RING, every_s=3600)
        await written(database, writer(database), reads=10)
        await tampered(postgres_admin_url, "UPDATE gateway.audit SET calls = 2 WHERE seq = 3")
        assert (await once.verify_once()).first_wrong == 3
        await tampered(postgres_admin_url, "UPDATE gateway.audit SET calls = 1 WHERE seq = 3")
        assert (await once.verify_once()).checked == 10
        assert service.IS_BROKEN._value.get() == 0

    async def test_a_chain_longer_than_a_step_is_walked_to_its_end_while_it_grows(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "_STEP_ROWS", 3)
        await written(database, writer(database), reads=10)
        verdict, _ = await asyncio.gather(
            verify(database, RING), written(database, writer(database), reads=50)
        )
        assert verdict.is_whole
        assert verdict.checked >= 10

    async def test_a_gateway_does_so_from_its_start(
        self, settings: Any, start_gateway: Any, database: Database, postgres_admin_url: str
    ) -> None:
        await written(database, writer(database), reads=3)  # under a key that the gateway does not have
        service.IS_BROKEN.set(0)
        async with start_gateway(settings), asyncio.timeout(60):
            while service.IS_BROKEN._value.get() != 1:
                await asyncio.sleep(0.02)


@pytest.fixture
async def open_gateway(give: Give, gateway: Any) -> Any:
    await give()
    await give(api="student")
    await gateway.plane.follower.look()
    return gateway


@pytest.fixture
async def within_a_day() -> None:
    """Postgres says what today is: a test that would pass midnight in Beijing begins after it."""
    left_s = seconds_to_midnight()
    if left_s < 45:
        await asyncio.sleep(left_s + 1)


async def audit(gateway: Any, issuer: Any, query: str = "", **token: Any) -> Any:
    headers = issuer.bearer("auditor", **{"roles": ["audit_admin"], **token})
    return await gateway.http.get(f"/api/gateway/audit{query}", headers=headers)


class TestThroughTheGateway:
    async def test_a_personal_read_has_its_row_before_the_answer(
        self, open_gateway: Any, issuer: Any, postgres_admin_url: str
    ) -> None:
        answer = await open_gateway.http.get(STUDENT, headers=issuer.bearer())
        assert answer.status_code == 200
        connection = await asyncpg.connect(postgres_admin_url)
        row = await connection.fetchrow("SELECT * FROM gateway.audit WHERE kind = 'read'")
        await connection.close()
        assert row is not None
        assert (row["client_id"], row["api"], row["level"], row["purpose"]) == (
            "app",
            "student",
            4,
            "教学质量分析",
        )
        assert row["trace_id"] == answer.headers["x-trace-id"]
        assert "c2FtcGxl" not in row["record"], "the key of a person stands nowhere"

    async def test_who_read_this_persons_record(self, open_gateway: Any, issuer: Any) -> None:
        for path in (STUDENT, OTHER, STUDENT):
            assert (await open_gateway.http.get(path, headers=issuer.bearer())).status_code == 200
        question = STUDENT.partition("?")[2]
        found = await open_gateway.http.get(
            "/api/gateway/audit",
            params={"api": "student", "question": question},
            headers=issuer.bearer("auditor", roles=["audit_admin"]),
        )
        assert found.status_code == 200, found.text
        assert [row["kind"] for row in found.json()["items"]] == ["read", "read"]

    async def test_a_record_read_before_a_rotation_or_another_version_of_the_api_is_found(
        self, open_gateway: Any, issuer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plane = open_gateway.plane
        monkeypatch.setattr(plane, "audit_ring", KeyRing.of(k1=b"1" * 32))
        assert (await open_gateway.http.get(STUDENT, headers=issuer.bearer())).status_code == 200
        monkeypatch.setattr(plane, "audit_ring", KeyRing.of(k1=b"1" * 32, k2=b"2" * 32))
        newer = replace(plane.engine.apis["student"], version="9.0.0")
        monkeypatch.setitem(plane.engine.apis, "student", newer)
        for path in (STUDENT, OTHER):
            assert (await open_gateway.http.get(path, headers=issuer.bearer())).status_code == 200
        found = await open_gateway.http.get(
            "/api/gateway/audit",
            params={"api": "student", "question": STUDENT.partition("?")[2]},
            headers=issuer.bearer("auditor", roles=["audit_admin"]),
        )
        records = [row["record"] for row in found.json()["items"]]
        assert len(records) == len(set(records)) == 2

    async def test_a_record_is_found_by_its_key_whoever_answered_it_and_under_every_key_of_the_ring(
        self, open_gateway: Any, issuer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A list answers records that nobody named; another API over the dataset may have been the one."""
        plane = open_gateway.plane
        first, second = (path.partition("=")[2] for path in (STUDENT, OTHER))
        listed = replace(plane.engine.apis["student"], name="class-list", required=())
        monkeypatch.setitem(plane.engine.apis, "class-list", listed)
        answered = records_of(listed, {"student_key": first}) + records_of(listed, {"student_key": second})
        plane.audit_ring = KeyRing.of(k1=b"1" * 32)
        row = replace(record(0), api="class-list", records=plane.record_tokens(answered))
        await plane.audit.write(row)
        plane.audit_ring = KeyRing.of(k1=b"1" * 32, k2=b"2" * 32)
        assert (await open_gateway.http.get(STUDENT, headers=issuer.bearer())).status_code == 200

        async def apis(question: str, **more: str) -> list[str]:
            asked = {"api": "student", "question": question, **more}
            found = await open_gateway.http.get(
                "/api/gateway/audit", params=asked, headers=issuer.bearer("auditor", roles=["audit_admin"])
            )
            return [f"{row['api']} {row['answered_records']}" for row in found.json()["items"]]

        assert await apis(f"student_key={first}") == ["student 1", "class-list 2"]
        assert await apis(f"student_key={second}") == ["class-list 2"]
        assert await apis(f"student_key={first}", client="app") == ["student 1"]
        assert await apis("student_key=t1.k1.bm9ib2R5LW5vYm9keS1ub2JvZHktbm9ib2R5") == []

    @pytest.mark.parametrize("misspelt", ["qestion", "Question", "record", "clientid"])
    async def test_a_misspelt_question_is_refused_and_finds_nobody_elses_reads(
        self, open_gateway: Any, issuer: Any, misspelt: str
    ) -> None:
        answer = await audit(open_gateway, issuer, f"?api=student&{misspelt}=x")
        assert answer.status_code == 422
        assert answer.json()["where"] == f"query.{misspelt}"

    async def test_general_calls_and_refusals_are_counted(self, open_gateway: Any, issuer: Any) -> None:
        for _ in range(3):
            await open_gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        await open_gateway.http.get("/share/v1/schools", headers=issuer.bearer("stranger"))
        await open_gateway.plane.audit.flush_counts()
        rows = (await audit(open_gateway, issuer, "?api=schools")).json()["items"]
        assert {(row["client_id"], row["status"]): row["calls"] for row in rows} == {
            ("app", 200): 3,
            ("stranger", 403): 1,
        }

    async def test_pages_neither_skip_nor_repeat(self, open_gateway: Any, issuer: Any) -> None:
        for _ in range(5):
            await open_gateway.http.get(STUDENT, headers=issuer.bearer())
        first = (await audit(open_gateway, issuer, "?api=student&limit=3")).json()
        second = (await audit(open_gateway, issuer, f"?api=student&limit=3&cursor={first['next']}")).json()
        assert [row["seq"] for row in first["items"] + second["items"]] == [5, 4, 3, 2, 1]
        assert second["next"] is None

    async def test_verify_says_that_it_holds(self, open_gateway: Any, issuer: Any) -> None:
        await open_gateway.http.get(STUDENT, headers=issuer.bearer())
        verdict = (await audit(open_gateway, issuer, "/verify")).json()
        assert (verdict["is_whole"], verdict["checked_rows"]) == (True, 1)

    @pytest.mark.parametrize("roles", [["system_admin"], ["security_admin"], ["applicant"], []])
    async def test_only_audit_administrators_may_look(
        self, open_gateway: Any, issuer: Any, roles: list[str]
    ) -> None:
        assert (await audit(open_gateway, issuer, roles=roles)).status_code == 403
        assert (await audit(open_gateway, issuer, "/verify", roles=roles)).status_code == 403

    async def test_a_client_sees_its_own_use_only(self, open_gateway: Any, issuer: Any) -> None:
        await open_gateway.http.get("/share/v1/schools", headers=issuer.bearer())
        await open_gateway.plane.audit.flush_counts()
        own = await open_gateway.http.get("/api/gateway/usage?client_id=app", headers=issuer.bearer())
        assert [(row["api"], row["answered"]) for row in own.json()] == [("schools", 1)]
        other = await open_gateway.http.get("/api/gateway/usage?client_id=app", headers=issuer.bearer("nosy"))
        assert other.status_code == 403
        assert (await open_gateway.http.get("/api/gateway/usage", headers=issuer.bearer())).status_code == 403

    @pytest.mark.parametrize(
        ("token", "status"),
        [
            ({"roles": ["owner"], "org": "市教育委员会信息中心"}, 200),
            ({"roles": ["owner"], "org": "乙区教育局"}, 403),
            ({"roles": ["security_admin"]}, 200),
            ({"roles": ["system_admin"]}, 403),
        ],
        ids=["in care", "another house", "security", "system"],
    )
    async def test_the_use_of_others_is_for_who_has_care_of_the_api(
        self, open_gateway: Any, issuer: Any, token: Any, status: int
    ) -> None:
        headers = issuer.bearer("office", **token)
        answer = await open_gateway.http.get("/api/gateway/usage?client_id=app", headers=headers)
        assert answer.status_code == status

    async def test_services_are_told_the_use_of_today_by_client_and_api(
        self, within_a_day: None, open_gateway: Any, issuer: Any, as_subject: Any
    ) -> None:
        for path in ("/share/v1/schools", "/share/v1/schools?district=x"):
            await open_gateway.http.get(path, headers=issuer.bearer())
        await open_gateway.plane.audit.flush_counts()
        url = "/api/gateway/usage/today?client_id="
        from_outside = await open_gateway.http.get(f"{url}app", headers=issuer.bearer(roles=["service"]))
        assert from_outside.status_code == 401  # no token from outside speaks as a service
        catalog = as_subject("service", id="service:catalog", audience="gateway")
        told = await open_gateway.http.get(f"{url}app&client_id=other", headers=catalog)
        assert told.json() == [{"client_id": "app", "api": "schools", "answered": 1, "refused": 1}]
        assert (await open_gateway.http.get(f"{url}other", headers=catalog)).json() == []

    async def test_one_caller_asks_only_so_fast_and_the_others_do_not_notice(
        self, settings: Any, start_gateway: Any, issuer: Any, as_subject: Any
    ) -> None:
        slow = settings.model_copy(update={"own_rate_per_s": 1, "service_rate_per_s": 2})
        async with start_gateway(slow) as gateway:
            for path, burst in (("/api/gateway/apis", 2), ("/api/catalog/x", 4)):
                answers = [await gateway.http.get(path, headers=issuer.bearer()) for _ in range(12)]
                assert [answer.status_code for answer in answers[:burst]] == [200] * burst
                refused = next(answer for answer in answers if answer.status_code == 429)
                assert refused.json()["type"] == "urn:edulake:problem:caller-too-fast"
                assert int(refused.headers["retry-after"]) >= 1
                assert (await gateway.http.get(path, headers=issuer.bearer("other"))).status_code == 200
            person = as_subject("steward", id="person:li", audience="gateway")
            service_of_ours = as_subject("service", id="service:catalog", audience="gateway")
            from_inside = [
                (await gateway.http.get("/api/gateway/apis", headers=person)).status_code for _ in range(12)
            ]
            assert {200, 429} == set(from_inside)
            for _ in range(12):
                url = "/api/gateway/usage/today?client_id=app"
                assert (await gateway.http.get(url, headers=service_of_ours)).status_code == 200

    async def test_requests_to_the_administration_take_no_connection_of_the_data_plane(
        self, open_gateway: Any, issuer: Any, postgres_admin_url: str
    ) -> None:
        """As many slow questions as there are connections for them, and rights are still read and reads audited."""
        lock = await asyncpg.connect(postgres_admin_url)
        await lock.execute("BEGIN; LOCK TABLE gateway.publication_job IN ACCESS EXCLUSIVE MODE")
        boss = issuer.bearer("boss", roles=["system_admin"])
        asking = [
            asyncio.create_task(open_gateway.http.get("/api/gateway/publications", headers=boss))
            for _ in range(15)
        ]
        pool = 2 * open_gateway.plane.settings.database_pool_size - 1  # one leads the verification
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'gateway.publication_job'::regclass"
        async with asyncio.timeout(60):
            while await lock.fetchval(waiting) < pool:
                await asyncio.sleep(0.02)
        await open_gateway.plane.follower.look()
        assert (await open_gateway.http.get(STUDENT, headers=issuer.bearer())).status_code == 200
        await lock.execute("ROLLBACK")
        await asyncio.gather(*asking)
        await lock.close()

    async def test_the_summary_counts_today(self, within_a_day: None, open_gateway: Any, issuer: Any) -> None:
        await open_gateway.http.get(STUDENT, headers=issuer.bearer())
        boss = issuer.bearer("boss", roles=["system_admin"])
        figures = (await open_gateway.http.get("/api/gateway/summary", headers=boss)).json()
        assert figures["open_grants"] == 2
        assert figures["calls_today"] == figures["audit_rows"] == 1


class TestOpenedValues:
    """Who was shown delivered cells stands in the chain once, however often the event comes."""

    async def test_are_added_once_and_the_chain_holds(self, gateway: Any, database: Database) -> None:
        facts = AccessValuesOpened(
            batch_id="b1", dataset="school_base", source_id="roster", by="person:wu-contact", rows=[3, 7],
            fields=["school_name"], level=1,
        )  # fmt: skip
        async with database.transaction() as session:
            await announce(session, facts)
        async with asyncio.timeout(60):
            while not (links := await opened(database)):
                await asyncio.sleep(0.05)
        (link,) = links
        assert (link.record.client_id, link.record.kind, link.record.level) == (
            "person:wu-contact",
            "opened",
            1,
        )
        assert link.record.purpose == "改正批次 b1（school_base）：第 3、7 行的 school_name"
        assert (await verify(database, gateway.plane.audit_ring)).is_whole

    async def test_do_not_count_as_calls(self, database: Database) -> None:
        async with database.transaction() as session:
            head = await repository.lock_head(session)
            row = replace(record(1), kind="opened", api="")
            await repository.append(session, *extend(RING, head, [row]))
        async with database.read() as session:
            assert await repository.usage(session, None, None, 30000) == []


async def opened(database: Database) -> list[Link]:
    async with database.read() as session:
        found = await repository.newest(session, client=None, api=None, records=None, before=2**62, limit=5)
    return [link for link in found if link.record.kind == "opened"]
