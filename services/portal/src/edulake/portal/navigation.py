"""Which pages a person is led to; a page that is not named still answers by the services' own rules."""

from dataclasses import dataclass

from edulake.common.identity import Subject

#: The three administrators, who exclude each other (auth decides).
ADMINISTRATORS = ("system_admin", "security_admin", "audit_admin")
DECIDERS = ("owner", "approver", "security_admin")
#: Who reads quality over all sources of a dataset (governance decides); a contact sees his own newest batch.
OVERSEERS = ("steward", *DECIDERS, "audit_admin")
#: Who is led to batches (ingest decides which of them).
BATCH_READERS = ("source_contact", "steward", "owner", "audit_admin")


@dataclass(frozen=True)
class Link:
    """A page in the bar at the top, for these roles (none: for all)."""

    path: str
    title: str
    roles: tuple[str, ...] = ()


LINKS = (
    Link("/", "总览"),
    Link("/resources", "资源目录"),
    Link("/applications/todo", "待办审批", DECIDERS),
    Link("/applications", "我的申请", ("applicant",)),
    Link("/apps", "我的应用", ("applicant",)),
    Link("/grants", "授权", ("applicant", *DECIDERS, "audit_admin")),
    Link("/batches", "归集批次", BATCH_READERS),
    Link(
        "/quality",
        "数据质量",
        ("source_contact", *OVERSEERS),
    ),
    Link("/orders", "质量工单", ("source_contact", "steward", "owner", "audit_admin")),
    Link("/sources", "来源", ("steward",)),
    Link("/people", "人员", ADMINISTRATORS),
    Link("/audit", "审计", ("audit_admin",)),
    Link("/help", "帮助"),
)


def links_for(subject: Subject) -> list[Link]:
    return [link for link in LINKS if not link.roles or subject.has(*link.roles)]


def section_of(path: str) -> str:
    """The link under which a page stands: the longest whose path leads to it."""
    leading = [
        link.path for link in LINKS if path == link.path or path.startswith(link.path.rstrip("/") + "/")
    ]
    return max(leading, key=len, default="/")
