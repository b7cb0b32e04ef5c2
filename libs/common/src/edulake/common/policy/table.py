"""Who may do what: every kind of object, every verb, and the relations that suffice (one of them does).

This is the only list of its kind. A route names a line of it (`allow("batch.findings", "read")`), services check
objects by it, pages show a button by it, `docs/reference/policy.md` and the tests' matrix are made from it.

* A system administrator keeps the system running and sees no business data: no batches, findings, orders, quality.
* An audit administrator reads what was done (batches, orders, registrations, decisions, calls), not rows.
* A security administrator decides on access: applications, grants, roles; nothing that sources delivered.
* An approver decides who may use a dataset in their care, and for that reads its quality; nothing of its sources.
* An owner sees of what is delivered what belongs to datasets in their care, a contact what their sources deliver.
"""

from typing import NamedTuple

from edulake.common.policy.relations import (
    ACCOUNTABLE,
    ANYONE,
    APPLICANT,
    APPROVER,
    AUDIT_ADMIN,
    COLLEAGUE,
    CONTACT,
    DECIDED,
    KNOWN,
    OWN,
    OWNER,
    SECURITY_ADMIN,
    SERVICE,
    SOME_OWNER,
    STEWARD,
    SYSTEM_ADMIN,
    Relation,
)

Relations = frozenset[Relation]


class Kind(NamedTuple):
    """A kind of object in words, and what can be done with it. Whoever may not `read` one is told it is not there."""

    zh: str
    en: str
    verbs: dict[str, Relations]


def _by(*relations: Relation) -> Relations:
    return frozenset(relations)


ADMINISTRATORS = (SYSTEM_ADMIN, SECURITY_ADMIN, AUDIT_ADMIN)
#: Who sees what a source delivered as a whole, and who sees single rows of it.
_DELIVERED = _by(STEWARD, OWNER, CONTACT, AUDIT_ADMIN)
_ROWS = _by(STEWARD, OWNER, CONTACT)
_MENDERS = _by(STEWARD, OWNER, CONTACT)
_DECIDERS = _by(OWNER, APPROVER, SECURITY_ADMIN)

