"""`/api/gateway/audit`: who read what, and whether the chain holds. For audit administrators only."""

from typing import Annotated

from edulake.common.db import ReadSession
from edulake.common.paging import Page, decode_cursor, page_of
from edulake.common.policy import allow
from edulake.common.service import Res
from edulake.share_gateway.audit import repository, service
from edulake.share_gateway.audit.schemas import AuditQuestion, AuditRow, Verification
from edulake.share_gateway.engine.query import key_values, keys_named, record_of, records_of
from edulake.share_gateway.plane import Plane
from edulake.share_gateway.problems import UnknownApi
from fastapi import APIRouter, Query

router = APIRouter(prefix="/api/gateway/audit", tags=["audit"], dependencies=[allow("audit", "read")])


@router.get("", summary="访问审计记录")
async def list_audit(
    session: ReadSession, resources: Res, asked: Annotated[AuditQuestion, Query()]
) -> Page[AuditRow]:
    """Newest first. `question` with `api` finds every read of one record, by its key or through a list.

    A record that the question names by its key is found in the reads of every API over the same dataset.
    """
    key = resources.keys.ring("page").current.mac("audit-cursor").digest(b"")
    before = decode_cursor(asked.cursor, key, int)[0] if asked.cursor else 2**62
    plane: Plane = resources.extra["plane"]
    api, records = asked.api, None
    if asked.question:
        wanted, is_keyed = _sought(plane, asked.api, asked.question.encode())
        records = plane.tokens_to_find(wanted)
        api = None if is_keyed else api
    links = await repository.newest(
        session, client=asked.client, api=api, records=records, before=before, limit=asked.limit + 1
    )
    return page_of([AuditRow.of(link) for link in links], asked.limit, lambda row: [row.seq], key)


@router.get("/verify", summary="校验审计链")
async def verify_audit(resources: Res) -> Verification:
    """Walk the whole chain; names the first row that does not hold."""
    return Verification.of(await service.verify(resources.database, resources.keys.ring("audit")))


def _sought(plane: Plane, name: str | None, question: bytes) -> tuple[list[bytes], bool]:
    """What stands for the records that the question names, and whether it names them by their key.

    The question is the record's key (`teacher_key=…`) or a query of the API; one without a key finds the calls
    that asked the same.
    """
    api = plane.engine.route(name or "")
    if api is None:
        raise UnknownApi("没有这个接口", "question needs the name of an API", where="query.api")
    if (keys := key_values(api, question)) is not None:
        return records_of(api, keys), True
    call = plane.engine.validate(api, question)
    keyed = records_of(api, keys_named(api, call))
    return [record_of(api, call), *keyed], bool(keyed)
