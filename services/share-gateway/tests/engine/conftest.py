"""Serving tables made by hand, and an engine over them."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
from edulake.common.gm import KeyRing
from edulake.common.standards import Standards
from edulake.share_gateway.engine.execute import Engine

Serve = Callable[..., Awaitable[int]]
Answer = Callable[..., Awaitable[dict[str, Any]]]
RING = KeyRing.of(p1=b"p" * 32)


def school(number: int, **over: Any) -> dict[str, Any]:
    """A school; every third one lies in district 310115."""
    row = {
        "school_key": f"S{number:016x}",
        "school_code": f"{990000 + number:06d}",
        "school_name": f"第{number}中学",
        "short_name": None if number % 4 else f"{number}中",
        "other_names": None,
        "district_code": "310115" if number % 3 == 0 else "310101",
        "stage": "3",
        "school_kind": None,
        "office": "11",
        "boarding": "NONE",
        "address": f"示例路{number}号",
        "estimated_pupils": 100 * number,
    }
    return {**row, **over}


def student(number: int, **over: Any) -> dict[str, Any]:
    """A student in the form the lake keeps after protection."""
    row = {
        "student_key": f"t1.k1.{number:040d}",
        "student_name": "张*",
        "sex": "1",
        "birth_date": "2009-05",
        "student_number": "G3101**********002X",
        "school_key": "S1",
        "school_code": "990001",
        "school_name": "第1中学",
        "district_code": "310115",
        "grade": "9",
        "enrolment_status": "01",
    }
    return {**row, **over}


@pytest.fixture
def make_school() -> Callable[..., dict[str, Any]]:
    return school


@pytest.fixture
def make_student() -> Callable[..., dict[str, Any]]:
    return student


@pytest.fixture
def serve(put_served: Callable[..., Awaitable[None]], standards: Standards) -> Serve:
    """`await serve("school_base", rows)` → the version they are served as from now on."""
    versions = itertools.count(1)

    async def make(dataset: str, rows: list[dict[str, Any]]) -> int:
        version = next(versions)
        await put_served(standards, dataset, rows, version)
        return version

    return make


@pytest.fixture
async def engine(database_url: str, standards: Standards) -> AsyncIterator[Engine]:
    """A started engine; it looks for versions only when told to, unless a test starts it anew."""
    found = Engine(
        reader_dsn=database_url.replace("{role}", "edulake_reader"),
        apis=standards.apis,
        contracts=standards.datasets,
        codes=standards.codes,
        page_ring=RING,
        pool_size=4,
        poll_ms=50,
    )
    await found.start()
    yield found
    await found.close()


@pytest.fixture
def ask(engine: Engine) -> Answer:
    """`await ask("schools", b"limit=2", columns=…, districts=…, mask_level=…)` → the answer, decoded."""

    async def call(
        name: str,
        query: bytes = b"",
        *,
        columns: tuple[str, ...] | None = None,
        districts: tuple[str, ...] = (),
        mask_level: str = "standard",
    ) -> dict[str, Any]:
        api = engine.route(name)
        assert api is not None
        await engine.versions.look()
        asked = engine.validate(api, query)
        body, version, _ = await engine.execute(
            api, asked, api.columns if columns is None else columns, districts, mask_level
        )
        answer: dict[str, Any] = orjson.loads(body)
        assert answer["version"] == version
        return answer

    return call
