"""One request is one transaction, committed before the reply."""

from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest
from edulake.common.db import Database, ReadSession, Session
from edulake.common.errors import Unavailable, Unprocessable
from edulake.common.identity import public
from edulake.common.service import create_service
from edulake.common.settings import Settings
from fastapi import APIRouter
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InternalError


@pytest.fixture
async def database(postgres_admin_url: str) -> Any:
    database = Database(postgres_admin_url)
    async with database.transaction() as session:
        await session.execute(
            text(
                "CREATE TABLE public.mark (id int PRIMARY KEY, twin int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
            )
        )
        await session.execute(text("GRANT ALL ON public.mark TO edulake_catalog"))
    yield database
    await database.close()


class TestTransaction:
    async def test_commits_at_the_end_of_the_block(self, database: Database) -> None:
        async with database.transaction() as session:
            await session.execute(text("INSERT INTO mark VALUES (1, 1)"))
        async with database.read() as session:
            assert await session.scalar(text("SELECT count(*) FROM mark")) == 1

    async def test_undoes_everything_when_the_block_raises(self, database: Database) -> None:
        with pytest.raises(ValueError):
            async with database.transaction() as session:
                await session.execute(text("INSERT INTO mark VALUES (1, 1)"))
                raise ValueError
        async with database.read() as session:
            assert await session.scalar(text("SELECT count(*) FROM mark")) == 0

    async def test_a_read_session_cannot_write(self, database: Database) -> None:
        with pytest.raises(DBAPIError, match="read-only"):
            async with database.read() as session:
                await session.execute(text("INSERT INTO mark VALUES (1, 1)"))

    @pytest.mark.parametrize(
        ("column", "value"),
        [("text", "a\0"), ("text", "a\ud800"), ("jsonb", '"a\\u0000"'), ("bigint", 2**70)],
    )
    async def test_a_value_that_cannot_be_stored_is_the_callers(
        self, database: Database, column: str, value: str | int
    ) -> None:
        with pytest.raises(Unprocessable):
            async with database.transaction() as session:
                await session.execute(text(f"SELECT CAST(:value AS {column})"), {"value": value})

    async def test_a_value_of_a_wrong_kind_stays_a_defect(self, database: Database) -> None:
        with pytest.raises(DBAPIError):
            async with database.transaction() as session:
                await session.execute(text("SELECT CAST(:value AS bigint)"), {"value": "x"})

    async def test_an_unreachable_server_is_a_503_problem(self) -> None:
        database = Database("postgresql://nobody@/none?host=/nonexistent")
        with pytest.raises(Unavailable) as caught:
            async with database.read():
                pass
        assert caught.value.headers["Retry-After"] == "2"
        await database.close()

    async def test_a_restart_of_the_server_heals_by_itself(
        self, database: Database, postgres_admin_url: str
    ) -> None:
        await database.ping()
        admin = await asyncpg.connect(postgres_admin_url)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await admin.close()
        await database.ping()

    @pytest.mark.parametrize(
        ("told", "expected"),
        [
            ("cannot switch to state 12; another operation (2) is in progress", Unavailable),
            ('cannot switch to state 11; protocol is in the "failed" state', Unavailable),
            ("not connected", Unavailable),
            ("no binary format encoder for type 1", InternalError),
        ],
    )
    async def test_a_connection_that_the_server_ended_is_lost_and_other_states_of_the_driver_are_defects(
        self, database: Database, told: str, expected: type[Exception]
    ) -> None:
        """The driver's own error, on its way through the dialect that the session uses."""
        with pytest.raises(expected):
            async with database.transaction() as session:
                connection = (await session.connection()).sync_connection
                assert connection is not None
                raw: Any = connection.connection.dbapi_connection
                try:
                    raw._handle_exception(asyncpg.InternalClientError(told))
                except connection.dialect.dbapi.Error as error:
                    connection._handle_dbapi_exception(error, "SELECT 1", None, None, None)

    async def test_errors_do_not_repeat_values(self, database: Database) -> None:
        with pytest.raises(DBAPIError) as caught:
            async with database.transaction() as session:
                await session.execute(text("SELECT CAST(:secret AS int)"), {"secret": "张三丰"})
        assert "parameters hidden" in str(caught.value) or "张三丰" not in str(caught.value)


class TestRequest:
    """The commit is the last thing that can fail before the reply."""

    @pytest.fixture
    async def client(
        self, database: Database, make_settings: Callable[..., Settings], client_for: Any
    ) -> Any:
        router = APIRouter()

        @router.post("/marks/{mark}", dependencies=[public()])
        async def add(mark: int, session: Session) -> dict[str, int]:
            await session.execute(text("INSERT INTO public.mark VALUES (:mark, 7)"), {"mark": mark})
            return {"mark": mark}

        @router.get("/marks", dependencies=[public()])
        async def count(session: ReadSession) -> int:
            return await session.scalar(text("SELECT count(*) FROM public.mark")) or 0

        app = create_service(name="catalog", title="t", settings=make_settings(), routers=[router])
        async with client_for(app) as client:
            yield client

    async def test_a_row_is_there_when_the_reply_is(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/marks/1")).status_code == 200
        assert (await client.get("/marks")).json() == 1

    async def test_a_commit_that_fails_is_not_answered_200(self, client: httpx.AsyncClient) -> None:
        """`twin` is checked at commit only, so the handler itself succeeds both times."""
        await client.post("/marks/1")
        answer = await client.post("/marks/2")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.get("/marks")).json() == 1


class TestRoles:
    @pytest.mark.parametrize("role", ["edulake_ingest", "edulake_auth", "edulake_reader"])
    async def test_a_role_cannot_make_or_write_what_is_not_its_own(
        self, role_url: Callable[[str], str], role: str
    ) -> None:
        connection = await asyncpg.connect(role_url(role))
        for statement in ("CREATE TABLE public.x (i int)", "CREATE TABLE workorder.x (i int)"):
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
                await connection.execute(statement)
        await connection.close()
