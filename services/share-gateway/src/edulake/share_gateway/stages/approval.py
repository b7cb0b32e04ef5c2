"""What the caller was granted: a valid grant for this API, from this address, at this level, now."""

import time

from edulake.share_gateway.exchange import Exchange
from edulake.share_gateway.grant.access import Access
from edulake.share_gateway.problems import NoGrant


def approval(x: Exchange) -> None:
    """Set `x.access` to the grant that opens this call, or refuse (403) saying what is missing."""
    grants = x.plane.access.grants_of(x.principal.client_id, x.api.name)
    now_s = time.time()
    found = [grant for grant in grants if grant.is_open(now_s)]
    if not found:
        raise _refuse("没有生效中的授权", "there is no grant in force", "提交共享申请")
    found = [grant for grant in found if grant.admits(x.client_ip)]
    if not found:
        raise _refuse("来源地址不在授权范围", "the grant does not admit this address", "从登记的地址调用")
    found = [grant for grant in found if _covers(grant, x)]
    if not found:
        raise _refuse(
            "授权不含该接口的级别或字段", "the grant covers neither the level nor a column", "重新申请"
        )
    x.access = found[0]


def _covers(grant: Access, x: Exchange) -> bool:
    api = x.api
    return grant.level >= api.level and grant.dataset == api.dataset and bool(grant.columns_of(api.columns))


def _refuse(chinese: str, english: str, mend: str) -> NoGrant:
    return NoGrant(chinese, english, mend_zh=mend, mend_en="apply in the catalogue", where="grant")
