"""Following one delivery until it is published or refused."""

import time
from typing import Any

import typer
from edulake.cli.calls import Gateway
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

FINAL = frozenset({"published", "quarantined", "refused", "withdrawn", "superseded", "unconfirmed", "held"})
#: Exit codes of `edulake ingest`, beside 0: nothing of it will be published as it is; a person must say a word first.
CAME_TO_NOTHING, WAITS_FOR_A_WORD = 1, 3
#: The words for a batch's states, here and in the portal: raw 归集, governed 治理, published 发布.
TITLES = {
    "unconfirmed": "等待确认",
    "landed": "已归集",
    "governed": "已治理",
    "published": "已发布",
    "held": "等待同意",
    "quarantined": "整批隔离",
    "refused": "已拒收",
    "withdrawn": "已撤回",
    "superseded": "已被替代",
}
FOLLOW_LIMIT_S = 600


class StillUnderWay(RuntimeError):
    """A batch did not end within the time allowed; it is not lost and goes on."""


def follow(gateway: Gateway, batch_id: str, console: Console, *, limit_s: float = FOLLOW_LIMIT_S) -> Any:
    """Show a progress bar until the batch is final and return it. Raises StillUnderWay."""
    deadline = time.monotonic() + limit_s
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        line = progress.add_task(TITLES["landed"], total=None)
        while time.monotonic() < deadline:
            batch = gateway.call("GET", f"/api/ingest/batches/{batch_id}")
            if batch["status"] in FINAL:
                return batch
            step = batch.get("progress") or {}
            title = TITLES.get(batch["status"], batch["status"])
            progress.update(
                line,
                description=f"{title} {step.get('step') or ''}",
                total=step.get("total"),
                completed=step.get("done") or 0,
            )
            time.sleep(0.2)
    public = (gateway.settings.public_url or gateway.base_url).rstrip("/")
    raise StillUnderWay(
        f"批次 {batch_id} 仍在处理，没有丢失；在 {public}/batches/{batch_id} 查看 / "
        "the batch is still under way and not lost; its page shows how far it is"
    )


def confirmed(gateway: Gateway, batch: dict[str, Any], console: Console, *, is_meant: bool) -> dict[str, Any]:
    """A batch that waits for its source's word, with it when given: `is_meant` gives it unasked, a terminal is asked.

    The word repeats the figures shown here; CallFailed when they changed meanwhile.
    """
    if batch["status"] != "unconfirmed":
        return batch
    shown = batch["replaces"]
    console.print(f"[yellow]{shown['zh']} / {shown['en']}[/]", soft_wrap=True)
    if not is_meant and not (console.is_terminal and typer.confirm("确认替代 / replace it?", default=False)):
        console.print(
            "没有确认，现有数据不变；再次执行并加 --confirm 即确认 / nothing changed; run it again with --confirm to mean it"
        )
        return batch
    found: dict[str, Any] = gateway.call(
        "POST", f"/api/ingest/batches/{batch['batch_id']}/confirm", json=shown
    )
    return found


def exit_code(status: str) -> int:
    """What `edulake ingest` ends with."""
    if status in ("unconfirmed", "held"):
        return WAITS_FOR_A_WORD
    return CAME_TO_NOTHING if status in ("quarantined", "refused", "withdrawn") else 0


def show_batch(batch: dict[str, Any], console: Console) -> None:
    """One batch as a small table."""
    table = Table(show_header=False, title=f"批次 {batch['batch_id']}")
    table.add_row("状态", TITLES.get(batch["status"], batch["status"]))
    if batch.get("replaces"):
        table.add_row("替代", batch["replaces"]["zh"])
    table.add_row("归集行数", str(batch.get("rows_landed") or 0))
    table.add_row("通过治理", str(batch.get("rows_governed") or 0))
    table.add_row("隔离", str(batch.get("rows_quarantined") or 0))
    for rule, rows in (batch.get("quarantined_by_rule") or {}).items():
        table.add_row(f"  {rule}", str(rows))
    if batch.get("reason_zh"):
        table.add_row("原因", batch["reason_zh"])
    console.print(table)
