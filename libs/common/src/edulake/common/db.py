"""The database edge: one request or message is one transaction, committed before the reply.

Nothing outside this module calls `commit()`. A plain `yield` dependency would commit only after
the answer went out (FastAPI 0.165), so both session dependencies use the function scope.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NewType, cast

import asyncpg
from edulake.common.errors import Unavailable, Unprocessable
from fastapi import Depends, Request
from sqlalchemy import MetaData, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

#: A session that may only read; the database itself refuses a write.
ReadOnlySession = NewType("ReadOnlySession", AsyncSession)

#: What tells that Postgres is gone, restarting or full, and not that a statement is wrong.
#: SQLSTATE classes: 08 connection, 53 resources, 57P shutdown, 58 system error.
_GONE_CLASSES = ("08", "53", "57P", "58")
#: How asyncpg's errors about a connection whose end it has not noticed begin (0.30 to 0.31).
_ENDED = ("cannot switch to state", 'cannot switch to "idle" state', "not connected")
#: A character that text (22021) or jsonb (22P05) cannot hold, a number beyond its type (22003).
_UNSTORABLE = ("22003", "22021", "22P05")


def engine_url(url: str) -> URL:
    """The same address for SQLAlchemy's asyncpg dialect (a socket folder stands in `host=`)."""
    return make_url(url).set(drivername="postgresql+asyncpg")


def is_connection_loss(error: BaseException) -> bool:
    """True when the database could not be reached, as against refusing the statement."""
    if isinstance(error, ConnectionError | PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError):
        if is_ended_connection(getattr(error.orig, "__cause__", None)):
            return True
        state = getattr(error.orig, "sqlstate", None) or ""
        lost = isinstance(error, InterfaceError | OperationalError) and not state
        return bool(error.connection_invalidated) or lost or str(state).startswith(_GONE_CLASSES)
    return False


def is_ended_connection(error: BaseException | None) -> bool:
    """True when the driver was asked over a connection that the server had ended.

    Before the driver has read the server's goodbye it tells so as an error of its own state. Any other
    `InternalClientError` (an unknown type, a bad message) is a defect and no loss.
    """
    return isinstance(error, asyncpg.InternalClientError) and str(error).startswith(_ENDED)


def is_unstorable(error: BaseException) -> bool:
    """True when a value of the caller fits no column: told by Postgres, or by the driver before it asks."""
    refused = getattr(error, "orig", None)
    by_driver = getattr(getattr(refused, "__cause__", None), "__cause__", None)
    return getattr(refused, "sqlstate", None) in _UNSTORABLE or isinstance(
        by_driver, OverflowError | UnicodeEncodeError
    )


def _unavailable() -> Unavailable:
    return Unavailable(
        "数据库暂时不可用", "the database is not reachable", mend_zh="稍后重试", mend_en="retry shortly"
    )


@asynccontextmanager
async def _translate_loss() -> AsyncIterator[None]:
    try:
        yield
    except (ConnectionError, PoolTimeoutError, DBAPIError) as error:
        if is_connection_loss(error):
            raise _unavailable() from error
        if is_unstorable(error):
            raise Unprocessable(
                "某个值无法存储: 数值超出范围，或文本含有 U+0000 等字符",
                "a value cannot be stored: a number beyond its range, or a text that holds U+0000",
                mend_zh="改正该值后重试",
                mend_en="mend the value and send again",
            ) from error
        raise


async def _connect(session: AsyncSession) -> None:
    """Take the connection before the block runs: only here does any OSError mean the database."""
    try:
        await session.connection()
    except OSError as error:
        raise _unavailable() from error


class Database:
    """A pool of connections for one role."""

    def __init__(self, url: str, *, pool_size: int = 5, statement_timeout_ms: int = 30_000) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            engine_url(url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=5,
            pool_pre_ping=True,
            hide_parameters=True,  # errors must not repeat values of people
            connect_args={
                "timeout": 5,
                "server_settings": {"statement_timeout": str(statement_timeout_ms), "timezone": "UTC"},
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed when the block ends and undone when it raises."""
        async with _translate_loss(), self._sessions() as session, session.begin():
            await _connect(session)
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadOnlySession]:
        """A session for reading only, one snapshot for the whole block."""
        async with _translate_loss(), self._sessions() as session, session.begin():
            await _connect(session)
            await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            yield ReadOnlySession(session)

    async def ping(self) -> None:
        """Raise when the database does not answer."""
        async with self.read() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()


def declarative_base_for(schema: str) -> type[DeclarativeBase]:
    """The base class of the models of one service, bound to its schema."""

    class Base(DeclarativeBase):
        __abstract__ = True
        metadata = MetaData(schema=schema)

    return Base


def _database(request: Request) -> Database:
    return cast(Database, request.app.state.resources.database)


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with _database(request).transaction() as session:
        yield session


async def _read_session(request: Request) -> AsyncIterator[ReadOnlySession]:
    async with _database(request).read() as session:
        yield session


def _function_scoped(dependency: Any) -> Any:
    return Depends(dependency, scope="function")


Session = Annotated[AsyncSession, _function_scoped(_session)]
ReadSession = Annotated[ReadOnlySession, _function_scoped(_read_session)]
