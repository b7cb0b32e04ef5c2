"""Readers while versions are swapped: never an empty table, half a table, or an error."""

import asyncio
from typing import Any

import orjson
import pytest
from edulake.common.gm import KeyRing
from edulake.common.standards import Standards
from edulake.share_gateway.engine.execute import Engine

ROWS = 300
PUBLICATIONS = 20


@pytest.fixture
async def engine(database_url: str, standards: Standards, resources: Any) -> Any:
    found = Engine(
        reader_dsn=database_url.replace("{role}", "edulake_reader"),
        apis=standards.apis,
        contracts=standards.datasets,
        codes=standards.codes,
        page_ring=KeyRing.of(p1=b"p" * 32),
        pool_size=3,
        poll_ms=100,
    )
    await found.start()
    yield found
    await found.close()


class TestTwentyPublications:
    async def test_a_reader_sees_whole_versions_only(
        self, govern: Any, queue: Any, loop: Any, engine: Engine, reader: Any, make_school: Any
    ) -> None:
        """Every version has the same number of rows, all stamped with its number: a mixture would show."""

        def rows(stamp: int) -> list[dict[str, Any]]:
            return [make_school(n, school_name=f"第{stamp}版") for n in range(1, ROWS + 1)]

        await queue(await govern("b0", rows(1)))
        await loop.run_once()
        await engine.versions.look()
        api = engine.route("schools")
        assert api is not None
        done = asyncio.Event()
        seen: list[tuple[int, int]] = []

        async def through_the_engine() -> None:
            call = engine.validate(api, b"limit=100")
            while not done.is_set():
                answer = orjson.loads((await engine.execute(api, call, api.columns, (), "standard"))[0])
                names = {row["school_name"] for row in answer["data"]}
                assert len(answer["data"]) == 100
                assert names == {f"第{answer['version']}版"}
                seen.append((answer["version"], len(seen)))

        async def through_the_view() -> None:
            while not done.is_set():
                row = await reader.fetchrow(
                    "SELECT count(*) n, count(DISTINCT school_name) v FROM published.school_base"
                )
                assert tuple(row) == (ROWS, 1)

        async def publish_them() -> None:
            for number in range(2, PUBLICATIONS + 2):
                await queue(await govern(f"b{number}", rows(number)))
                assert await loop.run_once()
            done.set()

        readers = [asyncio.create_task(through_the_engine()) for _ in range(2)]
        readers.append(asyncio.create_task(through_the_view()))
        publishing = asyncio.create_task(publish_them())
        await asyncio.wait([publishing, *readers], return_when=asyncio.FIRST_EXCEPTION)
        done.set()
        await asyncio.gather(publishing, *readers)
        assert len({version for version, _ in seen}) > 5
        assert len(seen) > PUBLICATIONS

    async def test_an_engine_that_noticed_nothing_answers_all_the_same(
        self, govern: Any, queue: Any, loop: Any, engine: Engine, make_school: Any
    ) -> None:
        """Its version was dropped long ago; the call finds out, looks, and answers from the newest."""
        for number in range(1, 9):
            await queue(await govern(f"b{number}", [make_school(number)]))
            await loop.run_once()
            if number == 1:
                await engine.versions.look()
                known = engine.versions._known
        api = engine.route("schools")
        assert api is not None
        for _ in range(5):
            engine.versions._known = known
            body, *_ = await engine.execute(api, engine.validate(api, b""), api.columns, (), "standard")
            assert b'"version":8}' in body
