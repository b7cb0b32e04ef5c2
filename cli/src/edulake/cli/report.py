"""What `edulake demo` found, as data for `--json` and as words for a terminal of 80 columns."""

import json
from dataclasses import dataclass, field
from typing import Any

from edulake.cli.deliver import TITLES
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

ANSWER_CHARS = 160
#: Tables that leave 80 columns to what they say.
DENSE: dict[str, Any] = {"box": SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}
#: Steps in the order a delivery takes them; a report may lack some.
STEPS = {
    "receive": "接收",
    "land": "归集",
    "read": "读取",
    "profile": "探查",
    "convert": "转换",
    "align": "对齐",
    "clean": "清洗",
    "complete": "补全",
    "link": "关联",
    "grade": "分级",
    "protect": "保护",
    "write": "写入",
    "publish": "发布",
}


@dataclass
class Delivered:
    """What became of one delivery."""

    file: str
    source: str
    dataset: str
    status: str
    rows_landed: int = 0
    rows_governed: int = 0
    rows_quarantined: int = 0
    #: Rows that said the same as another row of the delivery, or another part of one.
    rows_merged: int = 0
    quarantined_by_rule: dict[str, int] = field(default_factory=dict)
    #: The rules that rows failed, in words.
    rule_titles: dict[str, str] = field(default_factory=dict)
    governed_version: int | None = None
    published_version: int | None = None
    seconds_by_step: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    refused: str = ""
    #: What should become of it: `published`, or `refused` for one that is wrong on purpose.
    expected: str = "published"


@dataclass
class Called:
    """One API call as an outside program saw it."""

    request: str
    status: int
    trace_id: str
    rows: int = 0
    answer: Any = None
    note: str = ""
    #: A call without a grant shows the refusal; all others must be answered.
    is_granted: bool = True


@dataclass
class Report:
    """Everything a run shows; written by `--json`."""

    deliveries: list[Delivered] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)
    schools_in_both_rosters: int | None = None

    @property
    def missed(self) -> list[str]:
        """In words, every delivery that did not become what it should, and every granted call without answer."""
        told = [
            f"{one.file} 应为“{TITLES.get(one.expected, one.expected)}”，"
            f"实为“{TITLES.get(one.status, one.status)}” / should be {one.expected}, is {one.status}"
            for one in self.deliveries
            if one.status != one.expected
        ]
        granted = [call for call in self.calls if call.is_granted]
        told += [
            f"GET {call.request} 答复 {call.status} / was not answered"
            for call in granted
            if call.status != 200
        ]
        return told if granted else [*told, "没有调用到任何已授权的接口 / no granted API was called"]


def show_deliveries(report: Report, out: Console) -> None:
    """Numbers first, then each reason for which something was held back, then where the time went."""
    table = Table(title="raw 归集 → governed 治理 → published 发布", title_justify="left", **DENSE)
    table.add_column("文件", overflow="fold")
    table.add_column("状态", no_wrap=True)
    for heading in ("归集", "治理", "合并", "隔离", "版本", "秒"):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in report.deliveries:
        counts = (item.rows_landed, item.rows_governed, item.rows_merged, item.rows_quarantined)
        version = f"v{item.published_version}" if item.published_version else "—"
        status = Text(TITLES.get(item.status, item.status), "green" if item.status == "published" else "red")
        cells = (*(f"{count:,}" for count in counts), version, f"{item.seconds:.1f}")
        table.add_row(item.file, status, *cells)
    out.print(table)
    _show_reasons(report, out)
    _show_seconds(report, out)


def _show_reasons(report: Report, out: Console) -> None:
    for item in report.deliveries:
        if item.refused:
            out.print(Text.assemble((f"{item.file} 没有进来：", "red"), item.refused))
        if not item.quarantined_by_rule:
            continue
        out.print(f"{item.file} 隔离的行（一行可有几个原因）：", style="yellow")
        for rule, rows in sorted(item.quarantined_by_rule.items(), key=lambda pair: -pair[1]):
            out.print(Text(f"  {rows:>5,}  {item.rule_titles.get(rule, '')}  [{rule}]"))


def _show_seconds(report: Report, out: Console) -> None:
    spent: dict[str, float] = {}
    for item in report.deliveries:
        for step, seconds in item.seconds_by_step.items():
            spent[step] = spent.get(step, 0.0) + seconds
    known = [step for step in STEPS if step in spent] + [step for step in spent if step not in STEPS]
    words = " · ".join(f"{STEPS.get(step, step)} {spent[step]:.2f}" for step in known)
    out.print(f"各环节用时合计（秒）：{words}", style="dim", highlight=False)


def show_calls(report: Report, out: Console) -> None:
    """One line for the call, one for the start of its answer."""
    out.print("\n[bold]接口调用[/]（令牌 → 撤销 → 限额 → 授权 → 校验 → 执行 → 审计）")
    for call in report.calls:
        style = "green" if call.status == 200 else "red"
        head = Text.assemble((f"  {call.status}", style), f"  GET {call.request}", (f"  {call.note}", "dim"))
        out.print(head, overflow="fold")
        told = call.answer if isinstance(call.answer, str) else json.dumps(call.answer, ensure_ascii=False)
        ending = " …" if len(told) > ANSWER_CHARS else ""
        out.print(Text(f"       {told[:ANSWER_CHARS]}{ending}", "dim"))


def show_audit(report: Report, out: Console) -> None:
    """The newest rows of the hash chain: who read what for which purpose, and the row's own hash."""
    table = Table(title="审计链（SM3）最近几行", title_justify="left", **DENSE)
    for heading in ("序号", "时间", "种类", "应用", "接口", "级别", "用途", "SM3"):
        table.add_column(heading, no_wrap=heading != "用途", overflow="fold")
    for row in report.audit:
        cells = ("seq", "at", "kind", "client_id", "api", "level", "purpose", "hash")
        values = [str(row.get(name, "")) for name in cells]
        values[1], values[-1] = values[1][11:19], values[-1][:8]
        table.add_row(*values)
    out.print(table)
