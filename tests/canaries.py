"""Made-up people planted in every column of every dataset, and a search of every place where they could come to light.

Nobody here exists: identity numbers carry the unassigned area 310199, telephone numbers begin with 100.
"""

import asyncio
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import polars as pl
from edulake.cli.synthetic import identity_number, schools
from edulake.common.standards import Contract, Standards

_serial = count(1)
#: Kinds a person writes and no program can tell from a school or a place.
BARE: dict[str, Callable[[int], str]] = {
    "name": lambda n: f"金雀{chr(0x9A80 + n)}",
    "street": lambda n: f"金雀花路{9000 + n}弄8号501室",
}
#: Kinds a detector tells wherever they stand.
TOLD: dict[str, Callable[[int], str]] = {
    "identity number": lambda n: identity_number("20120517", n),
    "old identity number": lambda n: f"310199880305{n:03d}",
    "phone": lambda n: f"10000077{n:03d}",
    "e-mail": lambda n: f"canary{n}@example.invalid",
    "student number": lambda n: "G" + identity_number("20120518", n),
    "temporary student number": lambda n: f"J31019920120519{n:04d}",
}


@dataclass(frozen=True)
class Canary:
    """`text` was planted as a value of `kind` in one column (or the header, or the file name) of a dataset."""

    text: str
    kind: str
    dataset: str
    place: str


@dataclass
class Aviary:
    """All that was planted."""

    planted: list[Canary] = field(default_factory=list)

    def plant(self, kind: str, dataset: str, place: str) -> str:
        text = {**BARE, **TOLD}[kind](next(_serial))
        self.planted.append(Canary(text, kind, dataset, place))
        return text

    def found_in(self, content: str) -> Iterator[Canary]:
        """The canaries a text holds, plain, escaped as JSON or as in an address."""
        if any(song in content for song in ("金雀", "\\u91d1\\u96c0", quote("金雀"))) or any(
            mark in content for mark in ("310199", "10000077", "canary")
        ):
            for one in self.planted:
                spelt = (one.text, json.dumps(one.text)[1:-1], quote(one.text))
                if any(spelling in content for spelling in spelt):
                    yield one


def headers_of(contract: Contract) -> dict[str, str]:
    """field → a header under which it is delivered, for every field of the contract."""
    return {each.name: (each.aliases[0] if each.aliases else each.name) for each in contract.fields}


def good_row(dataset: str, number: int) -> dict[str, str]:
    """field → cell of a row that is accepted as it is; each number is another record."""
    city = schools()
    juniors = [school for school in city if school.stage == "初中"]
    seniors = [school for school in city if school.stage == "高中"]
    junior, senior = juniors[number % len(juniors)], seniors[number // len(juniors) % len(seniors)]
    rows = {
        "school_base": {
            "school_code": f"{880000 + number}",
            "school_name": f"上海市黄浦丝雀{chr(0x4E00 + number)}初级中学",
            "district_code": "黄浦区",
            "stage": "初中",
        },
        "senior_quota": {
            "year": "2024",
            "junior_school_code": junior.code,
            "junior_school_name": junior.name,
            "senior_school_code": senior.code,
            "senior_school_name": senior.name,
            "planned_seats": "3",
        },
        "student_base": {
            "student_name": "赵乙",
            "identity_number": identity_number("20120601", number),
            "school_code": junior.code,
            "school_name": junior.name,
            "district_code": junior.district,
            "grade": "7",
            "enrolment_status": "在读",
        },
    }
    return rows[dataset]


def as_csv(contract: Contract, rows: Iterable[dict[str, str]], more: Iterable[str] = ()) -> bytes:
    """Rows under all headers of the contract; `more`: headers nobody knows, over empty columns."""
    headers, text = headers_of(contract), io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*headers.values(), *more])
    for row in rows:
        writer.writerow([*(row.get(name, "") for name in headers), *("" for _ in more)])
    return text.getvalue().encode()


@dataclass(frozen=True)
class Hit:
    where: str
    canary: Canary


def in_files(aviary: Aviary, folders: Iterable[Path]) -> Iterator[Hit]:
    """What plain reading of every file finds; of a parquet file, what its columns hold."""
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".parquet":
            yield from _in_frame(aviary, path)
            continue
        raw = path.read_bytes()
        for encoding in ("utf-8", "gb18030"):
            for one in aviary.found_in(raw.decode(encoding, "replace")):
                yield Hit(f"file {path.name} of {path.parent.name}", one)


def _in_frame(aviary: Aviary, path: Path) -> Iterator[Hit]:
    frame = pl.read_parquet(path)
    for name in frame.columns:
        for one in aviary.found_in("\n".join(map(str, frame[name].unique().to_list()))):
            yield Hit(f"lake {path.parent} {name}", one)


def ask(admin_url: str, question: str) -> Any:
    """One value from the suite's database, read as its operator."""

    async def run() -> Any:
        connection = await asyncpg.connect(admin_url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(run())


def in_tables(aviary: Aviary, admin_url: str) -> list[Hit]:
    """What the rows of every table of every schema hold, column by column."""
    return asyncio.run(_in_tables(aviary, admin_url))


async def _in_tables(aviary: Aviary, admin_url: str) -> list[Hit]:
    connection = await asyncpg.connect(admin_url)
    try:
        columns = await connection.fetch(
            "SELECT c.table_schema s, c.table_name t, c.column_name c FROM information_schema.columns c "
            "JOIN information_schema.tables USING (table_schema, table_name) WHERE table_type = 'BASE TABLE' "
            "AND c.table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        hits = []
        for s, t, c in columns:
            rows = await connection.fetch(f'SELECT DISTINCT "{c}"::text v FROM "{s}"."{t}"')
            content = "\n".join(row["v"] or "" for row in rows)
            hits += [Hit(f"table {s}.{t}.{c}", one) for one in aviary.found_in(content)]
        return hits
    finally:
        await connection.close()


def sources_for(standards: Standards, contact: str) -> Iterator[dict[str, object]]:
    for name in standards.datasets:
        yield {
            "id": f"canary-{name.replace('_', '-')}",
            "title": "试验来源",
            "organisation": "示例市试验单位",
            "contact": contact,
            "datasets": [name],
        }


def places(hits: Iterable[Hit]) -> list[str]:
    """Where, how many and of which kinds, for the message of a failed test; never the text itself."""
    found: dict[str, list[Canary]] = {}
    for hit in hits:
        where = re.sub(
            r"[0-9a-f]{8}-[0-9a-f-]{27}|/tmp/\S+?/lake|part-\S+|[0-9a-f]{16,}|\d{6,}", "…", hit.where
        )
        found.setdefault(where, []).append(hit.canary)
    return sorted(
        f"{where}: {len(known)} ({', '.join(sorted({one.kind for one in known}))}; "
        f"{', '.join(sorted({f'{one.dataset}.{one.place}' for one in known})[:6])})"
        for where, known in found.items()
    )
