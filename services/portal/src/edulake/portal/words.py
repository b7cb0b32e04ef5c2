"""How figures, times, states and roles read on a page."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from edulake.common.clock import now
from edulake.common.identity import ROLES
from markupsafe import Markup

BEIJING = timezone(timedelta(hours=8), "北京时间")

STATES = {
    "application": {
        "pending": "审批中",
        "approved": "已批准",
        "refused": "已拒绝",
        "withdrawn": "已撤回",
        "ended": "已终止",
    },
    "order": {"open": "待分派", "assigned": "处理中", "resolved": "待验证", "closed": "已关闭"},
    "batch": {
        "unconfirmed": "等待确认",
        "landed": "已归集",
        "governed": "已治理",
        "published": "已发布",
        "held": "等待同意",
        "quarantined": "整批隔离",
        "refused": "已拒收",
        "superseded": "已被替代",
        "withdrawn": "已撤回",
    },
    "client": {"active": "可用", "disabled": "已停用"},
    "kind": {"dataset": "数据集", "api": "接口"},
    "action": {
        "open": "开单",
        "assign": "分派",
        "take": "认领",
        "resolve": "报告已处理",
        "comment": "留言",
        "prove": "验证通过，关闭",
        "retire": "已不适用，关闭",
        "recur": "再次出现",
        "reopen": "验证失效，重新打开",
        "doubt": "不足以验证",
    },
    "job": {
        "waiting": "等待发布",
        "running": "发布中",
        "held": "等待放行",
        "blocked": "发布受阻",
        "failed": "发布失败",
    },
    "step": {"passed": "已完成", "present": "进行中", "ahead": "未开始", "stopped": "已停止"},
    "health": {"ready": "就绪", "slow": "降级", "down": "没有应答"},
    "outcome": {
        "governed": "已治理",
        "below_threshold": "低于门槛",
        "held": "等待同意",
        "refused": "已拒收",
        "superseded": "已被替代",
    },
    "grant": {"active": "有效", "revoked": "已结束", "expired": "已到期"},
    "decision": {"approve": "同意", "refuse": "拒绝"},
    "mask": {"standard": "标准", "strict": "从严（第 3 级以上只留日期的年份）"},
    "severity": {"error": "错误", "warning": "提醒"},
    "person": {"pending": "待准入", "active": "已准入", "disabled": "已停用"},
    "role_change": {"granted": "授予", "withdrawn": "收回"},
    "source": {"active": "使用中", "suspended": "已暂停"},
    "audit": {"read": "读取个人数据", "calls": "一般调用汇总", "opened": "查看报送原值"},
    "chain": {
        "a row is missing": "缺少一条记录",
        "a row was changed, or one before it removed": "该记录被改动，或前面的记录被删除",
        "the head is missing": "链尾标记缺失",
        "the head was changed": "链尾标记被改动",
        "rows were cut off the end": "末尾的记录被删除",
        "rows stand behind the head": "链尾之后有多出的记录",
        "the key of a row is not known": "缺少校验该记录的密钥",
    },
    "trail": {
        "login": "登录",
        "session.opened": "会话开始",
        "session.ended": "会话结束",
        "person.noted": "首次登录",
        "person.active": "准入人员",
        "person.disabled": "停用人员",
        "client.registered": "登记应用",
        "client.active": "启用应用",
        "client.disabled": "停用应用",
        "client.secret-rotated": "更换密钥",
        "client.secret-retired": "停用密钥",
        "client.keys-replaced": "更换公钥",
        "client.credentials-voided": "作废应用凭据",
        "token.revoked": "作废令牌",
        "signing-key.rotated": "轮换签名密钥",
    },
    "trail_outcome": {"done": "完成", "pending": "待准入，未放行", "disabled": "已停用，未放行"},
}
FACETS = {
    "kind": "资源类型",
    "theme": "主题",
    "organisation": "责任机构",
    "share_way": "交换形式",
    "share_type": "共享属性",
    "open_type": "开放属性",
    "level": "数据级别",
}
_PERSON = re.compile("(person:[A-Za-z0-9_-]+)")
_DIGEST = re.compile("[0-9a-f]{32}")
_SPANS = ((86_400, "天"), (3_600, "小时"), (60, "分钟"))


def number(value: Any) -> str:
    """Grouped by thousands; a dash where there is no figure."""
    return f"{value:,}" if isinstance(value, int | float) else "—"


def score(value: Any) -> str:
    """A score out of 100 with one decimal place."""
    return f"{value:.1f}" if isinstance(value, int | float) else "—"


def percent(value: Any) -> str:
    """A share as a percentage; what is not whole never reads as 0 % or 100 %."""
    if not isinstance(value, int | float):
        return "—"
    hundreds = value * 100
    near = min(max(hundreds, 0.01), 99.99) if 0 < value < 1 else hundreds
    return f"{near:.2f}".rstrip("0").rstrip(".") + "%"


def signed(value: Any) -> str:
    """A change as a percentage with its sign: `−93 %`, `+8 %`; what is not whole never reads as −100 %."""
    if not isinstance(value, int | float):
        return "—"
    hundreds = value * 100
    near = round(hundreds) if abs(hundreds) >= 1 else round(hundreds, 1)
    near = -99.9 if near <= -100 and value > -1 else near
    return f"{near:+g} %".replace("-", "−") if near else "不变"


def due(value: str) -> Markup:
    """A time something should be done by; what is late says so in a word, not by colour alone."""
    late = datetime.fromisoformat(value) < now()
    return Markup('<span class="loss">已逾期</span> {0}').format(moment(value)) if late else moment(value)


def seconds(value: float) -> str:
    """A measured time: `0.03 秒`, `12.4 秒`, `2 分 5 秒`."""
    if value < 0.01:
        return "不到 0.01 秒"
    if value >= 60:
        return f"{int(value // 60)} 分 {int(value % 60)} 秒"
    return f"{value:.2f} 秒" if value < 1 else f"{value:.1f} 秒"


def moment(value: Any) -> Markup:
    """`3 分钟前`, with the exact Beijing time as title; a dash where there is none."""
    if not value:
        return Markup("—")
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return Markup('<time datetime="{0}" title="{1}">{2}</time>').format(at.isoformat(), exact(at), _ago(at))


def exact(value: datetime | str) -> str:
    """Beijing time to the second."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def day(value: datetime | str) -> str:
    """The Beijing day."""
    return exact(value)[:10]


