"""The engine: names to APIs, queries to calls, calls to JSON bytes.

Promises: an answer is read from one published version and says which (`version` stands last in it); a
column that is not granted can be neither seen, nor filtered by, nor noticed in the order; a value never
becomes part of a statement's text. Everything is refused in words, nothing by an SQL error.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import orjson
from edulake.common.errors import Forbidden, NotFound, Problem
from edulake.common.gm import KeyRing
from edulake.common.service import keep_running
from edulake.common.standards import ApiDefinition, CodeTable, Contract
from edulake.common.telemetry import logger
from edulake.share_gateway.engine.compile import (
    Shape,
    like_prefix,
    list_statement,
    one_statement,
    usable_sort,
)
from edulake.share_gateway.engine.definition import CompiledApi, define
from edulake.share_gateway.engine.pages import Position, bad_token, make_token, page_expired
from edulake.share_gateway.engine.query import Call, question_of, read_call, records_of
from edulake.share_gateway.engine.versions import Served, Versions
from edulake.share_gateway.problems import NotPublished

__all__ = ["Answer", "Call", "CompiledApi", "Engine"]

log = logger(__name__)
#: The only mask level that shows what the API defines; any other word masks strictly.
STANDARD = "standard"
#: How often a call starts anew when its version was dropped under it.
ATTEMPTS = 3


class Answer(NamedTuple):
    """Complete JSON in UTF-8, the version it was read from, and of personal data what stands for each record in
    it (`query.records_of`), for the audit."""

    body: bytes
    version: int
    records: tuple[bytes, ...] = ()


class ColumnNotGranted(Forbidden):
    code, title_zh, title_en = "column-not-granted", "字段不在授权范围", "A column is not granted"


class RecordNotFound(NotFound):
    code, title_zh, title_en = "no-such-record", "没有符合条件的记录", "No such record"


class TooSlow(Problem):
    status, code, title_zh, title_en = 504, "query-too-slow", "查询超时", "The query took too long"


if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:  # generic for type checkers only
    _Connection = asyncpg.Connection


class ReaderConnection(_Connection):
    """A connection whose calls leave no session state, so that none has to be reset after each."""

    def get_reset_query(self) -> str:
        return ""


class Engine:
    """Answers calls of the shared APIs from the serving tables, as a role that may only read."""

    def __init__(
        self,
        *,
        reader_dsn: str,
        apis: Mapping[str, ApiDefinition],
        contracts: Mapping[str, Contract],
        page_ring: KeyRing,
        codes: Mapping[str, CodeTable],
        statement_timeout_ms: int = 3000,
        pool_size: int = 8,
        acquire_timeout_ms: int = 2000,
        poll_ms: int = 250,
    ) -> None:
        """DefinitionError when an API does not fit its contract; nothing is opened yet."""
        self._dsn = reader_dsn
        self._ring = page_ring
        self._apis = {name: define(api, contracts[api.dataset], codes) for name, api in apis.items()}
        self._statement_timeout_ms = statement_timeout_ms
        self._pool_size = pool_size
        self._acquire_timeout_s = acquire_timeout_ms / 1000
        self._versions = Versions(reader_dsn, poll_ms)
        self._statement = lru_cache(maxsize=4096)(_statement)
        self._stop = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def start(self) -> None:
        """Open the pool and learn the versions; asyncpg errors or OSError when the database is not there."""
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=min(2, self._pool_size),
            max_size=self._pool_size,
            max_queries=10**9,
            connection_class=ReaderConnection,
            statement_cache_size=512,
            command_timeout=self._statement_timeout_ms / 1000 + 1,
            timeout=5,
            server_settings={
                "application_name": "edulake share engine",
                "default_transaction_read_only": "on",
                "statement_timeout": str(self._statement_timeout_ms),
                "jit": "off",
                "timezone": "UTC",
            },
        )
        await self._versions.look()
        follow = partial(self._versions.follow, self._stop)
        following = keep_running("published versions", follow, self._stop, longest_pause_s=1.0)
        self._follower = asyncio.create_task(following, name="published versions")

    async def close(self) -> None:
        """End the follower and close the pool, without waiting for stuck connections longer than 5 s."""
        self._stop.set()
        if self._follower is not None:
            await self._follower
        await self._versions.close()
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 5)
            except TimeoutError:
                self._pool.terminate()

    @property
    def apis(self) -> Mapping[str, CompiledApi]:
        """All APIs by name."""
        return self._apis

    @property
    def versions(self) -> Versions:
        """What is served now."""
        return self._versions

    def route(self, name: str) -> CompiledApi | None:
        """The API of that name, or None."""
        return self._apis.get(name)

    def validate(self, api: CompiledApi, raw_query: bytes) -> Call:
        """The call that a query string makes; raises BadParameter or BadPageToken (400)."""
        return read_call(api, raw_query, self._ring)

    def data_version(self, dataset: str) -> int | None:
        """The version that a call would be answered from now; None when nothing was published yet."""
        served = self._versions.get(dataset)
        return served.version if served else None

    async def execute(
        self,
        api: CompiledApi,
        call: Call,
        columns: Sequence[str],
        districts: Sequence[str],
        mask_level: str,
    ) -> Answer:
        """The complete answer, read from one version.

        `columns`: those granted; `districts`: codes of the rows granted, empty for all; `mask_level`:
        `standard` or anything else for strict. Raises ColumnNotGranted 403, RecordNotFound 404, PageExpired
        409, BadPageToken 400, TooSlow 504, NotPublished 503; asyncpg errors and OSError when the database
        is lost.
        """
        shape = _shape(api, call, columns, scoped=bool(districts), strict=mask_level != STANDARD)
        if call.after is not None and call.after.sort != shape.sort:
            raise bad_token()
        for _ in range(ATTEMPTS):
            served = self._served(api, shape)
            if call.after is not None and call.after.version != served.version:
                raise page_expired(call.after.version, served.version)
            try:
                return await self._answer(api, call, shape, districts, served.version)
            except asyncpg.UndefinedTableError:  # dropped after five newer versions: learn the newest
                await self._versions.look()
        raise NotPublished(
            "数据正在频繁更新", "the data is being published again and again", mend_zh="稍后重试"
        )

    def _served(self, api: CompiledApi, shape: Shape) -> Served:
        served = self._versions.get(api.dataset)
        if served is None:
            raise NotPublished("数据尚未发布", "the dataset is not published yet", mend_zh="稍后重试")
        keys = (name for group in api.record_keys for name in group)
        needed = (
            *shape.columns,
            *shape.sort,
            *keys,
            *(p.column for p in api.params if p.name in shape.given),
        )
        if not all(served.fits(api.fields[name]) for name in needed):
            log.error("published table does not fit the API", api=api.name, version=served.version)
            raise NotPublished(
                "数据按旧的标准发布，等待重新发布",
                "the data was published under an older contract and has to be published again",
            )
        return served

    async def _answer(
        self, api: CompiledApi, call: Call, shape: Shape, districts: Sequence[str], version: int
    ) -> Answer:
        arguments = _arguments(api, call, shape, districts)
        row = await self._fetch(self._statement(api, shape, version), arguments)
        if api.kind == "one":
            if row is None:
                raise RecordNotFound("没有符合条件的记录", "no record matches, or it is outside the grant")
            return Answer(b'{"data":%b,"version":%d}' % (row[0], version), version, _records(api, row[1:]))
        if row is None:  # an aggregate always gives one row
            raise NotPublished("查询无结果", "the query gave nothing")
        records, more, last, *keys = row
        following = b"null"
        if more:
            position = Position(version, shape.sort, last)
            following = b'"%b"' % make_token(self._ring, question_of(api, call), position).encode()
        body = b'{"data":%b,"next":%b,"version":%d}' % (records, following, version)
        return Answer(body, version, _records(api, keys[0] or () if keys else ()))

    async def _fetch(self, statement: str, arguments: list[Any]) -> asyncpg.Record | None:
        if self._pool is None:
            raise RuntimeError("the engine is not started")
        try:
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                return await _row(connection, statement, arguments)
        except asyncpg.QueryCanceledError:
            raise TooSlow(
                "查询超过时限",
                "the query ran into its time limit",
                mend_zh="缩小查询范围",
                mend_en="narrow it",
            ) from None


async def _row(connection: Any, statement: str, arguments: list[Any]) -> asyncpg.Record | None:
    try:
        row: asyncpg.Record | None = await connection.fetchrow(statement, *arguments)
        return row
    except asyncpg.InternalClientError as error:
        # The server ended an idle connection and the driver is still reading why: it is lost, not misused.
        connection.terminate()
        raise asyncpg.InterfaceError("the connection was ended by the server") from error


def _records(api: CompiledApi, keys: Iterable[str]) -> tuple[bytes, ...]:
    """What stands for the answered records, each once; a key without a value counts as empty."""
    names = tuple(dict.fromkeys(name for group in api.record_keys for name in group))
    found: dict[bytes, None] = {}
    for key in keys:
        texts = (text or "" for text in orjson.loads(key))
        found.update(dict.fromkeys(records_of(api, dict(zip(names, texts, strict=True)))))
    return tuple(found)


def _statement(api: CompiledApi, shape: Shape, version: int) -> str:
    return (one_statement if api.kind == "one" else list_statement)(api, shape, version)


def _shape(api: CompiledApi, call: Call, columns: Sequence[str], *, scoped: bool, strict: bool) -> Shape:
    granted = frozenset(columns)
    shown = tuple(name for name in api.columns if name in granted)
    if not shown:
        raise ColumnNotGranted("没有可返回的字段", "none of the API's columns is granted", where="grant")
    given = tuple(param.name for param in api.params if param.name in call.values)
    for param in api.params:
        if param.name not in call.values:
            continue
        if param.column not in granted or (strict and api.fields[param.column].strict is not None):
            raise ColumnNotGranted(
                f"授权不含参数 {param.name} 对应的字段，不能按它查询",
                f"the column behind {param.name} is not granted, so it cannot be searched by",
                mend_zh="去掉该参数，或重新申请",
                mend_en="leave the parameter out, or apply anew",
                where=f"query.{param.name}",
            )
    sort = usable_sort(api, shown, strict=strict) if api.kind == "list" else ()
    return Shape(shown, sort, given, scoped, call.after is not None, strict)


def _arguments(api: CompiledApi, call: Call, shape: Shape, districts: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for param in api.params:
        if param.name not in call.values:
            continue
        value = call.values[param.name]
        prefix = param.op == "prefix" and isinstance(value, str)
        found.append(like_prefix(str(value)) if prefix else value)
    if shape.scoped:
        found.append(list(districts))
    if api.kind == "list":
        if call.after is not None:
            found.append(call.after.number)
        found.append(call.limit)
    return found
