"""Which pages a person is led to, by the policy; a page that is not named still answers by the services' own rules."""

from dataclasses import dataclass

from edulake.common.identity import Subject
from edulake.common.policy import could


@dataclass(frozen=True)
class Link:
    """A page in the bar at the top, for whom one of these lines of the policy could allow (none: for all)."""

    path: str
    title: str
    lines: tuple[tuple[str, str], ...] = ()


LINKS = (
    Link("/", "总览"),
    Link("/resources", "资源目录"),
    Link("/applications/todo", "待办审批", (("application", "decide"),)),
    Link("/applications", "我的申请", (("application", "make"),)),
    Link("/apps", "我的应用", (("client", "register_own"),)),
    Link("/grants", "授权", (("application", "make"), ("application", "decide"), ("audit", "read"))),
    Link("/batches", "归集批次", (("batch", "read"),)),
    Link("/quality", "数据质量", (("dataset.newest_quality", "read"),)),
    Link("/orders", "质量工单", (("order", "read"),)),
    Link("/sources", "来源", (("source", "change"),)),
    Link("/people", "人员", (("person", "read"),)),
    Link("/audit", "审计", (("audit", "read"),)),
    Link("/help", "帮助"),
)


def links_for(subject: Subject) -> list[Link]:
    return [link for link in LINKS if not link.lines or any(could(subject, *line) for line in link.lines)]


def section_of(path: str) -> str:
    """The link under which a page stands: the longest whose path leads to it."""
    leading = [
        link.path for link in LINKS if path == link.path or path.startswith(link.path.rstrip("/") + "/")
    ]
    return max(leading, key=len, default="/")
