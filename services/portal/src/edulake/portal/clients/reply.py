"""What a service answered: data, or a trouble that can be shown to a person."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

SERVICE_TITLES = {
    "auth": "身份服务",
    "catalog": "目录服务",
    "gateway": "共享网关",
    "governance": "治理服务",
    "ingest": "归集服务",
    "workorder": "工单服务",
}
#: The validator's words in Chinese; what is not known is shown as it came.
_REASONS = (
    (re.compile(r"at least (\d+) character"), "至少填写 {0} 个字"),
    (re.compile(r"at most (\d+) character"), "最多填写 {0} 个字"),
    (re.compile(r"greater than or equal to (\d+)"), "不能小于 {0}"),
    (re.compile(r"less than or equal to (\d+)"), "不能大于 {0}"),
    (re.compile(r"valid integer"), "请填写整数"),
    (re.compile(r"match pattern"), "格式不符合要求"),
    (re.compile(r"at least (\d+) item"), "至少选择 {0} 项"),
    (re.compile(r"(?i)field required"), "必填"),
)


@dataclass(frozen=True)
class Trouble:
    """Why there is no data, in the service's own words. `fields` holds a remark per form field."""

    status: int
    title: str
    detail: str = ""
    mend: str = ""
    trace_id: str = ""
    where: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_silence(self) -> bool:
        """The service did not answer or cannot work now; trying again may help."""
        return self.status >= 500


@dataclass(frozen=True)
class Reply:
    """Either `data` or `trouble`; `code` is the HTTP status of a good answer."""

    data: Any = None
    trouble: Trouble | None = None
    code: int = 200

    @property
    def status(self) -> int:
        return self.trouble.status if self.trouble else 200


def service_title(service: str) -> str:
    return SERVICE_TITLES.get(service, service)


def silence(service: str) -> Reply:
    """The reply of a service that did not answer in time or at all."""
    title = service_title(service)
    return Reply(trouble=Trouble(503, f"{title}暂时没有应答", "其余内容仍可使用，请稍后刷新重试。"))


def read_reply(service: str, answer: httpx.Response) -> Reply:
    """The reply in an HTTP answer; an answer that is no JSON counts as silence."""
    if answer.status_code == 204:
        return Reply()
    try:
        body = answer.json()
    except ValueError:
        return silence(service)
    if answer.is_success:
        return Reply(body, code=answer.status_code)
    return Reply(trouble=_trouble(answer.status_code, body)) if isinstance(body, dict) else silence(service)


def _trouble(status: int, problem: dict[str, Any]) -> Trouble:
    fields = _remarks(problem)
    by_field = bool(fields and problem.get("errors"))  # said beside each field, so not once more above
    return Trouble(
        status=status,
        title=chinese(problem.get("title")) or "请求未能完成",
        detail=f"请修改下面标出的 {len(fields)} 处。" if by_field else chinese(problem.get("detail")),
        mend="" if by_field else chinese(problem.get("mend")),
        trace_id=str(problem.get("trace_id", "")),
        where=str(problem.get("where") or ""),
        fields=fields,
    )


def _remarks(problem: dict[str, Any]) -> dict[str, str]:
    """`body.purpose` → a remark on the field `purpose`."""
    errors = [item for item in problem.get("errors") or [] if isinstance(item, dict)]
    remarks = {_field(item.get("where")): _reason(str(item.get("reason", ""))) for item in errors}
    if not remarks and problem.get("where"):
        told = (chinese(problem.get("detail")), chinese(problem.get("mend")))
        remarks = {_field(problem["where"]): "。".join(words for words in told if words)}
    return {name: words for name, words in remarks.items() if name}


def _field(where: object) -> str:
    place, _, rest = str(where or "").partition(".")
    return rest.split(".")[0] if place == "body" else ""


def _reason(words: str) -> str:
    for pattern, chinese_words in _REASONS:
        found = pattern.search(words)
        if found:
            return chinese_words.format(*found.groups())
    return words


def chinese(both: object) -> str:
    """The Chinese half of `中文 / English`."""
    return str(both or "").partition(" / ")[0]
