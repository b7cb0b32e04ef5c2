"""Delivered values for whoever must mend them: read from the sealed delivery at that moment, and never without a trace.

Shown are only the cells a finding is about. What stands beside it (the name behind an unknown key) is masked for a
steward where its level is 3 or above; the contact who delivered it sees what they delivered.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import polars as pl
from edulake.common.bus import announce
from edulake.common.events import AccessValuesOpened, RawBatchLanded
from edulake.common.identity import Subject
from edulake.common.lake import Lake
from edulake.common.mask import transform
from edulake.common.service import Resources
from edulake.common.standards import Contract
from edulake.common.standards.headers import labels, recognise
from edulake.governance.batch import repository
from edulake.governance.batch.schemas import OpenedValue, ValuesIn
from edulake.governance.batch.service import reasons_at
from edulake.governance.models import Run
from edulake.governance.run.inputs import parts_of
from edulake.governance.steps.context import META
from sqlalchemy.ext.asyncio import AsyncSession

SHOWN_CHARS = 500


@dataclass(frozen=True)
class _Place:
    """A finding: a row (None: the whole delivery), the rule it broke, and the field it was found in."""

    row: int | None
    rule_id: str
    field: str


async def open_values(
    resources: Resources,
    session: AsyncSession,
    run: Run,
    subject: Subject,
    wanted: ValuesIn,
    *,
    is_whole: bool,
) -> list[OpenedValue]:
    """The delivered cells of findings, or of held-back rows; announced in `session` before anybody sees them.

    `is_whole`: what stands beside an offending cell is shown as it was delivered, too.
    """
    lake: Lake = resources.extra["lake"]
    places = [
        _Place(f.row_no, f.rule_id, f.field or "")
        for f in await repository.named(session, run, wanted.findings)
    ]
    index = await repository.quarantine(session, run.batch_id)
    if wanted.rows and index is not None:
        held = await reasons_at(resources, lake, index, wanted.rows)
        places += [_Place(row.row_no, why.rule_id, why.field or "") for row in held for why in row.reasons]
    contract = resources.standards.datasets.get(run.dataset)
    if contract is None or not places:
        return []
    found = await _read(resources, lake, run, contract, places)
    if found:
        rows = sorted({one.row_no for one in found if one.row_no is not None})
        fields = sorted({one.field for one in found})
        known = {field.name: field.level for field in contract.fields}
        facts = {
            "batch_id": run.batch_id,
            "dataset": run.dataset,
            "source_id": run.source_id,
            "by": subject.id,
        }
        level = max(known.get(field, 1) for field in fields)
        await announce(session, AccessValuesOpened(**facts, rows=rows, fields=fields, level=level))
    return found if is_whole else [_masked(one, contract) for one in found]


async def _read(
    resources: Resources, lake: Lake, run: Run, contract: Contract, places: Sequence[_Place]
) -> list[OpenedValue]:
    landed = RawBatchLanded.model_validate(run.landed)
    zone, dataset, digest, name = parts_of(landed.object)
    rows = sorted({place.row for place in places if place.row is not None})
    async with lake.open_raw(dataset, digest, name, resources.keys.ring("seal"), zone=zone) as file:
        frame = await asyncio.to_thread(_rows_of, file, rows)
    headers = [header for header in frame.columns if header not in META]
    fed, _ = recognise(headers, contract, landed.mapping)
    others = [one for one in resources.standards.datasets.values() if one.name != contract.name]
    called = {label: header for header, label in labels(headers, [*others, contract], landed.mapping).items()}
    cells = {row["_row"]: row for row in frame.iter_rows(named=True)}
    found: dict[tuple[int | None, str, str], OpenedValue] = {}
    for place in places:
        if place.row is None:
            told = {place.field: called[place.field]} if place.field in called else {}
        else:
            told = _told(place, contract, fed, cells.get(place.row, {}))
        for field, value in told.items():
            one = OpenedValue(row_no=place.row, rule_id=place.rule_id, field=field, value=value[:SHOWN_CHARS],
                              is_beside=field != place.field)  # fmt: skip
            found.setdefault((place.row, place.rule_id, field), one)
    return list(found.values())


def _rows_of(file: IO[Any], rows: Sequence[int]) -> pl.DataFrame:
    return pl.scan_parquet(file).filter(pl.col("_row").is_in(list(rows))).collect()


def _told(
    place: _Place, contract: Contract, fed: dict[str, list[str]], cells: dict[str, Any]
) -> dict[str, str]:
    """field → delivered text, for the fields a finding is about that were delivered in this row."""
    given = {
        field: [cells[header] for header in fed.get(field, ()) if cells.get(header)]
        for field in fields_of(contract, place.rule_id, place.field)
    }
    return {field: " / ".join(texts) for field, texts in given.items() if texts}


def fields_of(contract: Contract, rule_id: str, field: str) -> list[str]:
    """The field of a finding, and those its value is made of: a link's name and code, what a key is derived from."""
    beside = [rule.with_field for rule in contract.rules if rule.id == rule_id]
    beside += [part for link in contract.links if link.field == field for part in (link.name, link.code)]
    beside += [part for derived in contract.derive if derived.field == field for part in derived.inputs]
    return list(dict.fromkeys([field, *(name for name in beside if name)]))


def _masked(one: OpenedValue, contract: Contract) -> OpenedValue:
    field = next((each for each in contract.fields if each.name == one.field), None)
    if field is None or field.level < 3 or not one.is_beside:
        return one
    share = "hide" if field.protect.share == "drop" else field.protect.share
    return one.model_copy(update={"value": transform(share)(one.value)})
