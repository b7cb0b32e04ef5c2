"""Everything a run needs before it can think: the delivered rows, the references, the last profile."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta, timezone
from typing import IO, Any

import polars as pl
from edulake.common.clock import now
from edulake.common.errors import Unprocessable
from edulake.common.events import RawBatchLanded
from edulake.common.lake import Lake, Manifest, VersionNotFound
from edulake.common.service import Resources
from edulake.common.standards import Contract
from edulake.governance.dataset import repository as datasets
from edulake.governance.models import Run
from edulake.governance.quality import repository as reports
from edulake.governance.run import repository as runs
from edulake.governance.settings import GovernanceSettings
from edulake.governance.steps.context import Context, KeyRings, SourceFacts
from sqlalchemy.ext.asyncio import AsyncSession

ZONE = "governed"
CHINA = timezone(timedelta(hours=8))


class ReferencesMissing(Exception):
    """Datasets this batch refers to have no governed version yet, or deliveries before it are still open."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class BatchRefused(Unprocessable):
    """A batch that no further try can govern."""

    code, title_zh, title_en = "batch-refused", "批次无法治理", "The batch cannot be governed"


@dataclass(frozen=True)
class Inputs:
    """`delivered`: text rows with `_row`. `inherited`: reference dataset → version, None when it went without."""

    delivered: pl.DataFrame
    context: Context
    inherited: Mapping[str, int | None]


async def gather(resources: Resources, lake: Lake, run: Run, settings: GovernanceSettings) -> Inputs:
    """Read what the run needs. ReferencesMissing while it should wait; BatchRefused when it is hopeless."""
    landed = RawBatchLanded.model_validate(run.landed)
    contract = resources.standards.datasets.get(run.dataset)
    if contract is None:
        raise BatchRefused(
            f"没有数据集 {run.dataset} 的标准", f"there is no contract for the dataset {run.dataset}"
        )
    async with resources.database.read() as session:
        manifests = {r.dataset: await _newest(session, lake, r.dataset) for r in contract.references}
        aliases = await _aliases(session, list(manifests))
        profile = await reports.profile_before(session, run)
        awaited = await _awaited(session, run, manifests)
    _wait_for(run, awaited, settings)
    context = Context(
        contract=contract,
        standards=resources.standards,
        source=_source(landed),
        batch_id=run.batch_id,
        period=run.period,
        received_on=run.received_at.astimezone(CHINA).date(),
        rings=KeyRings(seal=resources.keys.ring("seal"), token=resources.keys.ring("token")),
        references=await _references(lake, contract, manifests),
        aliases=aliases,
        previous_profile=profile,
    )
    delivered = await _read_delivery(resources, lake, landed, settings)
    return Inputs(delivered, context, {name: m.version if m else None for name, m in manifests.items()})


async def _awaited(session: AsyncSession, run: Run, manifests: Mapping[str, Manifest | None]) -> list[str]:
    """References that do not exist, or to which a delivery that landed before this one is still to be added."""
    others = [name for name in manifests if name != run.dataset]
    behind = await runs.open_before(session, others, run.landed_no)
    return [name for name in others if manifests[name] is None or name in behind]


def _wait_for(run: Run, awaited: list[str], settings: GovernanceSettings) -> None:
    waited = now() - run.waiting_since if run.waiting_since else timedelta(0)
    if awaited and waited < timedelta(seconds=settings.reference_wait_s):
        raise ReferencesMissing(awaited)


async def _newest(session: AsyncSession, lake: Lake, dataset: str) -> Manifest | None:
    try:
        return await lake.manifest(session, ZONE, dataset)
    except VersionNotFound:
        return None


async def _references(
    lake: Lake, contract: Contract, manifests: Mapping[str, Manifest | None]
) -> dict[str, pl.DataFrame]:
    found = {r.alias: manifests[r.dataset] for r in contract.references}
    return {alias: await lake.read(manifest) for alias, manifest in found.items() if manifest}


async def _aliases(session: AsyncSession, references: list[str]) -> pl.DataFrame | None:
    rows = [(row.alias, row.key) for row in await datasets.aliases(session, references)]
    return pl.DataFrame(rows, schema={"alias": pl.String, "key": pl.String}, orient="row") if rows else None


async def _read_delivery(
    resources: Resources, lake: Lake, landed: RawBatchLanded, settings: GovernanceSettings
) -> pl.DataFrame:
    if landed.row_count > settings.run_rows_max:
        raise BatchRefused(
            f"批次有 {landed.row_count} 行，超过上限 {settings.run_rows_max} 行",
            f"the batch has {landed.row_count} rows, more than the {settings.run_rows_max} allowed",
            mend_zh="分批报送",
            mend_en="deliver it in parts",
        )
    zone, dataset, digest, name = parts_of(landed.object)
    async with lake.open_raw(dataset, digest, name, resources.keys.ring("seal"), zone=zone) as file:
        return await asyncio.to_thread(_parse, file)


def parts_of(path: str) -> tuple[str, str, str, str]:
    """Zone, dataset, digest and name of a sealed object's path."""
    zone, dataset, digest, name = path.split("/")
    return zone, dataset, digest, name


def _parse(file: IO[Any]) -> pl.DataFrame:
    return pl.read_parquet(file)


def _source(landed: RawBatchLanded) -> SourceFacts:
    return SourceFacts(
        id=landed.source_id,
        title=landed.source_title,
        authority=landed.authority,
        mapping=landed.mapping,
        defaults=landed.defaults,
        organisation=landed.organisation,
    )
