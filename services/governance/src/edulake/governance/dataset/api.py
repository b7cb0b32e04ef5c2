"""Governed datasets: contracts, versions, restoring, templates, confirmed names."""

from typing import Annotated

from edulake.common.db import ReadSession, Session
from edulake.common.identity import Subject
from edulake.common.paging import Cursor, Limit, Page, decode_cursor, page_of
from edulake.common.policy import Decides, allow
from edulake.common.service import Res
from edulake.governance.dataset import repository, service
from edulake.governance.dataset.schemas import (
    AliasIn,
    AliasOut,
    ContractOut,
    DatasetOut,
    RestoreIn,
    VersionOut,
)
from edulake.governance.run import repository as runs
from edulake.governance.run.inputs import ZONE
from fastapi import APIRouter
from fastapi.responses import Response

router = APIRouter(prefix="/api/governance/datasets", tags=["datasets"])


class CsvResponse(Response):
    """Comma-separated text; the document of an operation then says so."""

    media_type = "text/csv"


READS = [allow("dataset", "read")]
Restorer = Annotated[Subject, allow("dataset", "restore")]
Confirmer = Annotated[Subject, allow("dataset.names", "change")]


@router.get("", summary="数据集列表", dependencies=READS)
async def list_datasets(session: ReadSession, resources: Res) -> list[DatasetOut]:
    """All datasets of the standards; their number is that of the contracts, so there are no pages."""
    newest = {note.dataset: note for note in await repository.newest_notes(session)}
    received = await runs.last_received(session)
    contracts = sorted(resources.standards.datasets.values(), key=lambda contract: contract.name)
    return [DatasetOut.of(each, newest.get(each.name), received.get(each.name)) for each in contracts]


@router.get("/{dataset}", summary="数据集标准", dependencies=READS)
async def get_dataset(dataset: str, session: ReadSession, resources: Res) -> ContractOut:
    contract = service.contract_of(resources.standards, dataset)
    notes = await repository.notes(session, dataset, None, 1)
    received = await runs.last_received(session)
    newest = DatasetOut.of(contract, notes[0] if notes else None, received.get(dataset))
    return ContractOut(newest=newest, contract=contract.model_dump(mode="json", by_alias=True))


@router.get("/{dataset}/versions", summary="治理版本", dependencies=READS)
async def list_versions(
    dataset: str,
    session: ReadSession,
    resources: Res,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[VersionOut]:
    service.contract_of(resources.standards, dataset)
    key = resources.settings.internal_key
    before = decode_cursor(cursor, key, int)[0] if cursor else None
    notes = await repository.notes(session, dataset, before, limit + 1)
    page = page_of(notes, limit, lambda note: [note.version], key)
    versions = [note.version for note in page.items]
    usable = await resources.extra["lake"].in_use(session, ZONE, dataset, versions)
    before = await repository.rows_before(session, dataset)
    items = [
        VersionOut.model_validate(note).model_copy(
            update={"is_restorable": note.version in usable, "row_count_before": before.get(note.version)}
        )
        for note in page.items
    ]
    return Page(items=items, next=page.next)


@router.post("/{dataset}/restore", summary="恢复到某个治理版本，随后即发布它")
async def restore(
    dataset: str, wanted: RestoreIn, by: Restorer, session: Session, resources: Res, deciding: Decides
) -> VersionOut:
    """409 with the figures when it loses more rows than the contract lets go, unless the request repeats them."""
    contract = service.contract_of(resources.standards, dataset)
    await deciding.check(by, "dataset", "restore", deciding.facts(dataset), absent=service.absent())
    lake = resources.extra["lake"]
    return VersionOut.model_validate(
        await service.restore(session, lake, contract, wanted.version, by.id, wanted.agreed_rows)
    )


@router.get("/{dataset}/template.csv", response_class=CsvResponse, summary="空白报送模板", dependencies=READS)
async def template(dataset: str, resources: Res) -> Response:
    contract = service.contract_of(resources.standards, dataset)
    headers = {"Content-Disposition": f'attachment; filename="{dataset}.csv"'}
    return CsvResponse(service.template_of(contract), headers=headers)


@router.get("/{dataset}/aliases", summary="已确认的名称", dependencies=[allow("dataset.names", "read")])
async def list_aliases(dataset: str, session: ReadSession) -> list[AliasOut]:
    return [AliasOut.model_validate(alias) for alias in await repository.aliases(session, [dataset])]


@router.put("/{dataset}/aliases", status_code=204, summary="确认一个名称所指")
async def put_alias(dataset: str, wanted: AliasIn, by: Confirmer, session: Session, resources: Res) -> None:
    """From now on batches that refer to the dataset find `key` under this name; reprocess those before."""
    service.contract_of(resources.standards, dataset)
    await repository.put_alias(session, dataset, wanted.alias, wanted.key, by.id)
