"""Real deliveries for the tests: a registered source, files of schools, and a worker that governs them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from edulake.governance.pipeline import run as run_pipeline
from edulake.governance.run.loop import Worker

from .world import Person, World

SOURCE = {
    "id": "roster-b",
    "title": "第三方名册",
    "organisation": "示范区教育局",
    "contact": "person:wu-contact",
    "authority": 10,
    "datasets": ["school_base", "student_base"],
}
HEAD = "学校代码,学校名称,所属区,学段,办别\n"
GOOD = [f"99{n:04},示范第{n}初级中学,310115,初中,公办\n" for n in range(1, 8)]
#: One of eight rows names a district nobody knows.
ONE_BAD = (HEAD + "".join(GOOD) + "990099,示范第九初级中学,东湖区,初中,公办\n").encode()
WRONG_HEADER = "甲,乙\n1,2\n".encode()
Signed = Callable[..., dict[str, str]]


async def register_source(world: World, as_subject: Signed, **over: Any) -> None:
    steward = as_subject("steward", id="person:li-steward", audience="ingest")
    ingest = world.settings.service_url("ingest")
    made = await world.call("POST", f"{ingest}/api/ingest/sources", {**SOURCE, **over}, steward)
    assert made.status_code in (200, 201), made.text  # 200: `fail_rule` knew it already


async def send_file(
    person: Person,
    content: bytes,
    name: str = "schools.csv",
    headers: dict[str, str] | None = None,
    **over: Any,
) -> Any:
    """The deliver form as the page offers it, sent with a file."""
    page = await person.read("/batches/deliver")
    token = page.partition('name="csrf" value="')[2].partition('"')[0]
    data = {"csrf": token, "target": "roster-b/school_base", "period": "2026", **over}
    files = {"file": (name, content, "text/csv")}
    return await person._send(
        person.http, "POST", "/batches/deliver", data=data, files=files, headers=headers or {}
    )


@asynccontextmanager
async def working(world: World) -> AsyncIterator[None]:
    """A governance worker runs for the length of the block."""
    resources, stop = world.resources_of("governance"), asyncio.Event()
    task = asyncio.create_task(Worker(resources, resources.settings, run_pipeline).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def when(person: Person, path: str, words: str, longest_s: float = 60) -> str:
    """The page as soon as it says `words`."""
    async with asyncio.timeout(longest_s):
        while words not in (text := await person.read(path)):
            await asyncio.sleep(0.1)
    return text
