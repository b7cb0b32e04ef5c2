"""What may be asked for, and for whom."""

from typing import cast
from urllib.parse import quote

import httpx
from edulake.catalog.application.schemas import ApplicationIn
from edulake.catalog.models import Resource
from edulake.catalog.resource.listing import is_callable
from edulake.catalog.resource.service import api_of
from edulake.catalog.settings import CatalogSettings
from edulake.common.errors import Forbidden, Unavailable, Unprocessable
from edulake.common.identity import InternalClient, Subject
from edulake.common.service import Resources


class NotCallable(Unprocessable):
    code, title_zh, title_en = "not-callable", "该资源不能申请调用", "This resource cannot be called"


def check(wanted: ApplicationIn, resource: Resource, resources: Resources) -> None:
    """Raises a problem that names the field when the resource cannot be granted as asked."""
    settings = cast(CatalogSettings, resources.settings)
    api = api_of(resource, resources.standards) if resource.kind == "api" else None
    if api is None or not is_callable(api.level, resource.share_type):
        raise NotCallable(
            f"{resource.title} 不是可调用的接口",
            f"{resource.id} is no callable API",
            mend_zh="在目录中选择类型为“接口”的资源",
            mend_en="choose a resource of kind `api`",
            where="body.resource_id",
        )
    if not wanted.promises:
        raise Unprocessable(
            "须承诺申请真实、使用合规、保障安全（上海市数据条例第三十九条）",
            "the three promises are required",
            where="body.promises",
        )
    unknown = sorted(set(wanted.columns) - set(api.columns))
    if unknown:
        raise Unprocessable(
            f"接口没有字段 {'、'.join(unknown)}",
            f"the API has no columns {unknown}",
            mend_zh=f"可选：{'、'.join(api.columns)}",
            mend_en="see `columns` of the resource",
            where="body.columns",
        )
    regions = resources.standards.codes["gbt2260"].by_code
    strange = [code for code in wanted.districts if code not in regions]
    if strange:
        raise Unprocessable(
            f"没有行政区划 {'、'.join(strange)}",
            f"no districts {', '.join(strange)}",
            mend_zh="使用 GB/T 2260 的六位代码",
            mend_en="use six-digit codes of GB/T 2260",
            where="body.districts",
        )
    if wanted.days > settings.grant_days_max:
        raise Unprocessable(
            f"有效期最长 {settings.grant_days_max} 天",
            f"at most {settings.grant_days_max} days",
            where="body.days",
        )


async def require_own_client(client_id: str, subject: Subject, resources: Resources) -> None:
    """A program applies for itself, a person for the apps it owns; auth is asked, and its silence refuses."""
    if subject.id == f"client:{client_id}":
        return
    auth = cast(InternalClient, resources.extra["internal"])
    try:
        path = f"/api/auth/clients/{quote(client_id, safe='')}"
        answer = await auth.request("GET", "auth", path, subject=subject)
    except httpx.HTTPError as error:
        raise _auth_silent() from error
    if answer.status_code >= 500:
        raise _auth_silent()
    if answer.status_code != 200 or answer.json().get("owner") != subject.id:
        raise Forbidden(
            f"应用 {client_id} 不属于您",
            f"client {client_id} is not yours",
            mend_zh="先在“我的应用”中登记",
            mend_en="register it under your apps first",
            where="body.client_id",
        )


def _auth_silent() -> Unavailable:
    return Unavailable(
        "身份服务暂时不可用", "auth does not answer", mend_zh="稍后重试", mend_en="retry shortly"
    )