def _ago(at: datetime) -> str:
    seconds = (now() - at).total_seconds()
    side = "前" if seconds >= 0 else "后"
    for span, unit in _SPANS:
        if abs(seconds) >= span:
            return f"{int(abs(seconds) // span)} {unit}{side}"
    return "刚刚" if seconds >= 0 else "即将"


def state(value: str, noun: str) -> str:
    """The Chinese word of a state; the code itself when it is not known."""
    return STATES[noun].get(value, value)


def short(batch_id: Any) -> str:
    """The end of an id: its beginning is the time, which neighbours share."""
    return str(batch_id)[-8:]


def role(value: str) -> str:
    return ROLES.get(value, value)


def person(value: str | None, known: Mapping[str, str] | None = None) -> str:
    """A subject as people call it: by its name where that is known, services as the system.

    `person:li-steward` → `li-steward`; a digest (auth makes ids so of a provider's) → `人员 1a2b3c`, with the
    whole id as title.
    """
    if not value or (known and value in known):
        return (known or {}).get(value or "", "—")
    kind, _, name = value.partition(":")
    if kind == "service":
        return "系统"
    if kind == "person" and _DIGEST.fullmatch(name):
        return Markup('<span title="{0}">人员 {1}</span>').format(value, name[:6])
    return name or value


def plain(words: str) -> str:
    """Words without their mark-up, for a cell or an option."""
    return words.striptags() if isinstance(words, Markup) else words


def named_in(text: str) -> list[str]:
    """The people whom a sentence names by id."""
    return _PERSON.findall(text)


def people(text: str, known: Mapping[str, str] | None = None) -> Markup:
    """A sentence in which subjects are named by id, with each of them as `person` says it."""
    parts = _PERSON.split(text)
    return Markup("").join(
        person(part, known) if at % 2 else Markup("{0}").format(part) for at, part in enumerate(parts)
    )


def facet_value(value: str, facet: str) -> str:
    if facet == "kind":
        return state(value, "kind")
    return f"第 {value} 级" if facet == "level" else value
