"""What is published and how it is called: `/api/gateway/apis`, `/publications`, `/openapi`."""

from collections.abc import Sequence
from typing import Annotated, Any

from edulake.common.db import ReadSession, Session
from edulake.common.errors import NotFound
from edulake.common.identity import Subject
from edulake.common.policy import Decides, allow
from edulake.common.service import Res
from edulake.common.standards import ApiDefinition, Standards
from edulake.share_gateway.problems import UnknownApi
from edulake.share_gateway.publication import decisions, repository
from edulake.share_gateway.publication.openapi import openapi_of, path_of
from edulake.share_gateway.publication.schemas import (
    Publication,
    Release,
    Rollback,
    ShownApi,
    ShownColumn,
    ShownDataset,
    ShownJob,
    ShownParameter,
    ShownVersion,
)
from fastapi import APIRouter

router = APIRouter(prefix="/api/gateway", tags=["publication"])
API = [allow("api", "read")]
MayRetry = Annotated[Subject, allow("publication", "retry")]
MayRollBack = Annotated[Subject, allow("publication", "roll_back")]
MayRelease = Annotated[Subject, allow("publication", "release")]


@router.get("/apis", summary="共享接口清单", dependencies=API)
async def list_apis(session: ReadSession, resources: Res) -> list[ShownApi]:
    """Every shared API with its parameters and columns, and the data version it answers from now."""
    current = {found.dataset: found for found in await repository.kept(session) if found.is_current}
    standards = resources.standards
    return [_shown_api(api, standards, current.get(api.dataset)) for api in standards.apis.values()]


@router.get("/apis/{name}", summary="一个共享接口", dependencies=API)
async def get_api(name: str, session: ReadSession, resources: Res) -> ShownApi:
    api = _api(resources.standards, name)
    kept = await repository.kept(session, api.dataset)
    return _shown_api(api, resources.standards, next((p for p in kept if p.is_current), None))


@router.get("/openapi/{name}.json", summary="接口的 OpenAPI 3.1 文档", dependencies=API)
async def get_openapi(name: str, resources: Res) -> dict[str, Any]:
    api = _api(resources.standards, name)
    return openapi_of(api, resources.standards.datasets[api.dataset], resources.settings.issuer)


@router.get(
    "/publications", summary="已发布的数据集与可回退版本", dependencies=[allow("publication", "read")]
)
async def list_publications(session: ReadSession, resources: Res) -> list[ShownDataset]:
    """Every dataset with the versions kept, and how far its newest governed version has come."""
    kept, jobs = await repository.kept(session), await repository.last_jobs(session)
    by_dataset: dict[str, list[Publication]] = {name: [] for name in jobs}
    for found in kept:
        by_dataset.setdefault(found.dataset, []).append(found)
    return [
        ShownDataset(
            dataset=name,
            title=_title(resources.standards, name),
            current=next((found.version for found in versions if found.is_current), None),
            versions=_shown_versions(versions),
            job=ShownJob.model_validate(jobs[name].model_dump()) if name in jobs else None,
        )
        for name, versions in sorted(by_dataset.items())
    ]


@router.post("/publications/{dataset}/rollback", summary="回退到较早的已发布版本")
async def roll_back(
    dataset: str,
    wanted: Rollback,
    subject: MayRollBack,
    session: Session,
    resources: Res,
    deciding: Decides,
) -> ShownVersion:
    """Serve an earlier version again and announce it; governance restores it too. 403 for a dataset not in the
    caller's care; 404 unknown; 409 served already, no longer kept, not protected as the contract declares now, with
    rows that were taken back since, or with far less data and without `agreed_rows`."""
    contract = resources.standards.datasets.get(dataset)
    absent = NotFound("没有这个数据集", "there is no such dataset", where="dataset")
    if contract is None:
        raise absent
    facts = deciding.facts(dataset)
    await deciding.check(subject, "publication", "roll_back", facts, absent=absent)
    current = await decisions.rollback(session, contract, wanted.version, subject.id, wanted.agreed_rows)
    return ShownVersion.model_validate(current.model_dump())


@router.post("/publications/{dataset}/release", status_code=202, summary="放行因数据减少而暂缓的发布")
async def release(
    dataset: str,
    wanted: Release,
    subject: MayRelease,
    session: Session,
    resources: Res,
    deciding: Decides,
) -> ShownJob:
    """Publish what is held with what it lacks; 403 for a dataset not in the caller's care; 404 unknown dataset; 409
    nothing, or another version, is held."""
    absent = NotFound("没有这个数据集", "there is no such dataset", where="dataset")
    if dataset not in resources.standards.datasets:
        raise absent
    await deciding.check(subject, "publication", "release", deciding.facts(dataset), absent=absent)
    job = await decisions.release(session, dataset, wanted, subject.id)
    return ShownJob.model_validate(job.model_dump())


@router.post("/publications/{dataset}/retry", status_code=202, summary="重新尝试受阻或失败的发布")
async def retry(dataset: str, subject: MayRetry, session: Session, resources: Res) -> list[ShownJob]:
    """Try again what was blocked or given up, once its cause is mended; 404 unknown, 409 nothing to try."""
    if dataset not in await repository.last_jobs(session):
        raise NotFound(
            "没有该数据集的发布", "nothing of that dataset was ever to be published", where="dataset"
        )
    jobs = await decisions.retry(session, dataset, subject.id)
    return [ShownJob.model_validate(job.model_dump()) for job in jobs]


def _api(standards: Standards, name: str) -> ApiDefinition:
    api = standards.apis.get(name)
    if api is None:
        raise UnknownApi("没有这个接口", "there is no API of that name", where="name")
    return api


def _shown_versions(versions: Sequence[Publication]) -> list[ShownVersion]:
    """Newest first, each with the rows of the kept one before it."""
    before = [*(found.row_count for found in versions[1:]), None]
    return [
        ShownVersion(**found.model_dump(include=set(ShownVersion.model_fields)), row_count_before=rows)
        for found, rows in zip(versions, before, strict=bool(versions))
    ]


def _title(standards: Standards, dataset: str) -> str:
    contract = standards.datasets.get(dataset)
    return contract.title if contract else dataset


def _shown_api(api: ApiDefinition, standards: Standards, current: Publication | None) -> ShownApi:
    contract = standards.datasets[api.dataset]
    fields = [contract.field(name) for name in api.columns]
    return ShownApi(
        **api.model_dump(
            include={
                "name",
                "title",
                "title_en",
                "summary",
                "version",
                "dataset",
                "level",
                "kind",
                "cache_s",
                "order_by",
                "sample_request",
                "sample_response",
            }
        ),
        path=path_of(api),
        dataset_title=contract.title,
        parameters=[ShownParameter.model_validate(p.model_dump()) for p in api.parameters],
        columns=[
            ShownColumn(
                name=f.name,
                title=f.title,
                title_en=f.title_en,
                type=f.served_type,
                level=f.level,
                description=f.description,
            )
            for f in fields
        ],
        page_default=api.page.default,
        page_max=api.page.max,
        data_version=current.version if current else None,
        updated_at=current.current_since if current else None,
        row_count=current.row_count if current else None,
    )
