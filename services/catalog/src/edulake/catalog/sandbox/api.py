"""`/api/catalog/sandbox`: trying before applying. Nothing here reads a delivered row."""

from typing import Any

from edulake.catalog.resource.service import api_of, contract_of
from edulake.catalog.resource.service import get as get_resource
from edulake.catalog.sandbox.call import answer
from edulake.catalog.sandbox.rows import sample_rows
from edulake.common.db import ReadSession
from edulake.common.errors import NotFound
from edulake.common.policy import allow
from edulake.common.service import Res
from fastapi import APIRouter, Request

router = APIRouter(prefix="/api/catalog", tags=["sandbox"], dependencies=[allow("resource", "try")])


@router.get("/resources/{resource_id}/sample", summary="样例数据（虚构）")
async def sample(resource_id: str, session: ReadSession, resources: Res) -> list[dict[str, Any]]:
    """Made-up rows with the fields and the masks of the resource."""
    resource = await get_resource(session, resource_id)
    rows = sample_rows(contract_of(resource, resources.standards), resources.standards)
    api = api_of(resource, resources.standards) if resource.kind == "api" else None
    return [{name: row[name] for name in api.columns} for row in rows] if api else rows


@router.get("/sandbox/{api}", summary="沙箱调用：参数校验与正式接口相同，回答为虚构数据")
async def call(api: str, request: Request, resources: Res) -> dict[str, Any]:
    definition = resources.standards.apis.get(api)
    if definition is None:
        raise NotFound("没有这个接口", "there is no API of that name", where="path.api")
    return answer(definition, dict(request.query_params), resources.standards)