TABLE: dict[str, Kind] = {
    # every service
    "health": Kind("进程状态", "state of a process", {"read": _by(ANYONE)}),
    "overview": Kind("各服务的总数", "figures at a glance, without names", {"read": _by(KNOWN)}),
    # auth
    "login": Kind("登录与退出", "signing in and out", {"use": _by(ANYONE)}),
    "issuer": Kind("签发者的公钥与元数据", "keys and metadata of the issuer", {"read": _by(ANYONE)}),
    "token": Kind(
        "访问令牌（凭应用密钥换取）",
        "access tokens, against a program's credentials",
        {
            "get": _by(ANYONE),
            "give_back": _by(ANYONE),
            "revoke": _by(SYSTEM_ADMIN, SECURITY_ADMIN),
        },
    ),
    "session": Kind("登录会话", "sessions", {"read": _by(OWN), "end": _by(OWN), "resolve": _by(SERVICE)}),
    "me": Kind("自己的身份", "one's own identity", {"read": _by(KNOWN)}),
    "subject": Kind("人员与应用的现状（内部）", "who somebody is now (internal)", {"read": _by(SERVICE)}),
    "person": Kind(
        "人员",
        "people",
        {
            "read": _by(*ADMINISTRATORS),
            "choose": _by(STEWARD, SOME_OWNER),
            "admit": _by(SYSTEM_ADMIN),
            "disable": _by(SYSTEM_ADMIN, SECURITY_ADMIN),
            "set_roles": _by(SECURITY_ADMIN),
        },
    ),
    "client": Kind(
        "应用",
        "programs",
        {
            "read": _by(OWN, ACCOUNTABLE, *ADMINISTRATORS),
            "register": _by(SYSTEM_ADMIN),
            "register_own": _by(APPLICANT),
            "manage": _by(ACCOUNTABLE, SYSTEM_ADMIN),
            "disable": _by(SYSTEM_ADMIN, SECURITY_ADMIN),
            "enable": _by(SYSTEM_ADMIN),
            "set_roles": _by(SECURITY_ADMIN),
        },
    ),
    "role_change": Kind("角色变更记录", "changes of roles", {"read": _by(SECURITY_ADMIN, AUDIT_ADMIN)}),
    "trail": Kind("身份操作留痕", "the trail of identities", {"read": _by(AUDIT_ADMIN)}),
    # catalog
    "resource": Kind(
        "目录资源与样例", "resources and their made-up samples", {"read": _by(KNOWN), "try": _by(KNOWN)}
    ),
    "favourite": Kind("自己的关注", "one's own favourites", {"read": _by(KNOWN), "change": _by(KNOWN)}),
    "application": Kind(
        "申请",
        "applications",
        {
            "read": _by(OWN, ACCOUNTABLE, DECIDED, OWNER, APPROVER, SECURITY_ADMIN, AUDIT_ADMIN),
            "make": _by(APPLICANT),
            "weigh": _DECIDERS,
            "decide": _DECIDERS,
            "withdraw": _by(OWN),
        },
    ),
    "application.owner_step": Kind(
        "申请的责任人环节", "the owner's step of an application", {"decide": _by(OWNER, APPROVER)}
    ),
    "application.security_admin_step": Kind(
        "申请的安全管理员环节",
        "the security administrator's step of an application",
        {"decide": _by(SECURITY_ADMIN)},
    ),
    "grant": Kind(
        "授权",
        "grants",
        {
            "read": _by(OWN, ACCOUNTABLE, COLLEAGUE, DECIDED, OWNER, APPROVER, SECURITY_ADMIN, AUDIT_ADMIN),
            "end": _by(ACCOUNTABLE, DECIDED, OWNER, APPROVER, SECURITY_ADMIN),
        },
    ),
    # ingest
    "source": Kind(
        "来源",
        "sources",
        {
            "read": _DELIVERED,
            "register": _by(STEWARD),
            "change": _by(STEWARD),
            "deliver": _by(STEWARD, CONTACT),
        },
    ),
    "source.history": Kind(
        "来源登记的历史", "earlier registrations of a source", {"read": _by(STEWARD, AUDIT_ADMIN)}
    ),
    "source.contact": Kind(
        "来源此刻的联系人（内部）", "the present contacts of sources (internal)", {"read": _by(SERVICE)}
    ),
    "batch": Kind(
        "批次及其治理过程",
        "batches and their way through governance",
        {
            "read": _DELIVERED,
            "confirm": _by(STEWARD, CONTACT),
            "withdraw": _by(STEWARD, CONTACT),
            "reprocess": _by(STEWARD),
            "agree": _by(STEWARD, OWNER),
            "refuse": _by(STEWARD, OWNER),
        },
    ),
    # governance
    "batch.findings": Kind("批次的问题清单", "findings of a batch", {"read": _ROWS}),
    "batch.quarantine": Kind("批次的隔离行", "rows of a batch held back", {"read": _ROWS}),
    "batch.values": Kind(
        "出错单元格的原值（每次查看都留痕）",
        "delivered values of offending cells (each look is audited)",
        # What stands beside the cell is masked for those who did not deliver it.
        {"open": _by(STEWARD, CONTACT), "open_whole": _by(CONTACT)},
    ),
    "batch.filename": Kind(
        "批次的原文件名", "the name a batch's file came with", {"read": _by(STEWARD, CONTACT)}
    ),
    "batch.quality": Kind("批次的质量报告", "the quality report of a batch", {"read": _DELIVERED}),
    "dataset": Kind(
        "数据集的标准与版本",
        "contracts and versions of datasets",
        {"read": _by(KNOWN), "restore": _by(STEWARD, OWNER)},
    ),
    "dataset.quality": Kind(
        "数据集的质量报告（全部来源）",
        "quality of a dataset over all sources",
        {"read": _by(STEWARD, OWNER, APPROVER, SECURITY_ADMIN, AUDIT_ADMIN)},
    ),
    "dataset.newest_quality": Kind(
        "各数据集最新的质量报告（联系人只见自己来源的）",
        "the newest quality report of each dataset; a contact's: of their own sources",
        {"read": _by(STEWARD, OWNER, APPROVER, SECURITY_ADMIN, AUDIT_ADMIN, CONTACT)},
    ),
    "dataset.names": Kind(
        "数据集中已确认的名称",
        "names confirmed for a dataset",
        {"read": _by(STEWARD), "change": _by(STEWARD)},
    ),
    # workorder
    "order": Kind(
        "质量工单",
        "work orders",
        {
            "read": _DELIVERED,
            "assign": _by(STEWARD, OWNER),
            "take": _MENDERS,
            "resolve": _MENDERS,
            "comment": _MENDERS,
        },
    ),
    # gateway
    "api": Kind("共享接口的说明", "the description of shared APIs", {"read": _by(KNOWN)}),
    "publication": Kind(
        "发布",
        "publications",
        {
            "read": _by(KNOWN),
            "roll_back": _by(STEWARD, OWNER),
            "release": _by(STEWARD, OWNER),
            "retry": _by(STEWARD, SYSTEM_ADMIN),
        },
    ),
    "usage": Kind(
        "接口调用量",
        "use of the shared APIs",
        {
            "read": _by(OWN, ACCOUNTABLE, OWNER, APPROVER, SECURITY_ADMIN, AUDIT_ADMIN),
            "read_today": _by(SERVICE),
        },
    ),
    "figures": Kind("网关概况", "the gateway's figures", {"read": _by(STEWARD, SOME_OWNER, *ADMINISTRATORS)}),
    "audit": Kind("访问审计链", "the chain of audited reads", {"read": _by(AUDIT_ADMIN)}),
    "quota": Kind("额度调整", "quotas set by hand", {"read": _by(SYSTEM_ADMIN), "set": _by(SYSTEM_ADMIN)}),
    "dead_letter": Kind("死信", "dead letters", {"read": _by(SYSTEM_ADMIN), "replay": _by(SYSTEM_ADMIN)}),
    # portal: a page shows what its visitor may read by the lines above
    "page": Kind("门户页面", "pages of the portal", {"open": _by(KNOWN)}),
    "page.deliveries": Kind(
        "首页的“我的报送”", "one's own deliveries on the first page", {"show": _by(CONTACT)}
    ),
    "page.calls": Kind(
        "首页的“接口调用”", "calls on the first page", {"show": _by(SECURITY_ADMIN, AUDIT_ADMIN)}
    ),
    "page.file": Kind("门户的样式与脚本", "styles and scripts of the portal", {"read": _by(ANYONE)}),
}


def row(kind: str, verb: str) -> Relations:
    """A line of the table; ValueError for one that is not there, which is a defect at import."""
    if kind not in TABLE or verb not in TABLE[kind].verbs:
        raise ValueError(f"the policy has no line {kind}:{verb} (edulake/common/policy/table.py)")
    return TABLE[kind].verbs[verb]
